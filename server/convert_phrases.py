"""Phrases as they are on the wire, to plain values and back: each field checked, and a bad one blamed by its path.

A part of ``server.convert``, which see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import DEFAULT_BOOST, Phrase, PhraseReport, PhraseState
from asr.errors import OptionError
from asr.streaming.messages import Limits, Vocabulary
from asr.v1 import phrases_pb2
from server.vocabulary import CLASS_NAME, check_number, too_many

_STATES = {
    PhraseState.ACTIVE: phrases_pb2.PHRASE_STATE_ACTIVE,
    PhraseState.ALIASED: phrases_pb2.PHRASE_STATE_ALIASED,
    PhraseState.REFUSED: phrases_pb2.PHRASE_STATE_REFUSED,
}


def vocabulary(message: phrases_pb2.Vocabulary, limits: Limits, path: str) -> Vocabulary:
    """A vocabulary, checked as far as it says all itself.

    Args:
        message: as it came.
        limits: of one vocabulary.
        path: of it, for errors.

    Raises:
        OptionError: there is too much of something, or a phrase or class is none; ``field`` is its path.
    """
    if len(message.phrase_sets) > limits.max_phrase_sets:
        raise OptionError(
            f"{len(message.phrase_sets)} phrase sets; at most {limits.max_phrase_sets} are allowed: name those that this "
            "call needs",
            field=f"{path}.phrase_sets",
        )
    return Vocabulary(
        phrases=_phrases(message.phrases, limits, f"{path}.phrases"),
        phrase_sets=tuple(message.phrase_sets),
        classes=_classes(message.classes, limits, f"{path}.classes"),
    )


def kept_phrases(message: phrases_pb2.PhraseSet, limits: Limits) -> KeptPhrases:
    """A set that shall be kept.

    Raises:
        OptionError: as for :func:`vocabulary`, or without a phrase.
    """
    path = "phrase_set.phrases"
    if not message.phrases:
        raise OptionError(f"no phrases; give 1 to {limits.max_phrases}", field=path)
    kept = KeptPhrases(
        name=message.name,
        phrases=_phrases(message.phrases, limits, path),
        classes=_classes(message.classes, limits, "phrase_set.classes"),
    )
    check_number(kept.phrases, kept.classes, limits, path)
    return kept


def report_messages(reports: Iterable[PhraseReport]) -> list[phrases_pb2.PhraseReport]:
    """What became of phrases."""
    return [
        phrases_pb2.PhraseReport(text=one.text, state=_STATES[one.state], reason=one.reason)
        for one in reports
    ]


def create_response(
    kept: KeptPhrases, reports: Iterable[PhraseReport]
) -> phrases_pb2.CreatePhraseSetResponse:
    """The set that is kept now."""
    return phrases_pb2.CreatePhraseSetResponse(
        phrase_set=_kept_message(kept), reports=report_messages(reports)
    )


def update_response(
    kept: KeptPhrases, reports: Iterable[PhraseReport]
) -> phrases_pb2.UpdatePhraseSetResponse:
    """The set as it is now."""
    return phrases_pb2.UpdatePhraseSetResponse(
        phrase_set=_kept_message(kept), reports=report_messages(reports)
    )


def get_response(kept: KeptPhrases) -> phrases_pb2.GetPhraseSetResponse:
    """One set."""
    return phrases_pb2.GetPhraseSetResponse(phrase_set=_kept_message(kept))


def list_response(summaries: Iterable[KeptSummary]) -> phrases_pb2.ListPhraseSetsResponse:
    """Sets without their phrases."""
    return phrases_pb2.ListPhraseSetsResponse(
        phrase_sets=[
            phrases_pb2.PhraseSetSummary(
                name=one.name,
                num_phrases=one.num_phrases,
                create_time=_timestamp(one.created_at),
                update_time=_timestamp(one.updated_at),
            )
            for one in summaries
        ]
    )


def delete_response() -> phrases_pb2.DeletePhraseSetResponse:
    """The set is forgotten."""
    return phrases_pb2.DeletePhraseSetResponse()


def _phrases(messages: Sequence[phrases_pb2.Phrase], limits: Limits, path: str) -> tuple[Phrase, ...]:
    if len(messages) > limits.max_phrases:
        raise too_many(len(messages), limits, path)
    return tuple(_phrase(one, limits, f"{path}[{index}]") for index, one in enumerate(messages))


def _phrase(message: phrases_pb2.Phrase, limits: Limits, path: str) -> Phrase:
    boost = message.boost if message.HasField("boost") else DEFAULT_BOOST
    try:
        phrase = Phrase(text=message.text, boost=boost, critical=message.critical)
    except OptionError as error:
        raise OptionError(str(error), field=f"{path}.{error.field}") from error
    try:
        phrase = replace(phrase, sounds_like=tuple(message.sounds_like))
    except OptionError as error:
        raise OptionError(str(error), field=f"{path}.sounds_like") from error
    for name, forms in (("text", (phrase.text,)), ("sounds_like", phrase.sounds_like)):
        _check_lengths(forms, limits, f"{path}.{name}")
    return phrase


def _classes(
    messages: Sequence[phrases_pb2.PhraseClass], limits: Limits, path: str
) -> dict[str, tuple[str, ...]]:
    if len(messages) > limits.max_phrases:
        raise OptionError(
            f"{len(messages)} classes; at most {limits.max_phrases} are allowed: send those that phrases name",
            field=path,
        )
    classes: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        name, field = message.name.removeprefix("$"), f"{path}[{index}]"
        if not CLASS_NAME.fullmatch(name) or name.upper() in seen:
            problem = "is given twice" if CLASS_NAME.fullmatch(name) else "is not allowed"
            raise OptionError(
                f"the class name {name[:100]!r} {problem}; give letters, digits and underscores, no digit first, each "
                "name once",
                field=f"{field}.name",
            )
        items = dict.fromkeys(" ".join(item.split()) for item in message.items)
        if len(items) > limits.max_phrases:
            raise too_many(len(items), limits, f"{field}.items")
        _check_lengths(items, limits, f"{field}.items")
        seen.add(name.upper())
        classes[name] = tuple(filter(None, items))
    return classes


def _check_lengths(texts: Iterable[str], limits: Limits, path: str) -> None:
    for text in texts:
        if len(text) > limits.max_phrase_characters:
            raise OptionError(
                f"{text[:40]!r}... has {len(text)} characters; at most {limits.max_phrase_characters} are allowed: give "
                "the part that is misheard",
                field=path,
            )


def _kept_message(kept: KeptPhrases) -> phrases_pb2.PhraseSet:
    assert kept.created_at is not None and kept.updated_at is not None
    return phrases_pb2.PhraseSet(
        name=kept.name,
        phrases=[
            phrases_pb2.Phrase(
                text=one.text, boost=one.boost, sounds_like=one.sounds_like, critical=one.critical
            )
            for one in kept.phrases
        ],
        classes=[phrases_pb2.PhraseClass(name=name, items=items) for name, items in kept.classes.items()],
        create_time=_timestamp(kept.created_at),
        update_time=_timestamp(kept.updated_at),
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
