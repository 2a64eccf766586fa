"""What an adaptation job needs of a Wav2Vec2-CTC base: examples, method, scorer, export and language model.

It decides about the vocabulary: the checkpoint's outputs are kept; letters or digits that enough transcripts need get new
ones. The order of steps, mixes, gate and publishing are the job's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from asr.data.manifest import Utterance
from asr.decoding.ctc import LM_FOLDER, BeamSearch, read_language_model
from asr.decoding.ctc_tokens import read_tokens
from asr.models.base import DecodingOptions
from asr.models.checkpoint import load_wav2vec2
from asr.models.ctc_torch import TorchCtc, geometry, reads_normalized
from asr.text.normalize import DEFAULT_NORMALIZER
from training.ctc_method import HEAD_WARMUP_SHARE, CtcMethod, add_outputs, save_ctc
from training.ctc_scoring import CtcScorer
from training.ctc_text import CtcExamples, make_ctc_examples, new_characters
from training.ngram import (
    NgramFacts,
    Tuning,
    remove_language_model,
    search_wer,
    tune_weights,
    write_ngram,
)

MIN_NEW_ROWS = 20  # transcripts that need a character before it gets an output: fewer cannot teach it
SERVED_BEAM = DecodingOptions().beam_size


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModelReport:
    """What the domain's n-gram was made from, dev's WER with what was there before, and whether the new one is kept."""

    facts: NgramFacts
    tuning: Tuning
    wer_before: float
    kept: bool


class CtcFamily:
    """The Wav2Vec2-CTC side of a job.

    Attributes:
        base: folder that the job starts from; with new outputs, a copy in the job's folder.
        model: loaded from it, on the CPU, in float32.
        tokens: its outputs.
        characters: those that are new.
    """

    def __init__(self, base: Path, transcripts: Iterable[str], *, work: Path, seed: int) -> None:
        """Load ``base`` and give outputs to the characters that at least ``MIN_NEW_ROWS`` transcripts need.

        Args:
            base: transformers folder.
            transcripts: of the training rows.
            work: the job's folder; a base with new outputs is written there.
            seed: of the new outputs and of training.
        """
        self._seed = seed
        self.base = base
        self.model = load_wav2vec2(base)
        config = self.model.config
        self.tokens = read_tokens(base, blank=config.pad_token_id, vocab_size=config.vocab_size)
        self.characters = self._needed(list(transcripts))
        if self.characters:
            self.tokens = add_outputs(self.model, self.tokens, self.characters, seed=seed)
            self.base = work / "base"
            save_ctc(self.model, self.tokens, base, self.base)

    def _needed(self, transcripts: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, int] = {}
        for text in transcripts:
            for character in new_characters([text], self.tokens):
                found[character] = found.get(character, 0) + 1
        return tuple(sorted(character for character, count in found.items() if count >= MIN_NEW_ROWS))

    def base_state(self) -> dict[str, Tensor]:
        """A copy of the weights as they are now."""
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def examples(self, utterances: Sequence[Utterance]) -> CtcExamples:
        """Rows with labels, and the others with the reason; see :func:`training.ctc_text.make_ctc_examples`."""
        receptive, stride = geometry(self.model.config)
        made = make_ctc_examples(utterances, self.tokens, receptive_samples=receptive, stride_samples=stride)
        if not self.characters:
            return made
        note = f"the model's vocabulary has new outputs for {' '.join(self.characters)}"
        return CtcExamples(examples=made.examples, rejected=made.rejected, notes=(note, *made.notes))

    def method(self, total_steps: int) -> CtcMethod:
        """The model ready to learn; new outputs are warmed up alone first."""
        return CtcMethod(
            self.model,
            seed=self._seed,
            normalizes=reads_normalized(self.base),
            head_only_steps=round(HEAD_WARMUP_SHARE * total_steps) if self.characters else 0,
        )

    def scorer(self, *, num_workers: int) -> CtcScorer:
        """Scores weights of this model as served."""
        return CtcScorer(self.base, num_workers=num_workers)

    def export(self, state: Mapping[str, Tensor], folder: Path) -> None:
        """Write the version: ``state`` with the base's files; its language model, if it has one, goes along."""
        model = load_wav2vec2(self.base)  # not the one that learned, which may be divided between processes
        model.load_state_dict(dict(state))
        save_ctc(model, self.tokens, self.base, folder)

    def engines(self, folder: Path) -> tuple[TorchCtc, TorchCtc]:
        """A version as the float32 reference and as served, for the parity check."""
        return TorchCtc(folder, dtype="float32"), TorchCtc(folder)

    def add_language_model(
        self,
        folder: Path,
        texts: Iterable[str],
        dev: Sequence[Utterance],
        *,
        normalizer: str = DEFAULT_NORMALIZER,
        on_trial: Callable[[], None] = lambda: None,
    ) -> LanguageModelReport:
        """Train an n-gram on the domain's ``texts`` into a version's ``lm/``; kept only if dev is better with it.

        A language model that came with the base stays where the new one is no better.

        Args:
            folder: of :meth:`export`.
            texts: of the domain, none of ``dev``'s.
            dev: with transcripts, none longer than a segment.
            normalizer: of the WER.
            on_trial: called after each setting tried.

        Raises:
            InputError: none of the texts can be written in the model's characters.
            MissingDependencyError: the beam's library is not installed on this machine.
        """
        spoken = [utterance for utterance in dev if utterance.text]
        references = [utterance.text or "" for utterance in spoken]
        emissions = CtcScorer(folder, num_workers=1).emissions({}, spoken)
        with tempfile.TemporaryDirectory(prefix="lexitune-lm-") as temporary:
            trial = Path(temporary)
            facts = write_ngram(texts, self.tokens, trial)
            tuning = tune_weights(
                trial,
                self.tokens,
                emissions,
                references,
                beam_size=SERVED_BEAM,
                normalizer=normalizer,
                on_trial=on_trial,
            )
            came_with = read_language_model(folder)
            wer_before = tuning.wer_without
            if came_with is not None:
                search = BeamSearch(self.tokens, came_with)
                wer_before = search_wer(
                    search, self.tokens, emissions, references, beam_size=SERVED_BEAM, normalizer=normalizer
                )
            kept = tuning.wer_with < wer_before
            if kept:
                remove_language_model(folder)
                shutil.copytree(trial / LM_FOLDER, folder / LM_FOLDER)
        return LanguageModelReport(facts=facts, tuning=tuning, wer_before=wer_before, kept=kept)
