"""The one table from our errors to gRPC statuses, with machine-readable details (google.rpc).

Every RPC runs inside ``status_boundary``: what leaves it is an OK, a row of the table, or INTERNAL with an id
under which the traceback is in the server's log. A client never sees a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from asr.errors import (
    AlreadyExistsError,
    AudioError,
    ExpiredError,
    InputError,
    LexituneError,
    LimitError,
    MissingDependencyError,
    ModelError,
    ModelInUseError,
    NotFoundError,
    NotPermittedError,
    ResourceError,
    UnauthenticatedError,
    UnavailableError,
    UploadInUseError,
)
from server.call_ids import current_call, note_failure

ERROR_DOMAIN = "lexitune"

_LOGGER = logging.getLogger("lexitune.server")


@dataclass(frozen=True, slots=True)
class StatusRule:
    """How one class of errors is told.

    Attributes:
        code: the gRPC status.
        reason: ErrorInfo's reason, unless the error has its own.
        retry_s: when to try again, if that helps.
        field: the field to blame, unless the error has its own.
    """

    code: grpc.StatusCode
    reason: str
    retry_s: float | None = None
    field: str = ""


# The first class that fits counts: subclasses stand before their bases.
STATUS_TABLE: dict[type[LexituneError], StatusRule] = {
    AudioError: StatusRule(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_AUDIO", field="audio"),
    InputError: StatusRule(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
    NotFoundError: StatusRule(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    AlreadyExistsError: StatusRule(grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
    ModelInUseError: StatusRule(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_IN_USE"),
    ModelError: StatusRule(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_FAILED"),
    UploadInUseError: StatusRule(grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_IN_USE"),
    MissingDependencyError: StatusRule(grpc.StatusCode.FAILED_PRECONDITION, "MISSING_DEPENDENCY"),
    LimitError: StatusRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT", retry_s=1.0),
    ResourceError: StatusRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "MACHINE", retry_s=30.0),
    ExpiredError: StatusRule(grpc.StatusCode.ABORTED, "EXPIRED"),
    UnauthenticatedError: StatusRule(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    NotPermittedError: StatusRule(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED"),
    UnavailableError: StatusRule(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", retry_s=1.0),
    LexituneError: StatusRule(grpc.StatusCode.UNKNOWN, "UNKNOWN"),
}


def status_of(error: LexituneError) -> status_pb2.Status:
    """The google.rpc.Status of an error: its row of the table with its details."""
    rule = _rule(error)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason_of(error), domain=ERROR_DOMAIN)]
    if field := getattr(error, "field", "") or rule.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if (retry_s := getattr(error, "retry_s", None) or rule.retry_s) is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(rule.code, str(error), details)


def reason_of(error: LexituneError) -> str:
    """ErrorInfo's reason: the error's own, or that of its row."""
    return getattr(error, "reason", "") or _rule(error).reason


def _rule(error: LexituneError) -> StatusRule:
    return next(rule for kind, rule in STATUS_TABLE.items() if isinstance(error, kind))


def internal_status(error_id: str) -> status_pb2.Status:
    """INTERNAL for a bug of ours, which the server's log has under ``error_id``."""
    info = error_details_pb2.ErrorInfo(reason="BUG", domain=ERROR_DOMAIN, metadata={"error_id": error_id})
    message = f"a fault of the server, id {error_id}: its log says more; please report it"
    return _status(grpc.StatusCode.INTERNAL, message, [info])


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def first_leaf(error: BaseException) -> BaseException:
    """The error itself, or of a group the first of ours, or else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_leaf(one) for one in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, LexituneError)), leaves[0])


@asynccontextmanager
async def status_boundary(context: grpc.aio.ServicerContext[Any, Any], method: str) -> AsyncIterator[None]:
    """Let an RPC end with the status of what its body raises."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except Exception as caught:
        error = first_leaf(caught)
        if isinstance(
            error, grpc.aio.InternalError
        ):  # what we wrote met the end of the connection: the client has left
            raise asyncio.CancelledError from caught
        if isinstance(error, LexituneError):
            status = status_of(error)
            note_failure(reason_of(error))
        else:
            error_id = uuid.uuid4().hex[:12]
            _LOGGER.error("%s failed, id %s", method, error_id, exc_info=error)
            status = internal_status(error_id)
            note_failure("BUG")
        told, call = rpc_status.to_status(status), current_call()
        ids = call.metadata if call is not None else ()
        await context.abort_with_status(told._replace(trailing_metadata=(*told.trailing_metadata, *ids)))
