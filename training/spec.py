"""What an adaptation job is to do: a frozen description without torch, from the command line and a TOML file.

Each group of options stands beside its meaning and its limits here; an unknown key in a file is an error that lists
the known ones. The spec is written on the model's card whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from asr.errors import OptionError
from asr.models.reference import is_valid_alias, is_valid_name, parse_reference
from asr.options import read_options, read_toml
from asr.text.languages import AUTO, ENGLISH, normalizer_for
from asr.text.normalize import get_normalizer

METHODS = ("auto", "decoder", "lora", "full", "ctc")
MAX_SANE_LEARNING_RATE = 2e-4  # five times the table of training.methods
MAX_SANE_LORA_RATE = 2e-3  # low-rank changes start at nothing and want about ten times the rate
LORA_PARTS = ("auto", "decoder", "both")
_LANGUAGE = re.compile("auto|[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")
OWN_LENGTH_SENTENCES = 120
MIXES = (0.25, 0.5, 0.625, 0.75, 1.0)
# of decoder and encoder
SPLIT_MIXES = (
    (0.5, 0.0), (0.25, 0.5), (0.25, 0.75), (0.5, 0.5), (0.625, 0.625), (0.5, 0.75), (0.75, 0.75), (1.0, 1.0),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """How to train.

    Attributes:
        learning_rate: peak; 0 takes the rate of the model's size, or of LoRA.
        epochs: passes over the training utterances at most; 0 takes four, or where a Whisper's decoder learns from
            synthesised speech alone, two if those are 64 steps.
        batch_size: utterances per step.
        evaluations_per_epoch: how often dev is scored, and a checkpoint kept.
        patience: evaluations without a better dev score before stopping.
        warmup_share: share of all steps with a rising rate.
        weight_decay: AdamW's.
        clip_norm: gradients' norm at most.
        copies: synthesised renderings of each sentence; 0 is two of those made around a term and one of any other.
        recording_copies: augmented copies of each recording, beside it.
        quiet_share: sounds in which nobody speaks, per training utterance, so that a Whisper does not unlearn silence.
        window_share: windows of several utterances with timestamps, per training utterance.
        spec_masks: stretches of time, and bands of mel, masked in each utterance (SpecAugment) where a Whisper's encoder
            is trained: by full, and by LoRA in both parts.
        replay_share: synthesised everyday sentences to train on beside, per domain utterance; at most 400.
        max_train_sentences: of ``--text``; the rest is left out, and said so.
        learn_embeddings: whether the method decoder also changes the token embeddings, which are also its outputs: more
            is learned of new words, and more of everyday speech is lost.
        lora_part: what LoRA changes: "decoder" over cached encoder outputs, "both", or "auto" by the hours recorded.
        lora_rank: of each adapter.
        lora_alpha: changes are scaled by alpha / rank.
        own_length: whether a Whisper is also taught to hear utterances at their own length, which is several times
            faster to serve and to train.
        own_length_sentences: synthesised everyday sentences that it is taught that on, once for each base and number.
        carry_phrases: whether a Whisper's version looks for its glossary, and for terms found in the text, in whatever it
            hears, as for phrases of a request (``asr.biasing``); every mix is measured with them.
        text_phrases: terms of the text that are carried, at most; 0 for none.
    """

    learning_rate: float = 0.0
    epochs: int = 0
    batch_size: int = 16
    evaluations_per_epoch: int = 2
    patience: int = 6
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    copies: int = 0
    recording_copies: int = 0
    quiet_share: float = 0.05
    window_share: float = 0.1
    spec_masks: int = 0
    replay_share: float = 0.2
    max_train_sentences: int = 2000
    learn_embeddings: bool = True
    lora_part: str = "auto"
    lora_rank: int = 16
    lora_alpha: float = 32.0
    own_length: bool = True
    own_length_sentences: int = OWN_LENGTH_SENTENCES
    carry_phrases: bool = True
    text_phrases: int = 200

    def __post_init__(self) -> None:
        if self.lora_part not in LORA_PARTS:
            raise OptionError(
                f"training.lora_part is {self.lora_part!r}; choose {', '.join(LORA_PARTS)}",
                field="training.lora_part",
            )
        ranges = {
            "learning_rate": (0, MAX_SANE_LORA_RATE),
            "epochs": (0, 1000),
            "copies": (0, 20),
            "recording_copies": (0, 20),
            "spec_masks": (0, 20),
            "lora_rank": (1, 256),
            "text_phrases": (0, 2000),
            "lora_alpha": (1, 1024),
            "replay_share": (0, 1),
            "window_share": (0, 1),
            "quiet_share": (0, 1),
            "warmup_share": (0, 1),
            "weight_decay": (0, 1),
            "clip_norm": (1e-3, 1e3),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise OptionError(
                    f"training.{name} is {getattr(self, name):g}; give {low:g} to {high:g}",
                    field=f"training.{name}",
                )
        for name in (
            "batch_size",
            "evaluations_per_epoch",
            "patience",
            "max_train_sentences",
            "own_length_sentences",
        ):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"training.{name} is {getattr(self, name)}; give 1 or more", field=f"training.{name}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOptions:
    """How dev, the locked test and the general set are made where none is given.

    Attributes:
        dev_share: of the sentences, or of the speakers.
        test_share: likewise, where there are enough of them; 0 locks none away.
        max_dev: synthesised utterances of dev, and of the test, at most.
        general_sentences: synthesised utterances of the default general set.
        carriers_per_term: sentences made for each term of a glossary.
    """

    dev_share: float = 0.12
    test_share: float = 0.1
    max_dev: int = 80
    general_sentences: int = 64
    carriers_per_term: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.dev_share <= 0.5:
            raise OptionError(f"split.dev_share is {self.dev_share}; give more than 0, at most 0.5")
        if not 0 <= self.test_share <= 0.5:
            raise OptionError(f"split.test_share is {self.test_share}; give 0 to 0.5")
        for name in ("max_dev", "general_sentences", "carriers_per_term"):
            if getattr(self, name) < 4:
                raise OptionError(
                    f"split.{name} is {getattr(self, name)}; give 4 or more", field=f"split.{name}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class GateOptions:
    """When a version may be promoted.

    Attributes:
        min_prob_better: of the paired bootstrap on the domain.
        general_points: WER points on general speech that may be lost,
        general_relative: or share of the base's general WER; the larger of the two is the budget.
        bootstrap_samples: resamples.
        max_latency_ratio: time to decode the probes, as a multiple of the base's.
    """

    min_prob_better: float = 0.95
    general_points: float = 0.3
    general_relative: float = 0.03
    bootstrap_samples: int = 2000
    max_latency_ratio: float = 1.5

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_prob_better < 1:
            raise OptionError(f"gate.min_prob_better is {self.min_prob_better}; give 0.5 to 0.999")
        if not 0.1 <= self.max_latency_ratio <= 100:
            raise OptionError(
                f"gate.max_latency_ratio is {self.max_latency_ratio}; give 0.1 to 100, such as 1.5"
            )
        if self.general_points < 0 or self.general_relative < 0:
            raise OptionError(
                "gate.general_points and gate.general_relative must not be negative; 0 allows no loss"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationSpec:
    """One adaptation job.

    Attributes:
        base: model reference to start from.
        name: registered name of the result.
        text: domain text, one utterance a line.
        terms: glossary, one term a line.
        train: manifest of transcribed audio.
        dev: manifest to select and gate on; made from the rest where absent.
        test: manifest that chooses nothing and is scored once, at the end: the gate's locked test.
        general: manifest of general speech for the forgetting check; synthesised where absent.
        templates: carrier sentences with ``{term}``, one a line, in place of the built-in ones.
        method: one of METHODS.
        alias: moved to the new version if the gate passes.
        language: of all but ``general``; "auto" takes what the rows name, else English.
        normalizer: of texts that are compared; "auto" takes the language's.
    """

    base: str
    name: str
    text: Path | None = None
    terms: Path | None = None
    train: Path | None = None
    dev: Path | None = None
    test: Path | None = None
    general: Path | None = None
    templates: Path | None = None
    method: str = "auto"
    alias: str = ""
    language: str = AUTO
    seed: int = 0
    normalizer: str = AUTO
    training: TrainingOptions = field(default_factory=TrainingOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    gate: GateOptions = field(default_factory=GateOptions)

    def __post_init__(self) -> None:
        if not is_valid_name(self.name):
            raise OptionError(
                f"--name {self.name!r} is not allowed; give 1-128 letters, digits, '.', '-' or '_'"
            )
        if self.alias and not is_valid_alias(self.alias):
            raise OptionError(
                f"--alias {self.alias!r} is not allowed; give 1-128 letters, digits, '.', '-' or '_', "
                "not a number alone and not 'latest'"
            )
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"--seed is {self.seed}; give 0 to {2**32 - 1}")
        if not _LANGUAGE.fullmatch(self.language):
            raise OptionError(
                f"--language {self.language!r} is not a code; give one such as de, cy or en, or {AUTO}",
                field="language",
            )
        if self.normalizer != AUTO:
            get_normalizer(self.normalizer)
        if self.method not in METHODS:
            raise OptionError(f"--method {self.method!r} is not known; choose {', '.join(METHODS)}")
        if self.training.learning_rate > MAX_SANE_LEARNING_RATE and self.method not in ("lora", "ctc"):
            raise OptionError(
                f"training.learning_rate is {self.training.learning_rate:g}; fine-tuning breaks a model above "
                f"{MAX_SANE_LEARNING_RATE:g}: give 1e-6 to {MAX_SANE_LEARNING_RATE:g}, or 0 for the model's own",
                field="training.learning_rate",
            )
        if not self.has_domain and not self.training.own_length:
            raise OptionError("nothing to adapt from; give --text, --terms or --train, or several of them")
        parse_reference(self.base)
        for option in ("text", "terms", "train", "dev", "test", "general", "templates"):
            path: Path | None = getattr(self, option)
            if path is not None and not path.is_file():
                raise OptionError(f"--{option} {path} does not exist; give a file", field=option)

    @property
    def has_domain(self) -> bool:
        """Whether there is a domain to adapt to; without one, only own lengths are taught."""
        return bool(self.text or self.terms or self.train)

    @property
    def code(self) -> str:
        """The language's code; English before ``training.languages.settled`` named it."""
        return ENGLISH if self.language == AUTO else self.language

    def normalizer_in(self, language: str) -> str:
        """The normaliser of texts in a language: the one asked for, if that is the job's own, else the language's."""
        is_asked = language == self.code and self.normalizer != AUTO
        return self.normalizer if is_asked else normalizer_for(language)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values, paths as strings."""
        return json.loads(json.dumps(asdict(self), default=str))  # type: ignore[no-any-return]

    def digest(self, *parts: str) -> str:
        """Identifies this job and ``parts``, e.g. the hashes of its data: equal jobs resume each other."""
        payload = json.dumps([self.as_dict(), *parts], sort_keys=True)
        return hashlib.sha256(payload.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """What a job's TOML file may hold; the rest of a spec comes from the command line."""

    language: str = AUTO
    seed: int = 0
    normalizer: str = AUTO
    training: TrainingOptions = field(default_factory=TrainingOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    gate: GateOptions = field(default_factory=GateOptions)


def read_option_groups(path: Path) -> dict[str, Any]:
    """The keys of a TOML file as keyword arguments for :class:`AdaptationSpec`.

    Raises:
        OptionError: not TOML, an unknown key, or a value out of range.
    """
    return option_groups(read_toml(path))


def option_groups(table: Mapping[str, Any]) -> dict[str, Any]:
    """As :func:`read_option_groups`, of what such a file holds."""
    options = read_options(JobOptions, table)
    return {one.name: getattr(options, one.name) for one in fields(options)}


def spec_of(task: Mapping[str, Any]) -> AdaptationSpec:
    """The spec of a task, in values of JSON: base, name, alias, method, ``files`` by option, ``config`` as in TOML.

    Raises:
        OptionError: a key is unknown, a value out of range, or a file is not there.
    """
    files: dict[str, Any] = {option: Path(path) for option, path in task["files"].items()}
    groups = option_groups(task["config"])
    base, name, alias, method = task["base"], task["name"], task["alias"], task["method"]
    return AdaptationSpec(base=base, name=name, alias=alias, method=method, **files, **groups)
