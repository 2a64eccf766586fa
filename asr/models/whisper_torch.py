"""Whisper on torch, float32: the reference that an export is checked against; not served by default.

B segments, M mel bins, F feature frames, E encoder frames, D width, U tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import PhraseSet
from asr.errors import OptionError
from asr.features import log_mel
from asr.models.base import WARM_SAMPLES, DecodingOptions, Samples
from asr.models.checkpoint import load_whisper
from asr.models.contexts import is_taught, own_frames
from asr.models.guards import is_loop
from asr.models.text_scorer import rewritten
from asr.models.whisper_ct2 import MAX_NEW_TOKENS
from asr.models.whisper_tokens import WhisperTokenizer
from asr.models.word_times import timed_words
from asr.results import Hypothesis, Word
from asr.units import (
    ENCODER_FRAME_S,
    WHISPER_WINDOW_FRAMES,
    WHISPER_WINDOW_S,
    WHISPER_WINDOW_SAMPLES,
    to_seconds,
)

if TYPE_CHECKING:
    from torch import Tensor


class TorchWhisper:
    """A transformers Whisper folder, loaded in float32."""

    def __init__(self, folder: Path, *, device: str = "cpu", own_length: bool = False) -> None:
        """Load ``folder``; with ``own_length``, segments are heard at their own length, not in whole windows."""
        self._model = load_whisper(folder).to(device)
        self._device = device
        self._own_length = own_length
        self._tokenizer = WhisperTokenizer(folder / "tokenizer.json")
        self.languages = self._tokenizer.languages

    def warm(self) -> None:
        """See :class:`asr.models.base.SpeechModel`."""
        self.decode([np.zeros(WARM_SAMPLES, np.float32)], DecodingOptions())

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def decode(
        self,
        segments: Sequence[Samples],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
    ) -> list[list[Hypothesis]]:
        """See :class:`asr.models.base.SpeechModel`."""
        wanted = phrases if phrases is not None else [None] * len(segments)
        return [
            self._decode_one(samples, options, some) for samples, some in zip(segments, wanted, strict=True)
        ]

    def _decode_one(
        self, samples: Samples, options: DecodingOptions, phrases: PhraseSet | None
    ) -> list[Hypothesis]:
        import torch

        if not len(samples):
            return [Hypothesis(text="", no_speech_prob=1.0)]
        if len(samples) > WHISPER_WINDOW_SAMPLES:
            raise OptionError(
                f"a segment lasts {to_seconds(len(samples)):.1f} s; a Whisper window holds {WHISPER_WINDOW_S} s: cut it"
            )
        with torch.inference_mode():
            own = self._own_length and is_taught(options.language)
            encoded = self._encode(samples, own_frames(len(samples)) if own else WHISPER_WINDOW_FRAMES)
            language = self._language(encoded, options)
            if own and not is_taught(language):  # nobody had named it
                encoded = self._encode(samples, WHISPER_WINDOW_FRAMES)
            prompt = self._tokenizer.prompt(language)
            num_texts = options.beam_size if phrases else options.max_alternatives
            found = self._found(encoded, prompt, options, num_texts)
            if own and is_loop(self._tokenizer.decode(found[0])):  # as in the engine that serves
                encoded = self._encode(samples, WHISPER_WINDOW_FRAMES)
                found = self._found(encoded, prompt, options, num_texts)
            if phrases:
                found[0] = self._biased(encoded, prompt, found, phrases, language)
            hypotheses = []
            for rank, tokens in enumerate(found[: options.max_alternatives]):
                log_probs, words = self._score(encoded, prompt, tokens, to_seconds(len(samples)), language)
                hypotheses.append(
                    Hypothesis(
                        text=self._tokenizer.text(tokens),
                        words=words if options.word_times and rank == 0 else (),
                        avg_log_prob=log_probs,
                        confidence=math.exp(log_probs),
                    )
                )
        return hypotheses

    def _found(
        self, encoded: Any, prompt: list[int], options: DecodingOptions, num_texts: int
    ) -> list[list[int]]:
        output = self._generate(encoded, prompt, options, num_texts)
        return [
            [token for token in sequence[len(prompt) :].tolist() if token < self._tokenizer.end_of_text]
            for sequence in output.sequences
        ]

    def _encode(self, samples: Samples, num_frames: int) -> Any:
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        features = log_mel(samples, num_mel_bins=self._model.config.num_mel_bins, num_frames=num_frames)[None]
        inputs = torch.from_numpy(features).to(self._device)
        return BaseModelOutput(last_hidden_state=encode_features(self._model, inputs))

    def _language(self, encoded: Any, options: DecodingOptions) -> str | None:
        if options.language is not None or not self._tokenizer.is_multilingual:
            return options.language
        token = self._model.detect_language(encoder_outputs=encoded)[0]
        return self._tokenizer.language_of(int(token))

    def _generate(self, encoded: Any, prompt: list[int], options: DecodingOptions, num_texts: int) -> Any:
        """Beam search with Whisper's generation config; short form, prompt included in the output (rows, U)."""
        import torch
        from transformers import GenerationMixin

        config = self._model.generation_config
        return GenerationMixin.generate(
            self._model,
            encoder_outputs=encoded,
            decoder_input_ids=torch.tensor([prompt], device=self._device),
            num_beams=options.beam_size,
            num_return_sequences=num_texts,
            max_length=len(prompt) + MAX_NEW_TOKENS,
            suppress_tokens=config.suppress_tokens,
            begin_suppress_tokens=config.begin_suppress_tokens,
            do_sample=False,
            return_dict_in_generate=True,
        )

    def _biased(
        self,
        encoded: Any,
        prompt: list[int],
        found: Sequence[list[int]],
        phrases: PhraseSet,
        language: str | None,
    ) -> list[int]:
        """The first of ``found``, or one of them with phrases that its audio says (``asr.biasing.rescoring``)."""
        tokens = found[0]

        def log_probs(one: list[int]) -> NDArray[np.float64]:
            return np.asarray(self._log_probs(encoded, prompt, one)[0][: len(one)].double().cpu())

        rewrite = rewritten(
            found,
            phrases,
            language,
            self._tokenizer,
            lambda: log_probs(tokens),
            lambda rows: [float(log_probs(one).sum()) for one in rows],
        )
        return tokens if rewrite is None else self._tokenizer.encode(rewrite.text)

    def _log_probs(self, encoded: Any, prompt: list[int], tokens: list[int]) -> tuple[Tensor, Any]:
        """Log probabilities (U + 1,) of the tokens and of the end behind them, and the pass that gave them."""
        import torch

        inputs = torch.tensor([[*prompt, *tokens, self._tokenizer.end_of_text]], device=self._device)
        output = self._attend(encoded, inputs)
        first = len(prompt) - 1
        log_probs = output.logits[0].log_softmax(-1)
        return log_probs[torch.arange(first, inputs.shape[1] - 1), inputs[0, first + 1 :]], output

    def _score(
        self, encoded: Any, prompt: list[int], tokens: list[int], duration_s: float, language: str | None
    ) -> tuple[float, tuple[Word, ...]]:
        """Mean log probability of ``tokens`` and their words, timed by the alignment heads' cross attention."""
        import torch

        if not tokens:
            return 0.0, ()
        chosen, output = self._log_probs(encoded, prompt, tokens)
        num_frames = max(1, min(math.ceil(duration_s / ENCODER_FRAME_S), encoded.last_hidden_state.shape[1]))
        heads = [
            output.cross_attentions[layer][0, head, :, :num_frames]
            for layer, head in self._model.generation_config.alignment_heads
        ]
        starts = attention_starts(torch.stack(heads).cpu().numpy(), len(prompt), len(tokens))
        words = [(word.text, word.num_tokens) for word in self._tokenizer.words(tokens, language)]
        probs = chosen[: len(tokens)].exp().tolist()
        return float(chosen.mean()), timed_words(words, starts, probs, duration_s)

    def _attend(self, encoded: Any, inputs: Any) -> Any:
        """One forward pass that keeps attention weights, which only the eager implementation computes."""
        implementation = self._model.config._attn_implementation
        self._model.set_attn_implementation("eager")
        try:
            return self._model(encoder_outputs=encoded, decoder_input_ids=inputs, output_attentions=True)
        finally:
            self._model.set_attn_implementation(implementation)


