"""An exported version on a few probes: does it say what the reference engine says, and how long does it take?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance
from asr.models.base import DecodingOptions, Samples, SpeechModel
from asr.models.export import PARITY_RATIO, Parity, check_parity, latency_ratio
from asr.models.resolve import ResolvedModel
from asr.recognizer import Recognizer
from asr.results import Hypothesis
from training.family import Family
from training.progress import Reporter
from training.scoring import BATCH, GREEDY, SERVED


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcribed:
    """Utterances with transcripts, and what the reference engine and the export make of each."""

    rows: Sequence[Utterance]
    by_reference: Sequence[str]
    by_export: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What the probes showed.

    Attributes:
        parity: with the reference engine.
        parity_limit: share of equal characters that is asked for.
        latency_ratio: time to decode, as a multiple of the base's.
        transcribed: where parity falls short and there are transcripts: whether the export is the worse for it.
    """

    parity: Parity
    parity_limit: float
    latency_ratio: float
    transcribed: Transcribed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A version on disk, the context in which it is heard first, and the phrases that it carries."""

    folder: Path
    context: str
    phrases: PhraseSet | None


def probe(
    exported: Exported, family: Family, base: ResolvedModel, probes: Sequence[Samples], reporter: Reporter,
    *, language: str, num_threads: int, transcribed: Sequence[tuple[Utterance, Samples]] = (),
) -> Probed:  # fmt: skip
    """Decode ``probes``, in ``language``, with a version, its reference and its base.

    Where eight bits say something else than the reference, both decode what is ``transcribed``, too: utterances of one
    segment. A model that is unsure is as wrong in eight bits as in 32, with other words.
    """
    reference, engine = family.engines(exported.folder, exported.context)
    greedy = replace(GREEDY, language=language)
    parity = check_parity(reference, engine, probes, greedy)
    before = Recognizer.open(base, num_threads=num_threads)
    limit = PARITY_RATIO
    if not parity.passed:  # eight bits differ where a model is unsure: no more than the base's, though
        plain = replace(base, phrases=None)
        base_reference = Recognizer.open(plain, engine="torch")
        base_engine = Recognizer.open(plain, num_threads=num_threads)
        limit = min(limit, check_parity(base_reference, base_engine, probes, greedy).ratio)
        base_engine.close()
    compared = None
    if parity.ratio < limit and transcribed:
        rows, segments = zip(*transcribed, strict=True)
        compared = Transcribed(
            rows=rows,
            by_reference=_texts(reference, segments, greedy),
            by_export=_texts(engine, segments, greedy),
        )
    served = _Served(engine, exported.phrases)
    ratio = latency_ratio(before, served, probes, replace(SERVED, language=language))
    engine.close()
    before.close()
    reporter.note(
        f"export: {parity.num_equal}/{parity.num_probes} probes equal, {parity.ratio:.1%} of characters; decoding "
        f"takes {ratio:.2f} times as long as the base's"
    )
    return Probed(parity=parity, parity_limit=limit, latency_ratio=ratio, transcribed=compared)


def _texts(engine: SpeechModel, segments: Sequence[Samples], options: DecodingOptions) -> list[str]:
    batches = (segments[start : start + BATCH] for start in range(0, len(segments), BATCH))
    return [hypotheses[0].text for batch in batches for hypotheses in engine.decode(batch, options)]


@dataclass(frozen=True, slots=True)
class _Served:
    """An engine with the phrases that its version carries."""

    engine: SpeechModel
    phrases: PhraseSet | None

    def decode(self, segments: Sequence[Samples], options: DecodingOptions) -> list[list[Hypothesis]]:
        return self.engine.decode(segments, options, [self.phrases] * len(segments))
