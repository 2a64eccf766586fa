"""The status table: each error has its row, and a fault of ours tells a client nothing but an id."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from asr import errors
from server.errors import first_leaf, internal_status, status_of


def _all_errors() -> list[type[errors.LexituneError]]:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in classes if issubclass(kind, errors.LexituneError)]


def _make(kind: type[errors.LexituneError]) -> errors.LexituneError:
    try:
        return kind("message")
    except TypeError:
        return kind("message", reason="WHY")  # type: ignore[call-arg]


def _unpack(status: status_pb2.Status, kind: type) -> object | None:
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            return message
    return None


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_a_reason_and_its_message(kind: type[errors.LexituneError]) -> None:
    status = status_of(_make(kind))
    assert status.code not in (code_pb2.OK, code_pb2.INTERNAL)
    assert status.message == "message"
    info = _unpack(status, error_details_pb2.ErrorInfo)
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason
    assert info.domain == "lexitune"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AudioError("x"), "INVALID_ARGUMENT"),
        (errors.OptionError("x"), "INVALID_ARGUMENT"),
        (errors.ProtocolError("x"), "INVALID_ARGUMENT"),
        (errors.ModelNotFoundError("x"), "NOT_FOUND"),
        (errors.ChecksumError("x"), "FAILED_PRECONDITION"),
        (errors.LimitError("x", reason="LAG"), "RESOURCE_EXHAUSTED"),
        (errors.ExpiredError("x", reason="IDLE"), "ABORTED"),
        (errors.NotPermittedError("x"), "PERMISSION_DENIED"),
        (errors.UnavailableError("x"), "UNAVAILABLE"),
        (errors.UnauthenticatedError("x"), "UNAUTHENTICATED"),
        (errors.ModelInUseError("x"), "FAILED_PRECONDITION"),
        (errors.PhraseSetNotFoundError("x"), "NOT_FOUND"),
        (errors.AlreadyExistsError("x"), "ALREADY_EXISTS"),
    ],
)
def test_the_codes_are_those_of_the_table(error: errors.LexituneError, code: str) -> None:
    assert code_pb2.Code.Name(status_of(error).code) == code


def test_a_field_is_blamed() -> None:
    request = _unpack(status_of(errors.OptionError("x", field="config.audio")), error_details_pb2.BadRequest)
    assert isinstance(request, error_details_pb2.BadRequest)
    assert [violation.field for violation in request.field_violations] == ["config.audio"]


def test_who_is_refused_for_now_learns_when_to_come_back() -> None:
    for error in (errors.LimitError("x", reason="STREAM_SLOTS"), errors.UnavailableError("x")):
        assert _unpack(status_of(error), error_details_pb2.RetryInfo) is not None
    assert _unpack(status_of(errors.OptionError("x")), error_details_pb2.RetryInfo) is None
    quota = errors.LimitError("x", reason="TENANT_QUOTA", retry_s=90.5)
    retry: Any = _unpack(status_of(quota), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 90_500


def test_a_fault_of_ours_is_an_id() -> None:
    status = internal_status("abc123")
    assert status.code == code_pb2.INTERNAL
    assert "abc123" in status.message


def test_of_a_group_our_own_error_is_told() -> None:
    ours = errors.AudioError("x")
    group = BaseExceptionGroup("outer", [ValueError(), ExceptionGroup("inner", [KeyError(), ours])])
    assert first_leaf(group) is ours
