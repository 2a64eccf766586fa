"""What a job leaves behind: its report, the model card, and the run in the tracking store.

The card is the proof: figures of base and adapted, the gate's checks, data hashes, the whole spec, seed and versions.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from asr import __version__
from asr.evaluation.evaluate import Evaluation, as_document
from asr.models.resolve import ResolvedModel
from training.data import AdaptationData
from training.gate import GateVerdict
from training.publish import Run
from training.spec import AdaptationSpec

PAGE = "report.html"
_VERSIONED = ("torch", "transformers", "ctranslate2", "hibari-tts", "jiwer", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationReport:
    """What was published, and whether it may be promoted.

    Attributes:
        name: registered name.
        version: the new version.
        verdict: the gate's.
        card: as published.
        promoted_alias: the alias that was moved, or "".
        page: where the HTML report is kept: a path, or an address of a remote store.
    """

    name: str
    version: str
    verdict: GateVerdict
    card: Mapping[str, Any]
    promoted_alias: str
    page: str

    @property
    def reference(self) -> str:
        """The new version's reference."""
        return f"models:/{self.name}/{self.version}"

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "reference": self.reference,
            "name": self.name,
            "version": self.version,
            "alias": self.promoted_alias,
            "report": self.page,
            "gate": self.card["gate"],
            "base": self.card["evaluation"]["base"],
            "adapted": self.card["evaluation"]["adapted"],
            "training": self.card["training"],
            "notes": self.card["data"]["notes"],
        }


def build_card(
    spec: AdaptationSpec, base: ResolvedModel, data: AdaptationData,
    evaluations: Mapping[str, Mapping[str, Evaluation]], verdict: GateVerdict, facts: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The model card, JSON-ready; rates are shares."""
    return {
        "name": spec.name,
        "base": base.reference,
        "base_sha256": base.sha256,
        "language": spec.code,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gate": {
            "passed": verdict.passed,
            "reason": verdict.reason,
            "checks": [asdict(check) for check in verdict.checks],
        },
        "evaluation": {
            model: {name: as_document(evaluation) for name, evaluation in sets.items()}
            for model, sets in evaluations.items()
        },
        "training": {
            "method": facts["method"],
            "lora_part": facts["lora_part"],
            "reason": facts["reason"],
            "seconds": facts["seconds"],
            "mix": facts["mix"],  # share of the change that is kept
            "encoder_mix": facts["encoder_mix"],  # of the encoder's, where it is another one
            "mixes": [asdict(score) for score in facts["mixes"]],
            "step": facts["step"],  # whose weights were taken
            "curve": [asdict(point) for point in facts["curve"]],
            "utterances": facts["num_train"],
        },
        "export": asdict(facts["parity"]),
        "latency_ratio": facts["latency_ratio"],  # to the base, on the probes
        "contexts": facts["contexts"],  # of asr.models.contexts; at own lengths only if they are among them
        "phrases": facts["phrases"],  # that the version looks for in whatever it hears, in phrases.txt
        "heard": facts["heard"],  # WER of the version in each context, on some rows of each set
        "data": {
            "sha256": {**data.hashes, "train_tokens": facts["train_sha256"]},
            "sizes": {
                "train": len(data.train),
                "dev": len(data.dev),
                "test": len(data.test),
                "general": len(data.general),
            },
            "terms": len(data.terms),
            "notes": data.notes,
        },
        "spec": spec.as_dict(),
        "seed": spec.seed,
        "code": {"lexitune": __version__, "python": platform.python_version(), **_versions()},
    }


def flat_metrics(card: Mapping[str, Any]) -> dict[str, float]:
    """A card's figures as shares, by MODEL.SET.METRIC, such as adapted.dev.wer."""
    return {
        f"{model}.{name}.{key}": figures[key]
        for model, sets in card["evaluation"].items()
        for name, figures in sets.items()
        for key in ("wer", "cer", "term_recall", "term_precision", "term_f1")
        if figures[key] is not None
    }


def build_run(spec: AdaptationSpec, card: Mapping[str, Any], page: str) -> Run:
    """Parameters, figures, curve and the HTML report for the tracking store."""
    curve: dict[str, list[tuple[int, float]]] = {}
    for point in card["training"]["curve"]:
        for key in ("loss", "dev_wer", "dev_term_f1"):
            if point[key] is not None and (key != "loss" or point["step"]):
                curve.setdefault(f"training.{key}", []).append((point["step"], point[key]))
    params = {"base": spec.base, "method": card["training"]["method"], "mix": card["training"]["mix"]}
    params |= {"language": spec.code, "seed": spec.seed, "gate_passed": card["gate"]["passed"]}
    params |= {f"training.{key}": value for key, value in asdict(spec.training).items()}
    params |= {
        key: getattr(spec, key)
        for key in ("text", "terms", "train", "dev", "test", "general")
        if getattr(spec, key)
    }
    report = json.dumps({key: card[key] for key in ("gate", "evaluation", "training", "data")}, indent=2)
    texts = {"report.json": report, PAGE: page}
    return Run(name=f"adapt {spec.name}", params=params, metrics=flat_metrics(card), curve=curve, texts=texts)


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _VERSIONED}
