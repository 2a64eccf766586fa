"""Files read again when they change; certificates that cannot be used are one clear error, and later change nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from asr.errors import OptionError
from server.certificates import TlsOptions, read_certificates
from server.reload import Reloaded


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except ValueError as error:
        raise OptionError("no number") from error


def test_what_changed_is_read_once_and_what_is_broken_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, reads = tmp_path / "number", list[int]()
    path.write_text("1")

    def read() -> int:
        reads.append(1)
        return _number(path)

    value = Reloaded("the number", [path], read)
    assert [value.current(), value.current(), len(reads)] == [1, 1, 1]
    replacement = tmp_path / "new"
    replacement.write_text("2")
    replacement.rename(path)
    assert [value.current(), value.current(), len(reads)] == [2, 2, 2]
    with caplog.at_level(logging.ERROR):
        path.write_text("x")
        assert [value.current(), value.current(), len(reads)] == [2, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        "the number: the new content is not used, the old stays in force: no number"
    ]
    path.write_text("3")
    assert value.current() == 3


def test_what_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    writes = iter(["", "22", "333"])

    def read() -> int:
        value = _number(path)
        if text := next(writes, ""):
            path.write_text(text)
        return value

    value = Reloaded("the number", [path], read)
    path.write_text("2")
    assert value.current() == 1  # what was read was already replaced
    assert value.current() == 1
    assert value.current() == 333


def test_a_first_reading_that_fails_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Reloaded("the number", [tmp_path / "absent"], lambda: _number(tmp_path / "absent"))


def test_certificates_are_read_and_their_key_is_not_printed(authority: Any, tmp_path: Path) -> None:
    certificate, key = authority.issue(tmp_path)
    ca = authority.write(tmp_path / "ca.pem")
    found = read_certificates(
        TlsOptions(certificate=str(certificate), private_key=str(key), client_ca=str(ca))
    )
    assert (found.certificate, found.private_key) == (certificate.read_bytes(), key.read_bytes())
    assert found.client_ca == ca.read_bytes()
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize("broken", ["absent", "garbage", "another key", "encrypted", "ca"])
def test_files_that_cannot_be_used_are_named(authority: Any, tmp_path: Path, broken: str) -> None:
    certificate, key = authority.issue(tmp_path)
    client_ca = ""
    match broken:
        case "absent":
            certificate.unlink()
        case "garbage":
            certificate.write_text("no certificate")
        case "another key":
            key = authority.issue(tmp_path, "another")[1]
        case "encrypted":
            loaded = serialization.load_pem_private_key(key.read_bytes(), None)
            encryption = serialization.BestAvailableEncryption(b"password")
            pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            key.write_bytes(loaded.private_bytes(pem, pkcs8, encryption))
        case "ca":
            client_ca = str(key)
    options = TlsOptions(certificate=str(certificate), private_key=str(key), client_ca=client_ca)
    with pytest.raises(OptionError, match=r"cannot be used: .*; give") as caught:
        read_certificates(options)
    assert str(key) in str(caught.value)
