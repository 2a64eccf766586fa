import datetime

from asr.v1 import jobs_pb2 as _jobs_pb2
from asr.v1 import models_pb2 as _models_pb2
from asr.v1 import uploads_pb2 as _uploads_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ManifestInput(_message.Message):
    __slots__ = ("file", "audio_upload_ids")
    class AudioUploadIdsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FILE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_UPLOAD_IDS_FIELD_NUMBER: _ClassVar[int]
    file: _uploads_pb2.InputFile
    audio_upload_ids: _containers.ScalarMap[str, str]
    def __init__(self, file: _Optional[_Union[_uploads_pb2.InputFile, _Mapping]] = ..., audio_upload_ids: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateAdaptationJobRequest(_message.Message):
    __slots__ = ("request_id", "base_model", "name", "alias", "text", "terms", "templates", "train", "dev", "test", "general", "method", "config_toml")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    DEV_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    GENERAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CONFIG_TOML_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    base_model: str
    name: str
    alias: str
    text: _uploads_pb2.InputFile
    terms: _uploads_pb2.InputFile
    templates: _uploads_pb2.InputFile
    train: ManifestInput
    dev: ManifestInput
    test: ManifestInput
    general: ManifestInput
    method: str
    config_toml: str
    def __init__(self, request_id: _Optional[str] = ..., base_model: _Optional[str] = ..., name: _Optional[str] = ..., alias: _Optional[str] = ..., text: _Optional[_Union[_uploads_pb2.InputFile, _Mapping]] = ..., terms: _Optional[_Union[_uploads_pb2.InputFile, _Mapping]] = ..., templates: _Optional[_Union[_uploads_pb2.InputFile, _Mapping]] = ..., train: _Optional[_Union[ManifestInput, _Mapping]] = ..., dev: _Optional[_Union[ManifestInput, _Mapping]] = ..., test: _Optional[_Union[ManifestInput, _Mapping]] = ..., general: _Optional[_Union[ManifestInput, _Mapping]] = ..., method: _Optional[str] = ..., config_toml: _Optional[str] = ...) -> None: ...

class CreateAdaptationJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: AdaptationJob
    def __init__(self, job: _Optional[_Union[AdaptationJob, _Mapping]] = ...) -> None: ...

class AdaptationStage(_message.Message):
    __slots__ = ("name", "done", "total", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    done: int
    total: int
    note: str
    def __init__(self, name: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class AdaptationPoint(_message.Message):
    __slots__ = ("step", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    step: int
    values: _containers.ScalarMap[str, float]
    def __init__(self, step: _Optional[int] = ..., values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AdaptationCheck(_message.Message):
    __slots__ = ("name", "passed", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    passed: bool
    detail: str
    def __init__(self, name: _Optional[str] = ..., passed: bool = ..., detail: _Optional[str] = ...) -> None: ...

class AdaptationOutcome(_message.Message):
    __slots__ = ("reference", "gate_verdict", "gate_reason", "checks", "promoted_alias", "metrics")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    GATE_VERDICT_FIELD_NUMBER: _ClassVar[int]
    GATE_REASON_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_ALIAS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    reference: str
    gate_verdict: _models_pb2.GateVerdict
    gate_reason: str
    checks: _containers.RepeatedCompositeFieldContainer[AdaptationCheck]
    promoted_alias: str
    metrics: _containers.ScalarMap[str, float]
    def __init__(self, reference: _Optional[str] = ..., gate_verdict: _Optional[_Union[_models_pb2.GateVerdict, str]] = ..., gate_reason: _Optional[str] = ..., checks: _Optional[_Iterable[_Union[AdaptationCheck, _Mapping]]] = ..., promoted_alias: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AdaptationJob(_message.Message):
    __slots__ = ("id", "request_id", "state", "base_model", "name", "stage", "points", "notes", "outcome", "create_time", "start_time", "end_time", "expire_time", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    state: _jobs_pb2.JobState
    base_model: str
    name: str
    stage: AdaptationStage
    points: _containers.RepeatedCompositeFieldContainer[AdaptationPoint]
    notes: _containers.RepeatedScalarFieldContainer[str]
    outcome: AdaptationOutcome
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    error: _jobs_pb2.JobError
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., state: _Optional[_Union[_jobs_pb2.JobState, str]] = ..., base_model: _Optional[str] = ..., name: _Optional[str] = ..., stage: _Optional[_Union[AdaptationStage, _Mapping]] = ..., points: _Optional[_Iterable[_Union[AdaptationPoint, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., outcome: _Optional[_Union[AdaptationOutcome, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_jobs_pb2.JobError, _Mapping]] = ...) -> None: ...

class GetAdaptationJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetAdaptationJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: AdaptationJob
    def __init__(self, job: _Optional[_Union[AdaptationJob, _Mapping]] = ...) -> None: ...

class ListAdaptationJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAdaptationJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[AdaptationJob]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[AdaptationJob, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelAdaptationJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelAdaptationJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: AdaptationJob
    def __init__(self, job: _Optional[_Union[AdaptationJob, _Mapping]] = ...) -> None: ...

class DeleteAdaptationJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteAdaptationJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchAdaptationJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchAdaptationJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: AdaptationJob
    def __init__(self, job: _Optional[_Union[AdaptationJob, _Mapping]] = ...) -> None: ...
