"""The server's certificate, its key and the authority of its clients: checked as files before gRPC sees a byte of them.

gRPC takes any bytes and fails at the handshakes. Here a file that cannot be used is one clear error at the start, and
later leaves the old certificate in force.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import OptionError


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsOptions:
    """TLS of all listeners; without a certificate there is none.

    Attributes:
        certificate: PEM file, the server's certificate first, then those that lead to its root.
        private_key: PEM file, not encrypted.
        client_ca: PEM file of the authorities that sign clients' certificates; given, a client without one is refused.
    """

    certificate: str = ""
    private_key: str = ""
    client_ca: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.private_key):
            given, missing = (
                ("certificate", "private_key") if self.certificate else ("private_key", "certificate")
            )
            raise OptionError(
                f"tls.{given} is given without tls.{missing}; give both", field=f"tls.{missing}"
            )
        if self.client_ca and not self.certificate:
            raise OptionError(
                "tls.client_ca is given without a certificate of the server; give tls.certificate and tls.private_key",
                field="tls.certificate",
            )

    @property
    def is_on(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.certificate)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [Path(one) for one in (self.certificate, self.private_key, self.client_ca) if one]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Certificates:
    """The files' contents, PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = None


def read_certificates(options: TlsOptions) -> Certificates:
    """Read the files and check that certificate and key belong together.

    Raises:
        OptionError: a file cannot be read or holds something else; the message names the files, not their contents.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.certificate, options.private_key, password=_refuse_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise OptionError(
            f"tls.certificate {options.certificate} and tls.private_key {options.private_key} cannot be used: {error}; "
            "give PEM files that belong together, the key not encrypted",
            field="tls.certificate",
        ) from error
    client_ca = Path(options.client_ca) if options.client_ca else None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise OptionError(
                f"tls.client_ca {client_ca} cannot be used: {error}; give a PEM file of certificates",
                field="tls.client_ca",
            ) from error
    return Certificates(
        certificate=Path(options.certificate).read_bytes(),
        private_key=Path(options.private_key).read_bytes(),
        client_ca=client_ca.read_bytes() if client_ca else None,
    )


def _refuse_password() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("the private key is encrypted")
