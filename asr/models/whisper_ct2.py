"""Whisper on CTranslate2: int8 on a CPU, float16 on a GPU. The engine that serves.

B segments, M mel bins, F feature frames, E encoder frames, U tokens. Segments are encoded one by one (on a CPU the
encoder gains nothing from a batch) and those of one context are decoded together. A model that was taught to is run
at each segment's own length; any other gets whole windows of 30 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asr.biasing.phrases import PhraseSet
from asr.errors import ModelError, OptionError
from asr.features import log_mel
from asr.models.base import WARM_SAMPLES, DecodingOptions, Samples
from asr.models.contexts import is_taught, own_frames
from asr.models.guards import is_loop, is_silence
from asr.models.whisper_phrases import (
    SCORED_TOGETHER,
    SCORED_TOGETHER_ON_GPU,
    Encoded,
    PhraseScorer,
    Searched,
    near_speech,
)
from asr.models.whisper_tokens import WhisperTokenizer
from asr.models.word_times import timed_words, token_starts
from asr.results import LOOP, SILENCE, Hypothesis, Word
from asr.storage import read_verified
from asr.text.languages import ENGLISH
from asr.units import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WHISPER_WINDOW_FRAMES,
    WHISPER_WINDOW_S,
    WHISPER_WINDOW_SAMPLES,
    to_seconds,
)

WEIGHTS = "model.bin"
MAX_NEW_TOKENS = 224  # half of Whisper's 448, as openai/whisper decodes
LOOP_NGRAM = 3
WARM_TOKENS = 8


class CTranslate2Whisper:
    """A converted Whisper folder, loaded."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        compute_type: str = "",
        num_threads: int = 0,
        num_workers: int = 1,
        own_length: bool = False,
        batch_encoding: bool | None = None,
        sha256: str = "",
    ) -> None:
        """Load ``folder``.

        Args:
            folder: with model.bin, config.json, vocabulary and tokenizer.json.
            device: "cpu" or "cuda".
            compute_type: CTranslate2's; "" is int8 on a CPU and float16 on a GPU.
            num_threads: per worker; 0 is one thread a worker.
            num_workers: decodings that may run at the same time.
            own_length: whether segments are heard at their own length, which only a model that was proved on it can.
            batch_encoding: whether segments of one context are encoded together; None does so on a GPU, where it gains.
            sha256: that model.bin must have; the bytes that were hashed are those that are loaded. "" asks for none.

        Raises:
            ChecksumError: model.bin has another one.
            ModelError: the folder cannot be loaded.
        """
        import ctranslate2

        files = read_verified(folder, WEIGHTS, sha256) if sha256 else None
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder),
                files=files,
                device=device,
                compute_type=compute_type or ("int8" if device == "cpu" else "float16"),
                intra_threads=max(1, num_threads),
                inter_threads=max(1, num_workers),
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{folder} cannot be loaded on {device}: {error}") from error
        self._storage = ctranslate2.StorageView
        self._tokenizer = WhisperTokenizer(folder / "tokenizer.json")
        together = SCORED_TOGETHER if device == "cpu" else SCORED_TOGETHER_ON_GPU
        self._phrases = PhraseScorer(self._model, self._storage, self._tokenizer, together)
        self._num_mel_bins = self._model.n_mels
        self._own_length = own_length
        self._batch_encoding = device != "cpu" if batch_encoding is None else batch_encoding
        self.languages = self._tokenizer.languages

    def close(self) -> None:
        """Free the model's memory."""
        self._model.unload_model()

    def warm(self) -> None:
        """See :class:`asr.models.base.SpeechModel`; briefly, for of silence an untaught model would write for long."""
        output = self.encode(np.zeros(WARM_SAMPLES, np.float32), own_frames(WARM_SAMPLES))
        prompt = self._tokenizer.prompt(ENGLISH if ENGLISH in self.languages else self.languages[0])
        self._model.generate(self._storage.from_array(output), [prompt], max_length=WARM_TOKENS)

    def encode(self, samples: Samples, num_frames: int = 0) -> Encoded:
        """Samples (T,) to encoder output (1, E, D), float32.

        Args:
            samples: one segment.
            num_frames: of the context, F = 2 E; 0 takes the one that this model is served with.
        """
        return self._encode([samples], num_frames or self.context_frames(len(samples)))

    def _encode(self, segments: Sequence[Samples], num_frames: int) -> Encoded:
        """Segments of one context to encoder outputs (B, E, D), float32."""
        for samples in segments:
            if len(samples) > WHISPER_WINDOW_SAMPLES:
                raise OptionError(
                    f"a segment lasts {to_seconds(len(samples)):.1f} s; a Whisper window holds {WHISPER_WINDOW_S} s: "
                    "cut it"
                )
        features = [
            log_mel(samples, num_mel_bins=self._num_mel_bins, num_frames=num_frames) for samples in segments
        ]
        stacked = self._storage.from_array(np.ascontiguousarray(np.stack(features)))
        return np.asarray(self._model.encode(stacked, to_cpu=True))

    def context_frames(self, num_samples: int, language: str | None = None) -> int:
        """Feature frames of the context in which a segment of ``num_samples`` in a language is heard."""
        own = self._own_length and is_taught(language)
        return own_frames(num_samples) if own else WHISPER_WINDOW_FRAMES

    def decode(
        self,
        segments: Sequence[Samples],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
    ) -> list[list[Hypothesis]]:
        """See :class:`asr.models.base.SpeechModel`."""
        voiced = [index for index, samples in enumerate(segments) if len(samples)]
        outputs = self._heard([segments[index] for index in voiced], options)
        durations = [to_seconds(len(segments[index])) for index in voiced]
        sets = [phrases[index] for index in voiced] if phrases is not None else None

        def whole(place: int) -> Encoded:
            return self.encode(segments[voiced[place]], WHISPER_WINDOW_FRAMES)

        decoded = self.decode_encoded(outputs, durations, options, sets, whole=whole)
        results = [[Hypothesis(text="", no_speech_prob=1.0)] for _ in segments]
        for index, hypotheses in zip(voiced, decoded, strict=True):
            results[index] = hypotheses
        return results

    def _heard(self, segments: Sequence[Samples], options: DecodingOptions) -> list[Encoded]:
        """Encoder outputs in the contexts that fit the language, once that is known."""
        frames = [self.context_frames(len(samples), options.language) for samples in segments]
        outputs = self._encoded(segments, frames)
        if not (self._own_length and options.language is None and self._tokenizer.is_multilingual):
            return outputs
        return [
            output
            if is_taught(self._language(output, options))
            else self.encode(samples, WHISPER_WINDOW_FRAMES)
            for samples, output in zip(segments, outputs, strict=True)
        ]

    def _encoded(self, segments: Sequence[Samples], frames: Sequence[int]) -> list[Encoded]:
        if not self._batch_encoding:
            return [self.encode(samples, count) for samples, count in zip(segments, frames, strict=True)]
        outputs: dict[int, Encoded] = {}
        for count in set(frames):
            members = [index for index, own in enumerate(frames) if own == count]
            stacked = self._encode([segments[index] for index in members], count)
            outputs |= {index: stacked[row : row + 1] for row, index in enumerate(members)}
        return [outputs[index] for index in range(len(segments))]

    def decode_encoded(
        self,
        outputs: Sequence[Encoded],
        durations_s: Sequence[float],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
        *,
        whole: Callable[[int], Encoded] | None = None,
    ) -> list[list[Hypothesis]]:
        """Decode what :meth:`encode` gave for B segments; alternatives best first.

        Args:
            outputs: of each segment.
            durations_s: of each segment.
            options: of the search.
            phrases: that each may hold.
            whole: the encoder output of a segment, by its index, in a whole window: a search that runs
                in circles at the own length is done again there.
        """
        results: list[list[Hypothesis]] = [[] for _ in outputs]
        groups: dict[tuple[str | None, int], list[int]] = {}
        for index, output in enumerate(outputs):
            groups.setdefault((self._language(output, options), output.shape[1]), []).append(index)
        for (language, _), members in groups.items():
            stacked = np.concatenate([outputs[index] for index in members])
            durations = [durations_s[index] for index in members]
            sets = [phrases[index] if phrases is not None else None for index in members]
            is_own = 2 * stacked.shape[1] < WHISPER_WINDOW_FRAMES
            again = [partial(whole, index) for index in members] if whole and is_own else []
            decoded = self._search(stacked, durations, language, options, sets, again)
            for index, hypotheses in zip(members, decoded, strict=True):
                results[index] = hypotheses
        return results

    def _language(self, output: Any, options: DecodingOptions) -> str | None:
        if options.language is not None or not self._tokenizer.is_multilingual:
            return options.language
        ((best, _probability), *_rest) = self._model.detect_language(self._storage.from_array(output))[0]
        return str(best)[2:-2]

    def _search(
        self, outputs: Any, durations: list[float], language: str | None, options: DecodingOptions,
        phrases: Sequence[PhraseSet | None], again: Sequence[Callable[[], Encoded]],
    ) -> list[list[Hypothesis]]:  # fmt: skip
        prompt = self._tokenizer.prompt(language)
        wanted_texts = max(options.max_alternatives, options.beam_size if any(phrases) else 1)
        generated, looped = self._generate(outputs, prompt, options, wanted_texts, again)
        heard = [looped.get(index, outputs[index : index + 1]) for index in range(len(outputs))]
        best = [self._best(result) for result in generated]
        every = range(len(best)) if options.word_times else ()
        aligned = self._align(heard, prompt, best, durations, every)
        changed = []
        for index, wanted in enumerate(phrases):
            if wanted and not is_silence(generated[index].no_speech_prob, best[index].score):
                near = near_speech(heard[index], durations[index])
                known = aligned.get(index) if near is heard[index] else None
                others = [self._text_tokens(other) for other in generated[index].sequences_ids[1:]]
                is_free = near is heard[index] and index not in looped
                found = self._phrases.biased(
                    best[index], others, wanted, near, prompt, language, known, is_free=is_free
                )
                changed += [index] if found is not best[index] and options.word_times else []
                best[index] = found
        aligned |= self._align(heard, prompt, best, durations, changed)
        words: list[tuple[Word, ...]] = [()] * len(best)
        for index, alignment in aligned.items():
            words[index] = self._words(best[index].tokens, alignment, durations[index], language)
        return [
            self._hypotheses(
                result, best[index], words[index], LOOP if index in looped else "", options.max_alternatives
            )
            for index, result in enumerate(generated)
        ]

    def _best(self, result: Any) -> Searched:
        return Searched(self._text_tokens(result.sequences_ids[0]), result.scores[0])

    def _text_tokens(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token < self._tokenizer.end_of_text]

    def _generate(
        self, outputs: Any, prompt: list[int], options: DecodingOptions, num_texts: int,
        again: Sequence[Callable[[], Encoded]],
    ) -> tuple[list[Any], dict[int, Encoded]]:  # fmt: skip
        """Results of all rows, and the encoder outputs of those whose search ran in circles and was done again.

        Again is in a whole window (``again`` of the row), if there is one, and without repetition if that circles, too.
        """
        results = self._beams(outputs, prompt, options, num_texts)
        looped = {
            index: outputs[index : index + 1] for index, one in enumerate(results) if self._is_loop(one)
        }
        for index in looped:
            if again:
                looped[index] = again[index]()
                (results[index],) = self._beams(looped[index], prompt, options, num_texts)
            if self._is_loop(results[index]):
                (results[index],) = self._beams(looped[index], prompt, options, num_texts, LOOP_NGRAM)
        return results, looped

    def _is_loop(self, result: Any) -> bool:
        return is_loop(self._tokenizer.decode(result.sequences_ids[0]))

    def _beams(
        self, outputs: Any, prompt: list[int], options: DecodingOptions, num_texts: int, ngram: int = 0
    ) -> list[Any]:
        """Results with ``num_texts`` texts each, at most one a beam; how many are asked for changes none of them."""
        results: list[Any] = self._model.generate(
            self._storage.from_array(outputs),
            [prompt] * len(outputs),
            beam_size=options.beam_size,
            num_hypotheses=num_texts,
            max_length=MAX_NEW_TOKENS,
            return_scores=True,
            return_no_speech_prob=True,
            no_repeat_ngram_size=ngram,
        )
        return results

    def _hypotheses(
        self, result: Any, best: Searched, words: tuple[Word, ...], guard: str, num_texts: int
    ) -> list[Hypothesis]:
        others = [Searched(*one) for one in zip(result.sequences_ids[1:], result.scores[1:], strict=True)]
        others = others[: num_texts - 1]
        hypotheses = []
        for rank, (tokens, score) in enumerate([best, *others]):
            said = self._tokenizer.text(tokens)
            text = "" if is_silence(result.no_speech_prob, result.scores[rank]) else said
            hypotheses.append(
                Hypothesis(
                    text=text,
                    words=words if rank == 0 and text else (),
                    avg_log_prob=score,
                    no_speech_prob=result.no_speech_prob,
                    confidence=math.exp(min(0.0, score)),
                    guard=SILENCE if said and not text else guard,
                )
            )
        return hypotheses

    def _align(
        self, heard: Sequence[Encoded], prompt: list[int], texts: Sequence[Searched], durations: list[float],
        indices: Sequence[int],
    ) -> dict[int, Any]:  # fmt: skip
        """CTranslate2's alignments of the texts at ``indices`` that have a word, by index.

        Each holds the tokens' probabilities, and their path by dynamic time warping over the alignment heads' cross
        attention (openai/whisper).
        """
        found: dict[int, Any] = {}
        for context in {heard[index].shape[1] for index in indices}:
            spoken = [index for index in indices if texts[index].tokens and heard[index].shape[1] == context]
            if not spoken:
                continue
            aligned = self._model.align(
                self._storage.from_array(np.concatenate([heard[index] for index in spoken])),
                prompt,
                [texts[index].tokens for index in spoken],
                [max(2, math.ceil(durations[index] * SAMPLE_RATE_HZ / HOP_SAMPLES)) for index in spoken],
            )
            found |= dict(zip(spoken, aligned, strict=True))
        return found

    def _words(
        self, tokens: list[int], alignment: Any, duration_s: float, language: str | None
    ) -> tuple[Word, ...]:
        grouped = self._tokenizer.words(tokens, language)
        return timed_words(
            [(word.text, word.num_tokens) for word in grouped],
            token_starts(alignment.alignments, len(tokens)),
            list(alignment.text_token_probs),
            duration_s,
        )
