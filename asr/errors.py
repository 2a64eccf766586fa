"""Every error that Lexitune raises on bad input or a bad environment.

A message says the value, the limit and the remedy. Assertions are for our own bugs and are not here.

LexituneError
├── InputError                 the caller's data or options; exit code 2, INVALID_ARGUMENT
│   ├── AudioError             a recording that cannot be read or decoded
│   ├── ManifestError          a manifest that cannot be parsed
│   ├── OptionError            an option outside its range, an unknown key
│   └── ProtocolError          messages on a stream in an order that is not allowed
├── NotFoundError              exit code 2, NOT_FOUND
│   ├── ModelNotFoundError     a model reference that names nothing
│   ├── PhraseSetNotFoundError a name under which no phrases are kept
│   ├── JobNotFoundError       an id that is no job of this caller's
│   ├── UploadNotFoundError    an id that is no file of this caller's
│   └── CandidateNotFoundError an id that is no candidate of this caller's
├── AlreadyExistsError         a name that is taken; ALREADY_EXISTS
├── ModelError                 a model that exists but cannot be used; FAILED_PRECONDITION
│   ├── ChecksumError          bytes that are not the bytes that were published
│   └── ModelInUseError        a model that calls hold and that shall go
├── UploadInUseError           a file that an open job needs and that shall go; FAILED_PRECONDITION
├── MissingDependencyError     an optional part that is not installed; names the command that installs it
├── ResourceError           this machine ran out of disk or memory; RESOURCE_EXHAUSTED
├── LimitError                 a limit of this server; RESOURCE_EXHAUSTED
├── ExpiredError               a stream that idled or lasted too long; ABORTED
├── UnauthenticatedError       no token, one that is not known or has expired; UNAUTHENTICATED
├── NotPermittedError          a method or a model that is not this caller's; PERMISSION_DENIED
└── UnavailableError           loading, draining, a port in use, a server that cannot be reached; UNAVAILABLE
"""

from __future__ import annotations

from typing import Any

PHRASE_SET_NOT_FOUND = "PHRASE_SET_NOT_FOUND"  # by which a client tells it from a model that was not found
JOB_NOT_FOUND = "JOB_NOT_FOUND"
UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
CANDIDATE_NOT_FOUND = "CANDIDATE_NOT_FOUND"
UPLOAD_IN_USE = "UPLOAD_IN_USE"


class LexituneError(Exception):
    """Base class of all errors that Lexitune raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """So that an error crosses a process boundary with its attributes, whatever its constructor asks for."""
        return _restored, (type(self), self.args, dict(self.__dict__))


def _restored(kind: type[LexituneError], args: tuple[Any, ...], attributes: dict[str, Any]) -> LexituneError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InputError(LexituneError):
    """The caller's data or options are wrong."""


class AudioError(InputError):
    """A recording cannot be read or decoded."""


class ManifestError(InputError):
    """A manifest cannot be parsed."""


class OptionError(InputError):
    """An option is outside its range, or a key is unknown.

    Attributes:
        field: the option's dotted name, as the caller wrote it ("config.audio.sample_rate_hz"), or "".
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ProtocolError(InputError):
    """Messages came in an order that is not allowed.

    Attributes:
        field: the offending message field.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(LexituneError):
    """A named thing does not exist."""


class ModelNotFoundError(NotFoundError):
    """A model reference names nothing; the message lists the near ones."""


class PhraseSetNotFoundError(NotFoundError):
    """No phrases are kept under a name; the message lists the near ones.

    Attributes:
        field: the message field that names it, if one does.
        reason: the machine-readable reason.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.reason = PHRASE_SET_NOT_FOUND


class JobNotFoundError(NotFoundError):
    """The caller has no job of an id.

    Attributes:
        reason: the machine-readable reason.
    """

    reason = JOB_NOT_FOUND


class UploadNotFoundError(NotFoundError):
    """The caller has no file of an id.

    Attributes:
        reason: the machine-readable reason.
    """

    reason = UPLOAD_NOT_FOUND


class CandidateNotFoundError(NotFoundError):
    """The caller has no candidate for correction of an id.

    Attributes:
        reason: the machine-readable reason.
    """

    reason = CANDIDATE_NOT_FOUND


class AlreadyExistsError(LexituneError):
    """A name that shall be new is taken."""


class ModelError(LexituneError):
    """A model exists but cannot be loaded or used."""


class ChecksumError(ModelError):
    """Bytes are not the bytes that were published."""


class ModelInUseError(ModelError):
    """Calls hold the model that shall be unloaded."""


class UploadInUseError(LexituneError):
    """A job that is not over needs the file that shall be deleted."""


class MissingDependencyError(LexituneError):
    """An optional part is not installed; the message names the command that installs it."""


class ResourceError(LexituneError):
    """This machine ran out of disk or memory; the message says what to change."""


class LimitError(LexituneError):
    """A limit of this server was reached.

    Attributes:
        reason: the machine-readable reason, e.g. "STREAM_SLOTS".
        retry_s: when to try again; None leaves that to the table of statuses.
    """

    def __init__(self, message: str, *, reason: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_s = retry_s


class ExpiredError(LexituneError):
    """A stream was ended because it idled or lasted too long.

    Attributes:
        reason: the machine-readable reason, e.g. "IDLE".
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnauthenticatedError(LexituneError):
    """A server that asks for a token was given none, an unknown or an expired one. The message never holds it.

    Attributes:
        reason: the machine-readable reason, e.g. "TOKEN_EXPIRED".
    """

    def __init__(self, message: str, *, reason: str = "UNAUTHENTICATED") -> None:
        super().__init__(message)
        self.reason = reason


class NotPermittedError(LexituneError):
    """The method is not served here, or it or the model is not this caller's."""


class UnavailableError(LexituneError):
    """Something is not there now and may be later.

    Attributes:
        reason: the machine-readable reason, e.g. "DRAINING".
    """

    def __init__(self, message: str, *, reason: str = "UNAVAILABLE") -> None:
        super().__init__(message)
        self.reason = reason
