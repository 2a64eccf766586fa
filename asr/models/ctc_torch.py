"""Wav2Vec2-CTC on torch: waveform in, log probabilities per frame out, and the search over them.

B segments, T samples, E encoder frames, V vocabulary. Segments of like length run together; a batch gives each the text
that it gives alone.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.biasing.phrases import PhraseSet
from asr.decoding.ctc import read_language_model
from asr.decoding.ctc_alignment import LogProbs
from asr.decoding.ctc_decoder import CtcDecoder
from asr.decoding.ctc_tokens import CtcTokens, read_tokens
from asr.errors import ModelError, OptionError
from asr.models.base import WARM_SAMPLES, DecodingOptions, Samples
from asr.models.checkpoint import load_wav2vec2
from asr.models.ctc_frames import FrameGrid, normalized
from asr.models.precision import has_bfloat16
from asr.results import Hypothesis
from asr.units import SAMPLE_RATE_HZ, WHISPER_WINDOW_S, to_samples, to_seconds

if TYPE_CHECKING:
    from torch import Tensor

MAX_SEGMENT_S = WHISPER_WINDOW_S  # the protocol's limit: attention over all frames costs their square
MAX_BATCH_SAMPLES = to_samples(4 * MAX_SEGMENT_S)  # padding included
MIN_FILL = 0.75  # of a batch's longest segment: less is mostly padding
DEFAULT_LANGUAGES = (
    "en",
)  # of a folder whose model card names none: what most such checkpoints were tuned on
DTYPES = ("auto", "float32", "bfloat16")


class TorchCtc:
    """A transformers ``Wav2Vec2ForCTC`` folder, loaded.

    Attributes:
        languages: of the model card's metadata, else English; a CTC model takes no language, so this only guards
            against requests for another.
        tokens: what the outputs mean.
        stride_samples: audio from one frame to the next.
        grid: where the frames lie, for planning windows.
        decoder: the searches, which need no model.
    """

    def __init__(
        self, folder: Path, *, device: str = "cpu", dtype: str = "auto", num_threads: int = 0
    ) -> None:
        """Load ``folder``, with the language model in its ``lm/`` if there is one.

        Args:
            folder: as ``save_pretrained`` writes model, tokenizer and feature extractor.
            device: "cpu" or "cuda".
            dtype: "float32"; "bfloat16" runs matrix products in it (autocast); "auto" takes it where the device has it.
            num_threads: of torch, in the whole process; 0 leaves them as they are.

        Raises:
            ModelError: the folder cannot be loaded, or wants another sampling rate.
            MissingDependencyError: it holds a language model, and the beam's library is not installed.
        """
        import torch

        if dtype not in DTYPES:
            raise OptionError(f"dtype {dtype!r} is not known; there are {', '.join(DTYPES)}", field="dtype")
        if num_threads:
            torch.set_num_threads(num_threads)
        self._model = load_wav2vec2(folder).to(device)
        self._device = device
        self._bfloat16 = dtype == "bfloat16" or (dtype == "auto" and has_bfloat16(torch.device(device)))
        config = self._model.config
        self._pads = config.feat_extract_norm == "layer"
        receptive, self.stride_samples = geometry(config)
        self.grid = FrameGrid(
            stride_samples=self.stride_samples,
            receptive_samples=receptive,
            normalizes=reads_normalized(folder),
        )
        self.tokens: CtcTokens = read_tokens(folder, blank=config.pad_token_id, vocab_size=config.vocab_size)
        self.languages = card_languages(folder)
        self.decoder = CtcDecoder(self.tokens, self.grid, read_language_model(folder))

    def warm(self) -> None:
        """See :class:`asr.models.base.SpeechModel`."""
        self.decode([np.zeros(WARM_SAMPLES, np.float32)], DecodingOptions())

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Replace the weights named in ``state``; not while another thread decodes.

        Raises:
            ModelError: a name or a shape that the model does not have.
        """
        try:
            unexpected = self._model.load_state_dict(dict(state), strict=False).unexpected_keys
        except RuntimeError as error:
            raise ModelError(f"these weights do not fit the model: {error}") from error
        if unexpected:
            raise ModelError(f"these weights do not fit the model: it has no {', '.join(unexpected[:3])}")

    def emissions(self, samples: Samples) -> LogProbs:
        """Samples (T,) at 16 kHz to log probabilities (E, V), natural log; E is 0 below one receptive field."""
        return self.batch_emissions([samples])[0]

    def batch_emissions(self, segments: Sequence[Samples]) -> list[LogProbs]:
        """B segments to B arrays (E, V), batched by length.

        Raises:
            OptionError: a segment is longer than ``MAX_SEGMENT_S``.
        """
        return self.window_emissions([self._normalized(samples) for samples in segments])

    def window_emissions(self, windows: Sequence[Samples]) -> list[LogProbs]:
        """As :meth:`batch_emissions`, of samples at the level that the model wants (``CtcWindow.samples``).

        The windows of many streams may come together.

        Raises:
            OptionError: a window is longer than ``MAX_SEGMENT_S``.
        """
        for samples in windows:
            if len(samples) > to_samples(MAX_SEGMENT_S):
                raise OptionError(
                    f"a segment lasts {to_seconds(len(samples)):.1f} s; at most {MAX_SEGMENT_S} s are decoded at once: "
                    "cut it"
                )
        results: list[LogProbs] = [np.empty((0, len(self.tokens.labels)), np.float32) for _ in windows]
        for group in self._groups([len(samples) for samples in windows]):
            for index, log_probs in zip(group, self._run([windows[index] for index in group]), strict=True):
                results[index] = log_probs
        return results

    def decode(
        self,
        segments: Sequence[Samples],
        options: DecodingOptions,
        phrases: Sequence[PhraseSet | None] | None = None,
    ) -> list[list[Hypothesis]]:
        """See :class:`asr.models.base.SpeechModel`."""
        self.check_options(options)
        emissions = self.batch_emissions(segments)
        wanted = phrases if phrases is not None else [None] * len(segments)
        return [
            self.decoder.hypotheses(log_probs, to_seconds(len(samples)), options, phrases=some)
            for log_probs, samples, some in zip(emissions, segments, wanted, strict=True)
        ]

    def check_options(self, options: DecodingOptions) -> None:
        """Refuse what this model cannot do, before an utterance is opened with ``options``.

        Raises:
            OptionError: the language is not known.
        """
        if options.language is not None and options.language not in self.languages:
            raise OptionError(
                f"language {options.language!r} is not known to this model; it knows {', '.join(self.languages)}",
                field="language",
            )

    def decode_emissions(
        self, log_probs: LogProbs, duration_s: float, options: DecodingOptions
    ) -> list[Hypothesis]:
        """Search what :meth:`emissions` gave for a segment of this duration; see :meth:`CtcDecoder.hypotheses`."""
        return self.decoder.hypotheses(log_probs, duration_s, options)

    def frame_time_s(self, frame: int) -> float:
        """Where frame ``frame`` begins, s: the middle of its receptive field less half a stride."""
        return self.grid.frame_time_s(frame)

    def _normalized(self, samples: Samples) -> Samples:
        return normalized(samples) if self.grid.normalizes and len(samples) else samples

    def _groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices that run together: long enough to give a frame, of like length, within memory."""
        groups: list[list[int]] = []
        longest = 0
        for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
            if lengths[index] < self.grid.receptive_samples:
                continue
            fits = groups and (len(groups[-1]) + 1) * longest <= MAX_BATCH_SAMPLES
            # group norm in the feature encoder averages over time: padding would change every frame
            alike = lengths[index] >= MIN_FILL * longest if self._pads else False
            if fits and alike:
                groups[-1].append(index)
            else:
                groups.append([index])
                longest = lengths[index]
        return groups

    def _run(self, windows: Sequence[Samples]) -> list[LogProbs]:
        import torch

        lengths = [len(samples) for samples in windows]
        inputs = np.zeros((len(windows), max(lengths)), np.float32)
        for row, samples in enumerate(windows):
            inputs[row, : len(samples)] = samples
        mask = None
        if min(lengths) < max(lengths):
            mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        autocast = torch.autocast(self._device.partition(":")[0], torch.bfloat16)
        with torch.inference_mode(), autocast if self._bfloat16 else contextlib.nullcontext():
            output = self._model(
                torch.from_numpy(inputs).to(self._device),
                attention_mask=None if mask is None else mask.long().to(self._device),
            )
            frames = self._model._get_feat_extract_output_lengths(torch.tensor(lengths)).tolist()
            log_probs = output.logits.float().log_softmax(-1).cpu().numpy()
        return [log_probs[row, :count] for row, count in enumerate(frames)]


def geometry(config: Any) -> tuple[int, int]:
    """Samples that one frame sees, and from one frame to the next, of a Wav2Vec2 configuration."""
    receptive, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        receptive += (kernel - 1) * stride
        stride *= step
    if config.add_adapter:
        stride *= config.adapter_stride**config.num_adapter_layers
    return receptive, stride


def card_languages(folder: Path) -> tuple[str, ...]:
    """The language codes of the model card's metadata (``language:`` in README.md), else ``DEFAULT_LANGUAGES``."""
    from huggingface_hub import metadata_load

    card = folder / "README.md"
    named = (metadata_load(card) or {}).get("language") if card.is_file() else None
    codes = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    known = {str(code).partition("-")[0].lower() for code in codes}
    return tuple(sorted(code for code in known if re.fullmatch("[a-z]{2,3}", code))) or DEFAULT_LANGUAGES


def reads_normalized(folder: Path) -> bool:
    """Whether the feature extractor normalises; refuses another rate than ours."""
    path = folder / "preprocessor_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}; save the feature extractor with the model"
        ) from error
    rate_hz = settings.get("sampling_rate", SAMPLE_RATE_HZ)
    if rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(
            f"{folder} wants audio at {rate_hz} Hz; models at {SAMPLE_RATE_HZ} Hz are served: take another checkpoint"
        )
    return bool(settings.get("do_normalize", True))
