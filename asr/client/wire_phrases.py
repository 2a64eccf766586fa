"""Phrases between plain values and protobuf on the client's side; a part of ``asr.client.wire``, which see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import DEFAULT_BOOST, Phrase, PhraseReport, PhraseState
from asr.streaming.messages import Vocabulary
from asr.v1 import phrases_pb2

_STATES: dict[int, PhraseState] = {
    phrases_pb2.PHRASE_STATE_ACTIVE: PhraseState.ACTIVE,
    phrases_pb2.PHRASE_STATE_ALIASED: PhraseState.ALIASED,
    phrases_pb2.PHRASE_STATE_REFUSED: PhraseState.REFUSED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswer:
    """A set that was created or changed, and what becomes of each of its phrases."""

    phrase_set: KeptPhrases
    reports: tuple[PhraseReport, ...] = ()


def vocabulary_message(vocabulary: Vocabulary) -> phrases_pb2.Vocabulary:
    """What utterances may hold; a boost that is the default stays unset, for the server to choose."""
    return phrases_pb2.Vocabulary(
        phrases=_phrase_messages(vocabulary.phrases),
        phrase_sets=vocabulary.phrase_sets,
        classes=_class_messages(vocabulary.classes),
    )


def phrase_set_message(phrase_set: KeptPhrases) -> phrases_pb2.PhraseSet:
    """A set that shall be kept."""
    return phrases_pb2.PhraseSet(
        name=phrase_set.name,
        phrases=_phrase_messages(phrase_set.phrases),
        classes=_class_messages(phrase_set.classes),
    )


def phrase_reports(messages: Iterable[phrases_pb2.PhraseReport]) -> tuple[PhraseReport, ...]:
    """What became of phrases; a state of a newer server is a refusal that gives its reason."""
    return tuple(
        PhraseReport(text=one.text, state=_STATES.get(one.state, PhraseState.REFUSED), reason=one.reason)
        for one in messages
    )


def kept_phrases(message: phrases_pb2.PhraseSet) -> KeptPhrases:
    """A set that is kept."""
    return KeptPhrases(
        name=message.name,
        phrases=tuple(
            Phrase(
                text=one.text,
                boost=one.boost if one.HasField("boost") else DEFAULT_BOOST,
                sounds_like=tuple(one.sounds_like),
                critical=one.critical,
            )
            for one in message.phrases
        ),
        classes={one.name: tuple(one.items) for one in message.classes},
        created_at=message.create_time.ToDatetime(UTC),
        updated_at=message.update_time.ToDatetime(UTC),
    )


def kept_summary(message: phrases_pb2.PhraseSetSummary) -> KeptSummary:
    """A kept set without its phrases."""
    return KeptSummary(
        name=message.name,
        num_phrases=message.num_phrases,
        created_at=message.create_time.ToDatetime(UTC),
        updated_at=message.update_time.ToDatetime(UTC),
    )


def kept_answer(
    response: phrases_pb2.CreatePhraseSetResponse | phrases_pb2.UpdatePhraseSetResponse,
) -> KeptAnswer:
    """A set that was created or changed."""
    return KeptAnswer(phrase_set=kept_phrases(response.phrase_set), reports=phrase_reports(response.reports))


def _phrase_messages(phrases: Iterable[Phrase]) -> list[phrases_pb2.Phrase]:
    return [
        phrases_pb2.Phrase(
            text=one.text,
            boost=None if one.boost == DEFAULT_BOOST else one.boost,
            sounds_like=one.sounds_like,
            critical=one.critical,
        )
        for one in phrases
    ]


def _class_messages(classes: Mapping[str, Sequence[str]]) -> list[phrases_pb2.PhraseClass]:
    return [phrases_pb2.PhraseClass(name=name, items=items) for name, items in classes.items()]
