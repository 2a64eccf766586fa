"""Recordings of manifests as all sides read them: 16 kHz mono wav files, cut beforehand, single or joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.audio.files import write_audio
from asr.data.glossary import read_terms
from asr.data.manifest import Utterance, load_samples, read_manifest
from asr.units import SAMPLE_RATE_HZ
from benchmarks.measure.pacing import Samples, concatenate

SHORT_S = 15.0
LONG_PAUSE_S = (0.3, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One wav file, 16 kHz mono, and what was said in it.

    Attributes:
        utterance: the reference, of which the audio path is the wav file.
        samples: (T,) what the file holds.
        parts: the utterances in it, where it was joined from several.
    """

    utterance: Utterance
    samples: Samples
    parts: tuple[Utterance, ...] = ()

    @property
    def path(self) -> Path:
        """The wav file."""
        return self.utterance.audio_path

    @property
    def duration_s(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE_HZ


def glossary_of(utterances: Sequence[Utterance], path: Path | None) -> list[str]:
    """The terms to count."""
    if path is not None:
        return [term.text for term in read_terms(path)]
    return sorted({term for row in utterances for term in row.terms or ()})


def drawn(manifest: Path, *, limit: int, seed: int, max_s: float = SHORT_S) -> list[Utterance]:
    """At most ``limit`` utterances of at most ``max_s``, drawn by ``seed``, in the manifest's order."""
    rows = [row for row in read_manifest(manifest) if row.duration_s <= max_s]
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return [rows[index] for index in sorted(chosen)]


def short_recordings(
    utterances: Sequence[Utterance], folder: Path, *, tail_s: float | None = None
) -> list[Recording]:
    """A wav file for each utterance, all of it or ``without_tail``."""
    recordings = []
    for index, row in enumerate(utterances):
        samples = load_samples(row)
        kept = samples if tail_s is None else without_tail(samples, tail_s)
        recordings.append(_written(folder / f"{index:05d}.wav", kept, row, ()))
    return recordings


def joined_recordings(
    utterances: Sequence[Utterance], folder: Path, *, length_s: float, seed: int, count: int,
    pause_s: tuple[float, float] = LONG_PAUSE_S, tail_s: float | None = None,
) -> list[Recording]:  # fmt: skip
    """``count`` recordings of about ``length_s``: utterances in a drawn order, pauses between them.

    Every utterance is used at most once in each recording; where they do not suffice, the recording is shorter. With
    ``tail_s`` it ends so long after its last speech.
    """
    recordings = []
    for number in range(count):
        order = np.random.default_rng((seed, number)).permutation(len(utterances))
        parts: list[Utterance] = []
        total_s = 0.0
        for index in order:
            if total_s >= length_s:
                break
            parts.append(utterances[index])
            total_s += utterances[index].duration_s + sum(pause_s) / 2
        samples, _ = concatenate([load_samples(part) for part in parts], seed=seed + number, pause_s=pause_s)
        samples = samples if tail_s is None else without_tail(samples, tail_s)
        recordings.append(
            _written(folder / f"joined-{number:03d}.wav", samples, joined(parts, number), tuple(parts))
        )
    return recordings


def without_tail(samples: Samples, tail_s: float) -> Samples:
    """A recording cut ``tail_s`` after its last speech, as if the speaker then pressed a button; all of it if none."""
    from asr.audio.vad import VoiceActivityDetector
    from asr.streaming.session import Session, SessionOptions, SpeechEnded

    session = Session(SessionOptions(), VoiceActivityDetector())
    events = [*session.push(samples), *session.flush()]
    ends_s = [event.time_s for event in events if isinstance(event, SpeechEnded)]
    return samples[: int((ends_s[-1] + tail_s) * SAMPLE_RATE_HZ)] if ends_s else samples


def joined(parts: Sequence[Utterance], number: int) -> Utterance:
    """The reference of utterances one behind the other: all texts, or all terms where a text is missing."""
    has_text = all(part.text is not None for part in parts)
    has_terms = not has_text and all(part.terms is not None for part in parts)
    return replace(
        parts[0],
        id=f"joined-{number}",
        text=" ".join(part.text or "" for part in parts) if has_text else None,
        terms=tuple(term for part in parts for term in part.terms or ()) if has_terms else None,
        speaker=None,
        session=None,
        offset_s=0.0,
    )


def _written(path: Path, samples: Samples, row: Utterance, parts: tuple[Utterance, ...]) -> Recording:
    write_audio(path, samples)
    cut = replace(row, audio_path=path, offset_s=0.0, channel=None, duration_s=len(samples) / SAMPLE_RATE_HZ)
    return Recording(utterance=cut, samples=samples, parts=parts)
