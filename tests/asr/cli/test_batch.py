"""A batch in one process: every source has one outcome, whatever happens to the others; progress knows what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.cli.batch import LocalEngine, Outcome, _AudioLeft
from asr.cli.sources import Source
from asr.models.base import DecodingOptions
from asr.recognizer import Recognizer
from asr.results import Segment, Transcript, Word, merge_legs

OPTIONS = DecodingOptions(beam_size=1)


@pytest.fixture(scope="module")
def recognizer(small_whisper: Path) -> Iterator[Recognizer]:
    loaded = Recognizer.load(str(small_whisper), num_workers=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def sources(spoken_utterances: Sequence[Any]) -> list[Source]:
    return [Source(id=row.id, audio_filepath=str(row.audio_path)) for row in spoken_utterances]


def _outcomes(engine: LocalEngine, sources: Sequence[Source]) -> dict[str, Outcome]:
    outcomes: list[Outcome] = []
    engine.run(sources, outcomes.append)
    assert sorted(one.source.id for one in outcomes) == sorted(source.id for source in sources)
    return {one.source.id: one for one in outcomes}


def test_a_source_that_cannot_be_decoded_costs_only_itself(
    recognizer: Recognizer, sources: list[Source]
) -> None:
    class Breaks(Recognizer):
        """The real one, which falls over samples of a mark."""

        def decode(self, segments: Any, *arguments: Any) -> Any:
            if any(len(samples) > 16_000 * 3.2 for samples in segments):
                raise RuntimeError("out of memory in a kernel")
            return super().decode(segments, *arguments)

    expected = _outcomes(LocalEngine(recognizer, OPTIONS), sources)
    lengths = {source.id: len(source.read()) / 16_000 for source in sources}
    longest = max(lengths, key=lambda key: lengths[key])
    broken = Breaks(recognizer.resolved, recognizer._model, device="cpu", num_workers=1)
    found = _outcomes(LocalEngine(broken, OPTIONS), sources)
    failed = [one.failure for one in found.values() if one.failure]
    assert [(one.id, one.code, one.reason) for one in failed] == [
        (longest, "decoding-failed", "RuntimeError: out of memory in a kernel")
    ]
    assert all(found[key] == expected[key] for key in found if key != longest)


def test_a_step_that_fails_shows_nothing_of_the_text(recognizer: Recognizer, sources: list[Source]) -> None:
    def fail(transcript: Transcript) -> Transcript:
        raise ValueError("a step's own fault")

    for one in _outcomes(LocalEngine(recognizer, OPTIONS, finish=fail), sources).values():
        assert one.transcript is None and one.failure is not None
        assert one.failure.reason == "ValueError: a step's own fault"


def test_legs_are_transcribed_apart_and_merged(
    recognizer: Recognizer, sources: list[Source], tmp_path: Path
) -> None:
    legs = [source.read() for source in sources[:2]]
    length = max(len(samples) for samples in legs)
    padded = [np.pad(samples, (0, length - len(samples))) for samples in legs]
    write_audio(tmp_path / "call.wav", np.stack(padded, axis=1))
    call = Source(id="call", audio_filepath=str(tmp_path / "call.wav"), legs=("agent", "customer"))
    found = _outcomes(LocalEngine(recognizer, OPTIONS), [sources[2], call, sources[0]])
    apart = {
        name: recognizer.transcribe(np.ascontiguousarray(call.read()[:, index]), OPTIONS)
        for index, name in enumerate(call.legs)
    }
    assert found["call"].transcript == merge_legs(apart)
    alone = _outcomes(LocalEngine(recognizer, OPTIONS), sources)
    assert found["0"] == alone["0"] and found["2"] == alone["2"]


def test_merged_segments_are_in_order_of_time_and_know_their_leg() -> None:
    def said(*starts: float) -> Transcript:
        segments = tuple(
            Segment(
                text=f"{start}",
                start_s=start,
                end_s=start + 1,
                words=(Word(text="w", start_s=start, end_s=start, confidence=1.0),),
            )
            for start in starts
        )
        return Transcript(segments=segments, duration_s=max(starts) + 1)

    merged = merge_legs({"agent": said(0.0, 4.0), "customer": said(2.0, 4.0, 6.0)})
    assert [(one.leg, one.start_s) for one in merged.segments] == [
        ("agent", 0.0), ("customer", 2.0), ("agent", 4.0), ("customer", 4.0), ("customer", 6.0),
    ]  # fmt: skip
    assert (merged.duration_s, merged.legs) == (7.0, ("agent", "customer"))
    assert [replace(one, leg="") for one in merged.segments if one.leg == "agent"] == [
        *said(0.0, 4.0).segments
    ]


def test_what_is_left_is_declared_or_judged_by_size(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(bytes(1000))
    files = [Source(id=name, audio_filepath=str(tmp_path / "a.wav")) for name in "abc"]
    row = Source(id="row", audio_filepath="gone.wav", duration_s=60.0)
    left = _AudioLeft([*files, row])
    assert left.left_s is None  # nothing to judge by yet
    left.done(files[0], 30.0)
    assert left.left_s == pytest.approx(30 + 30 + 60)
    left.failed(files[1])
    left.done(row, 60.0)
    assert (left.left_s, left.done_s) == (pytest.approx(30), 90)
    left.done(files[2], 30.0)
    assert left.left_s == 0
