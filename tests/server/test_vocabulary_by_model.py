"""A vocabulary once its model is known: what was accepted stays so, but for what the model cannot write."""

from collections.abc import AsyncIterator

from asr.biasing.phrases import Phrase, phrase_set
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import OptionError
from asr.streaming.messages import Finalize, VocabularyApplied
from server.vocabulary import PhraseChange, Resolved, ServedInput, changed, unusable, written_by

LETTERS = CtcTokens(labels=("", " ", *"abcdefghijklmnopqrstuvwxyz"), blank=0)


def _resolved(*texts: str, **classes: tuple[str, ...]) -> Resolved:
    asked = tuple(Phrase(text=text) for text in texts)
    found, reports = phrase_set(asked, classes)
    return Resolved(found or None, reports, asked, classes)


def test_a_class_that_was_refused_before_takes_no_room() -> None:
    resolved = _resolved("oat milk", "$ROOM", ROOM=("lobby", "101")).by(LETTERS)
    assert [one.state.name for one in resolved.reports] == ["ACTIVE", "REFUSED"]
    assert resolved.phrases is not None and [one.text for one in resolved.phrases] == ["oat milk"]


def test_a_model_that_writes_any_text_changes_nothing() -> None:
    resolved = _resolved("café")
    assert resolved.by(None) is resolved


async def test_a_change_on_the_way_loses_what_cannot_be_written_and_nothing_else() -> None:
    error = unusable(OptionError("too many"))
    inputs: list[ServedInput] = [
        b"audio", changed(_resolved("café", "oat milk")), changed(_resolved("café")), error, Finalize(),
    ]  # fmt: skip

    async def source() -> AsyncIterator[ServedInput]:
        for one in inputs:
            yield one

    audio, some, none, refused, finalize = [one async for one in written_by(LETTERS, source())]
    assert (audio, refused, finalize) == (b"audio", error, Finalize())
    assert isinstance(some, PhraseChange) and some.phrases is not None
    assert [one.text for one in some.phrases] == ["oat milk"]
    assert [one.state.name for one in some.applied.phrases] == ["REFUSED", "ACTIVE"]
    assert isinstance(none, PhraseChange) and none.phrases is None
    assert isinstance(none.applied, VocabularyApplied) and not none.applied.error


def test_what_waits_is_counted_with_its_classes() -> None:
    change = changed(_resolved("oat milk", DRUG=("a" * 1000, "b" * 1000)))
    assert change.num_bytes > 2000
