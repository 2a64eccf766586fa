"""Transcripts in the characters that a CTC checkpoint writes, and the reason where they do not fit.

Case follows the vocabulary; punctuation and accents that it lacks go; letters and digits that it lacks are never dropped:
such a row is refused, or the head is replaced.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr.data.manifest import Utterance
from asr.decoding.ctc_alignment import min_frames
from asr.decoding.ctc_tokens import APOSTROPHES, CtcTokens
from asr.units import SAMPLE_RATE_HZ
from training.examples import Example, Rejected

MAX_AUDIO_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldedText:
    """A transcript as the vocabulary writes it.

    Attributes:
        text: in the vocabulary's case, with single spaces.
        dropped: punctuation that was left out, one entry an occurrence.
        unaccented: accented letters that lost their accent, likewise.
        missing: letters and digits that the vocabulary cannot write; still in ``text``.
    """

    text: str
    dropped: tuple[str, ...] = ()
    unaccented: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def fold_transcript(text: str, tokens: CtcTokens) -> FoldedText:
    """Bring ``text`` into the vocabulary's characters, as far as that loses no letter or digit."""
    written: list[str] = []
    dropped: list[str] = []
    unaccented: list[str] = []
    for sign in tokens.fold(unicodedata.normalize("NFC", text).translate(APOSTROPHES)):
        if sign == " " or sign in tokens.characters:
            written.append(sign)
        elif unicodedata.category(sign)[0] in "PSC":
            dropped.append(sign)
            written.append("" if sign == "'" else " ")  # an apostrophe joins, a dash parts
        elif (plain := _without_accent(sign)) in tokens.characters:
            unaccented.append(sign)
            written.append(plain)
        else:
            written.append(sign)
    folded = " ".join("".join(written).split())
    return FoldedText(
        text=folded, dropped=tuple(dropped), unaccented=tuple(unaccented), missing=tokens.missing(folded)
    )


def _without_accent(sign: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFD", sign) if not unicodedata.combining(part))


@dataclass(frozen=True, kw_only=True, slots=True)
class CtcExamples:
    """What can be trained on, what cannot, and what folding did.

    Attributes:
        examples: utterances with their labels (U,).
        rejected: the others, with the reason.
        notes: what was folded, for the job's report.
    """

    examples: tuple[Example, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def make_ctc_examples(
    utterances: Sequence[Utterance], tokens: CtcTokens, *, receptive_samples: int, stride_samples: int
) -> CtcExamples:
    """Label what can be trained on; the rest comes back with the reason, never dropped silently.

    Args:
        utterances: with transcripts.
        tokens: the checkpoint's vocabulary, or the new one.
        receptive_samples: audio that one frame sees, at 16 kHz.
        stride_samples: audio from one frame to the next.
    """
    examples: list[Example] = []
    rejected: list[Rejected] = []
    folds: list[FoldedText] = []
    for utterance in utterances:
        folded = fold_transcript(utterance.text or "", tokens)
        num_frames = max(
            0, (round(utterance.duration_s * SAMPLE_RATE_HZ) - receptive_samples) // stride_samples + 1
        )
        reason, labels = _labels(folded, utterance.duration_s, num_frames, tokens)
        if reason:
            rejected.append(Rejected(utterance.id, reason))
        else:
            examples.append(Example(utterance, tuple(labels)))
            folds.append(folded)
    return CtcExamples(examples=tuple(examples), rejected=tuple(rejected), notes=tuple(_notes(folds)))


def _labels(
    folded: FoldedText, duration_s: float, num_frames: int, tokens: CtcTokens
) -> tuple[str, list[int]]:
    """The reason to refuse, or "" and the labels."""
    if not folded.text:
        return "no text to learn from", []
    if folded.missing:
        remedy = "write numbers as words, or leave the row out"
        return f"the vocabulary cannot write {' '.join(folded.missing)}: {remedy}", []
    if duration_s > MAX_AUDIO_S:
        return f"{duration_s:.1f} s; at most {MAX_AUDIO_S:.0f} s: cut it", []
    labels = tokens.encode(folded.text)
    if (needed := min_frames(labels)) > num_frames:
        return (
            f"{len(labels)} characters need {needed} frames, {duration_s:.2f} s of audio give {num_frames}",
            [],
        )
    return "", labels


def _notes(folds: Iterable[FoldedText]) -> list[str]:
    dropped: Counter[str] = Counter()
    unaccented: Counter[str] = Counter()
    for folded in folds:
        dropped.update(folded.dropped)
        unaccented.update(folded.unaccented)
    notes = []
    for what, counts in (("punctuation left out", dropped), ("accents left out", unaccented)):
        if counts:
            listed = ", ".join(f"{sign} {count}x" for sign, count in counts.most_common(8))
            notes.append(f"the model's vocabulary lacks it: {what}: {listed}")
    return notes


def new_characters(texts: Iterable[str], tokens: CtcTokens) -> tuple[str, ...]:
    """Letters and digits of ``texts`` that the vocabulary lacks: a head that writes them must be new."""
    found: set[str] = set()
    for text in texts:
        found.update(fold_transcript(text, tokens).missing)
    return tuple(sorted(found))
