import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PhraseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHRASE_STATE_UNSPECIFIED: _ClassVar[PhraseState]
    PHRASE_STATE_ACTIVE: _ClassVar[PhraseState]
    PHRASE_STATE_ALIASED: _ClassVar[PhraseState]
    PHRASE_STATE_REFUSED: _ClassVar[PhraseState]
PHRASE_STATE_UNSPECIFIED: PhraseState
PHRASE_STATE_ACTIVE: PhraseState
PHRASE_STATE_ALIASED: PhraseState
PHRASE_STATE_REFUSED: PhraseState

class Phrase(_message.Message):
    __slots__ = ("text", "boost", "sounds_like", "critical")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BOOST_FIELD_NUMBER: _ClassVar[int]
    SOUNDS_LIKE_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_FIELD_NUMBER: _ClassVar[int]
    text: str
    boost: float
    sounds_like: _containers.RepeatedScalarFieldContainer[str]
    critical: bool
    def __init__(self, text: _Optional[str] = ..., boost: _Optional[float] = ..., sounds_like: _Optional[_Iterable[str]] = ..., critical: bool = ...) -> None: ...

class PhraseClass(_message.Message):
    __slots__ = ("name", "items")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class Vocabulary(_message.Message):
    __slots__ = ("phrases", "phrase_sets", "classes")
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    PHRASE_SETS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    phrases: _containers.RepeatedCompositeFieldContainer[Phrase]
    phrase_sets: _containers.RepeatedScalarFieldContainer[str]
    classes: _containers.RepeatedCompositeFieldContainer[PhraseClass]
    def __init__(self, phrases: _Optional[_Iterable[_Union[Phrase, _Mapping]]] = ..., phrase_sets: _Optional[_Iterable[str]] = ..., classes: _Optional[_Iterable[_Union[PhraseClass, _Mapping]]] = ...) -> None: ...

class PhraseReport(_message.Message):
    __slots__ = ("text", "state", "reason")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    text: str
    state: PhraseState
    reason: str
    def __init__(self, text: _Optional[str] = ..., state: _Optional[_Union[PhraseState, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class PhraseSet(_message.Message):
    __slots__ = ("name", "phrases", "classes", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    phrases: _containers.RepeatedCompositeFieldContainer[Phrase]
    classes: _containers.RepeatedCompositeFieldContainer[PhraseClass]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., phrases: _Optional[_Iterable[_Union[Phrase, _Mapping]]] = ..., classes: _Optional[_Iterable[_Union[PhraseClass, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PhraseSetSummary(_message.Message):
    __slots__ = ("name", "num_phrases", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUM_PHRASES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    num_phrases: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., num_phrases: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreatePhraseSetRequest(_message.Message):
    __slots__ = ("phrase_set",)
    PHRASE_SET_FIELD_NUMBER: _ClassVar[int]
    phrase_set: PhraseSet
    def __init__(self, phrase_set: _Optional[_Union[PhraseSet, _Mapping]] = ...) -> None: ...

class CreatePhraseSetResponse(_message.Message):
    __slots__ = ("phrase_set", "reports")
    PHRASE_SET_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    phrase_set: PhraseSet
    reports: _containers.RepeatedCompositeFieldContainer[PhraseReport]
    def __init__(self, phrase_set: _Optional[_Union[PhraseSet, _Mapping]] = ..., reports: _Optional[_Iterable[_Union[PhraseReport, _Mapping]]] = ...) -> None: ...

class GetPhraseSetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPhraseSetResponse(_message.Message):
    __slots__ = ("phrase_set",)
    PHRASE_SET_FIELD_NUMBER: _ClassVar[int]
    phrase_set: PhraseSet
    def __init__(self, phrase_set: _Optional[_Union[PhraseSet, _Mapping]] = ...) -> None: ...

class ListPhraseSetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPhraseSetsResponse(_message.Message):
    __slots__ = ("phrase_sets",)
    PHRASE_SETS_FIELD_NUMBER: _ClassVar[int]
    phrase_sets: _containers.RepeatedCompositeFieldContainer[PhraseSetSummary]
    def __init__(self, phrase_sets: _Optional[_Iterable[_Union[PhraseSetSummary, _Mapping]]] = ...) -> None: ...

class UpdatePhraseSetRequest(_message.Message):
    __slots__ = ("phrase_set",)
    PHRASE_SET_FIELD_NUMBER: _ClassVar[int]
    phrase_set: PhraseSet
    def __init__(self, phrase_set: _Optional[_Union[PhraseSet, _Mapping]] = ...) -> None: ...

class UpdatePhraseSetResponse(_message.Message):
    __slots__ = ("phrase_set", "reports")
    PHRASE_SET_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    phrase_set: PhraseSet
    reports: _containers.RepeatedCompositeFieldContainer[PhraseReport]
    def __init__(self, phrase_set: _Optional[_Union[PhraseSet, _Mapping]] = ..., reports: _Optional[_Iterable[_Union[PhraseReport, _Mapping]]] = ...) -> None: ...

class DeletePhraseSetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeletePhraseSetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
