"""The adaptation job as one HTML page for people: what was trained on what, the verdict, and what it sounds like.

Everything on it comes from the card and the evaluations; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation
from asr.evaluation.report import Curve, GateCheck, Report, Series, SetResult, render
from training.interpolate import mix_label

_SENSES: Mapping[str, tuple[Literal["at least", "at most"], str]] = {
    "domain": ("at least", ""),
    "locked test": ("at least", ""),
    "terms": ("at least", "share"),
    "critical terms": ("at most", ""),
    "general": ("at most", "share"),
    "sounds": ("at most", "words"),
    "export": ("at least", "share"),
    "export errors": ("at most", "share"),
    "own length": ("at most", "share"),
    "latency": ("at most", "times"),
    "leakage": ("at most", "utterances"),
}
_DESCRIPTIONS = {
    "dev": "chose the checkpoint and the mix, and judged them",
    "test": "chose nothing; scored once, at the end",
    "general": "everyday speech, to see what was forgotten",
    "sounds": "silence, noise and music: every word on it is made up",
}


def render_page(
    card: Mapping[str, Any],
    version_name: str,
    evaluations: Mapping[str, Mapping[str, Evaluation]],
    utterances: Mapping[str, Sequence[Utterance]],
) -> str:
    """The page of a job.

    Args:
        card: of the version.
        version_name: heads the page.
        evaluations: of "base" and "adapted", by set.
        utterances: of each set, in the order of the evaluations' rows; their audio must still be there.
    """
    results = tuple(
        SetResult(
            name=name,
            base=evaluations["base"][name],
            adapted=evaluations["adapted"][name],
            utterances=tuple(rows),
            description=_DESCRIPTIONS[name],
        )
        for name, rows in utterances.items()
    )
    training, gate = card["training"], card["gate"]
    return render(
        Report(
            title=version_name,
            summary=("The gate passed: " if gate["passed"] else "The gate refused: ") + gate["reason"],
            created_at=card["created_at"],
            facts=_facts(card),
            hashes={"base": card["base_sha256"], **card["data"]["sha256"]},
            notes=tuple(card["data"]["notes"]),
            checks=tuple(_check(check) for check in gate["checks"]),
            results=results,
            curves=tuple(_curves(training)),
            base_name=card["base"],
            adapted_name="adapted",
        )
    )


def _facts(card: Mapping[str, Any]) -> dict[str, str]:
    training, spec = card["training"], card["spec"]
    given = {key: str(spec[key]) for key in ("text", "terms", "train", "dev", "test", "general") if spec[key]}
    part = f", changes {training['lora_part']}" if training["lora_part"] else ""
    return {
        "base": card["base"],
        "language": card["language"],
        **given,
        "method": f"{training['method']}{part}: {training['reason']}",
        "trained on": f"{training['utterances']} utterances",
        "heard in": ", ".join(card["contexts"]),
        "phrases": str(card["phrases"]),
        "step taken": str(training["step"]),
        "mix with the base": mix_label(training["mix"], training["encoder_mix"]),
        "seconds spent": f"{training['seconds']:.0f}",
        "seed": str(card["seed"]),
        **{name: str(version) for name, version in card["code"].items()},
    }


def _share(mix: Mapping[str, Any]) -> float:
    """How much of the change is kept, of encoder and decoder on average."""
    encoder = mix["encoder_mix"]
    return float(mix["mix"] if encoder is None else (mix["mix"] + encoder) / 2)


def _check(check: Mapping[str, Any]) -> GateCheck:
    sense, unit = _SENSES[check["name"]]
    return GateCheck(**check, sense=sense, unit=unit)


def _curves(training: Mapping[str, Any]) -> list[Curve]:
    points = training["curve"]
    metric = points[0]["metric"] if points else "WER"
    learning = [
        Series(name=name, points=tuple((point["step"], point[key]) for point in points))
        for name, key in ((f"dev {metric}", "dev_wer"), ("dev term F1", "dev_term_f1"))
        if all(point[key] is not None for point in points)
    ]
    mixes = training["mixes"]
    split = any(mix["encoder_mix"] is not None for mix in mixes)
    shown = [
        mix
        for mix in mixes
        if not mix["carries"]
        and (not split or mix["encoder_mix"] in (None, mix["mix"], training["encoder_mix"]))
    ]
    by_share = sorted(shown, key=_share)
    mixing = [
        Series(name=name, points=tuple((_share(mix), mix[key]) for mix in by_share))
        for name, key in (("dev error", "domain_error"), ("general WER", "general_wer"))
    ]
    curves = [
        Curve(
            title="Learning",
            x_label="step",
            y_label="rate",
            series=tuple(learning),
            marked_x=training["step"],
            mark="kept",
        ),
        Curve(
            title="Mix with the base",
            x_label="share of the tuned weights" + (", encoder and decoder together" if split else ""),
            y_label="error",
            series=tuple(mixing),
            marked_x=_share(training),
            mark="chosen",
        ),
    ]
    return curves if points else curves[1:]
