"""Jobs and uploads as they are asked for, from messages to plain values. A part of ``server.convert``, which see."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from asr.errors import OptionError, ProtocolError
from asr.jobs import FILES, MANIFESTS
from asr.streaming.messages import Limits, Vocabulary
from asr.text.languages import AUTO
from asr.v1 import adaptation_pb2, batch_pb2, uploads_pb2
from server import convert_phrases
from server.jobs.inputs import ManifestSource, Source
from server.jobs.options import JobsOptions
from server.jobs.rows import is_id

MAX_PAGE = 1000
MAX_TOKEN = 200
MAX_REQUEST_ID = 128
MAX_RECORDING_ID = 255
MAX_LANGUAGE = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRequest:
    """What a batch job is asked to do; ``recordings`` by their ids, in their order."""

    request_id: str
    payload_sha256: str
    model: str
    language: str
    separate_channels: bool
    vocabulary: Vocabulary
    recordings: dict[str, Source]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationRequest:
    """What an adaptation job is asked to do."""

    request_id: str
    payload_sha256: str
    base: str
    name: str
    alias: str
    method: str
    config_toml: str
    files: dict[str, Source]
    manifests: dict[str, ManifestSource]


class _Paged(Protocol):
    page_size: int
    page_token: str


def payload_sha256(request: Message) -> str:
    """Of all that was asked for, to know a repetition by."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def batch_request(
    request: batch_pb2.CreateBatchJobRequest, limits: Limits, options: JobsOptions
) -> BatchRequest:
    """A batch job, checked as far as it says all itself.

    Raises:
        OptionError: a field is not allowed; ``field`` is its path.
    """
    number = len(request.recordings)
    if not 1 <= number <= options.max_recordings:
        raise OptionError(
            f"{number} recordings; give 1 to {options.max_recordings}: more go into several jobs",
            field="recordings",
        )
    if len(request.language_code) > MAX_LANGUAGE:
        raise OptionError(
            "language_code is no code; give one such as en or de-CH, or none", field="language_code"
        )
    recordings: dict[str, Source] = {}
    for index, one in enumerate(request.recordings):
        path = f"recordings[{index}]"
        name = one.id or str(index)
        if len(name) > MAX_RECORDING_ID or "\0" in name or name in recordings:
            problem = "is given twice" if name in recordings else "is not allowed"
            raise OptionError(
                f"the id {name[:80]!r} {problem}; give up to {MAX_RECORDING_ID} characters, each id once",
                field=f"{path}.id",
            )
        recordings[name] = source(one.file, f"{path}.file")
    return BatchRequest(
        request_id=_request_id(request.request_id),
        payload_sha256=payload_sha256(request),
        model=request.model,
        language=request.language_code or AUTO,
        separate_channels=request.separate_channels,
        vocabulary=convert_phrases.vocabulary(request.vocabulary, limits, "vocabulary"),
        recordings=recordings,
    )


def adaptation_request(request: adaptation_pb2.CreateAdaptationJobRequest) -> AdaptationRequest:
    """An adaptation job, checked as far as it says all itself.

    Raises:
        OptionError: a field is not allowed; ``field`` is its path.
    """
    manifests: dict[str, ManifestSource] = {}
    for name in MANIFESTS:
        if request.HasField(name):
            message = getattr(request, name)
            file = source(message.file, f"{name}.file")
            manifests[name] = ManifestSource(file=file, audio=dict(message.audio_upload_ids))
    return AdaptationRequest(
        request_id=_request_id(request.request_id),
        payload_sha256=payload_sha256(request),
        base=request.base_model,
        name=request.name,
        alias=request.alias,
        method=request.method or "auto",
        config_toml=request.config_toml,
        files={name: source(getattr(request, name), name) for name in FILES if request.HasField(name)},
        manifests=manifests,
    )


def source(message: uploads_pb2.InputFile, path: str) -> Source:
    """Where a file is.

    Raises:
        OptionError: it says not.
    """
    match message.WhichOneof("source"):
        case "upload_id":
            return Source(upload_id=message.upload_id or "-")  # an empty one names none, as any other does
        case "root_file":
            return Source(root=message.root_file.root, path=message.root_file.path)
        case _:
            raise OptionError("no file is named; give upload_id or root_file", field=path)


def upload_spec(request: uploads_pb2.UploadFileRequest) -> uploads_pb2.UploadSpec:
    """What is to be sent.

    Raises:
        ProtocolError: the first message is another.
    """
    if request.WhichOneof("part") != "spec":
        raise ProtocolError("the first message of an upload is its spec; send that first", field="spec")
    return request.spec


def upload_content(request: uploads_pb2.UploadFileRequest, max_bytes: int) -> bytes:
    """The next bytes.

    Raises:
        ProtocolError: it holds none.
        OptionError: too many.
    """
    if request.WhichOneof("part") != "content":
        raise ProtocolError("only the first message of an upload has a spec; send content", field="content")
    if len(request.content) > max_bytes:
        raise OptionError(
            f"a message of {len(request.content)} bytes; at most {max_bytes} are allowed: send more, smaller ones",
            field="content",
        )
    return request.content


def page_of(request: _Paged) -> tuple[int, Any]:
    """How many a list shall have, and where it begins: what the token was made of, None at the start.

    Raises:
        OptionError: the token is none of ours.
    """
    size = request.page_size if 0 < request.page_size <= MAX_PAGE else MAX_PAGE
    if not request.page_token:
        return size, None
    try:
        return size, json.loads(base64.urlsafe_b64decode(request.page_token[:MAX_TOKEN]))
    except (ValueError, RecursionError) as error:
        raise OptionError(
            "page_token is none; give next_page_token of the page before, or nothing", field="page_token"
        ) from error


def newest_first(request: _Paged) -> tuple[int, tuple[float, str] | None]:
    """As :func:`page_of`, for lists that end with an instant and an id."""
    size, last = page_of(request)
    if last is None:
        return size, None
    match last:
        case [float() as created_at, str() as name] if math.isfinite(created_at) and is_id(name):
            return size, (created_at, name)
    raise OptionError(
        "page_token is of another list; give next_page_token of the page before", field="page_token"
    )


def behind_index(request: _Paged) -> tuple[int, int]:
    """As :func:`page_of`, for results: the index behind which the page begins, -1 at the start."""
    size, last = page_of(request)
    if last is not None and not (type(last) is int and 0 <= last < 1 << 31):
        raise OptionError(
            "page_token is of another list; give next_page_token of the page before", field="page_token"
        )
    return size, -1 if last is None else last


def _request_id(request_id: str) -> str:
    if not 1 <= len(request_id) <= MAX_REQUEST_ID or "\0" in request_id:
        raise OptionError(
            f"request_id has {len(request_id)} characters; make one up of 1 to {MAX_REQUEST_ID}, such as a UUID, and "
            "send it again with the same request",
            field="request_id",
        )
    return request_id