def encode_features(model: Any, features: Tensor) -> Tensor:
    """Encoder outputs (B, E, D) of log-mel features (B, M, F) with F = 2 E at most a whole window.

    transformers' own forward refuses less than 3000 frames; this is the same with the first E positions.
    """
    from torch.nn.functional import gelu

    encoder = model.model.encoder
    hidden = gelu(encoder.conv2(gelu(encoder.conv1(features)))).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        output = layer(hidden, None)
        hidden = output[0] if isinstance(output, tuple) else output
    encoded: Tensor = encoder.layer_norm(hidden)
    return encoded


def attention_starts(attention: np.ndarray[Any, Any], prompt_length: int, num_tokens: int) -> list[float]:
    """Start (s) of each of U tokens and the end of the last, from attention (heads, prompt + U + 1, E).

    Normalised over tokens, median-filtered over 7 frames, then the cheapest monotonic path (openai/whisper timing.py).
    """
    from scipy.ndimage import median_filter

    weights = (attention - attention.mean(-2, keepdims=True)) / (attention.std(-2, keepdims=True) + 1e-10)
    weights = median_filter(weights, size=(1, 1, 7)).mean(0)[prompt_length - 1 : prompt_length + num_tokens]
    frames = monotonic_path(-weights)
    return [float(frame * ENCODER_FRAME_S) for frame in frames]


def monotonic_path(cost: np.ndarray[Any, Any]) -> list[int]:
    """First frame of each token on the cheapest path through cost (U, E) that moves right, down or both."""
    num_tokens, num_frames = cost.shape
    total = np.full((num_tokens + 1, num_frames + 1), np.inf)
    total[0, 0] = 0.0
    step = np.zeros((num_tokens + 1, num_frames + 1), dtype=np.int8)
    for row in range(1, num_tokens + 1):
        for column in range(1, num_frames + 1):
            options = (total[row - 1, column - 1], total[row - 1, column], total[row, column - 1])
            choice = int(np.argmin(options))
            total[row, column] = cost[row - 1, column - 1] + options[choice]
            step[row, column] = choice
    row, column = num_tokens, num_frames
    first = [0] * num_tokens
    while row > 0 and column > 0:
        first[row - 1] = column - 1
        choice = step[row, column]
        row, column = row - (choice != 2), column - (choice != 1)
    return first
