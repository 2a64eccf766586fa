"""Publishing: a folder with a card becomes a run with its curve, and a registered, immutable version.

The version is published whether or not the gate passed; only the alias waits for the gate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from asr.registry import (
    ARTIFACT_FOLDER,
    CARD,
    TAG_BASE,
    TAG_CARD_SHA256,
    TAG_GATE,
    TAG_JOB,
    Registry,
    file_hashes,
    reachable,
)
from asr.storage import home_dir

EXPERIMENT = "lexitune"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a run records beside the model.

    Attributes:
        name: shown in the tracking UI.
        params: settings, flat.
        metrics: final figures.
        curve: metric name to (step, value) pairs.
        texts: further artefacts by file name, e.g. reports.
        job: of a job that may be killed and go on, its own name: what it has published it does not publish again.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    job: str = ""


def write_card(folder: Path, card: Mapping[str, Any]) -> str:
    """Write the card with the hashes of all files of ``folder``; return the card's sha256."""
    payload = (
        json.dumps({**card, "files": file_hashes(folder)}, indent=2, ensure_ascii=False).encode() + b"\n"
    )
    (folder / CARD).write_bytes(payload)
    return hashlib.sha256(payload).hexdigest()


def publish(registry: Registry, name: str, folder: Path, card: Mapping[str, Any], run: Run) -> str:
    """Register ``folder`` as the next version of ``name``; return the version, that of before if the job made one.

    Args:
        registry: where to.
        name: registered name, made if new.
        folder: a transformers folder with ``ctranslate2/``; its card is written here.
        card: what is known about the version; keys ``base`` and ``gate`` ({"passed": bool}) become tags.
        run: parameters, figures and curves.
    """
    card_sha256 = write_card(folder, card)
    tags = {TAG_BASE: str(card.get("base", "")), TAG_CARD_SHA256: card_sha256}
    if "gate" in card:
        tags[TAG_GATE] = str(card["gate"]["passed"]).lower()
    if run.job:
        tags[TAG_JOB] = run.job
    with reachable(registry.uri):
        published = _published_by(registry.client, name, run.job) if run.job else ""
        return published or _publish(registry, name, folder, tags, run)


def run_file(registry: Registry, name: str, version: str, file: str) -> str:
    """Where a file of the run behind a version is: a path if the store is on this machine, else its address."""
    with reachable(registry.uri):
        run_id = registry.client.get_model_version(name, version).run_id
        address = f"{registry.client.get_run(run_id).info.artifact_uri}/{file}"
    return url2pathname(urlsplit(address).path) if address.startswith("file:") else address


def _publish(registry: Registry, name: str, folder: Path, tags: dict[str, str], run: Run) -> str:
    client = registry.client
    run_id, artifact_uri = _start_run(client, registry.uri, run)
    try:
        _log(client, run_id, run)
        client.log_artifacts(run_id, str(folder), ARTIFACT_FOLDER)
        _register_name(client, name)
        source = f"{artifact_uri}/{ARTIFACT_FOLDER}"
        version = client.create_model_version(name, source=source, run_id=run_id, tags=tags)
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)
    return str(version.version)


def published_by(registry: Registry, name: str, job: str) -> str:
    """The version of ``name`` that a job has made, or ""."""
    with reachable(registry.uri):
        return _published_by(registry.client, name, job)


def _published_by(client: Any, name: str, job: str) -> str:
    """The version of ``name`` that a job has made, or ""."""
    versions = client.search_model_versions(f"name = '{name}'")
    return next((str(version.version) for version in versions if version.tags.get(TAG_JOB) == job), "")


def _start_run(client: Any, uri: str, run: Run) -> tuple[str, str]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        location = home_dir("artifacts").as_uri() if uri.startswith("sqlite") else None
        experiment_id = _create_experiment(client, location)
    else:
        experiment_id = experiment.experiment_id
    started = client.create_run(experiment_id, run_name=run.name)
    return started.info.run_id, started.info.artifact_uri


def _create_experiment(client: Any, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    except MlflowException:  # another process made it between our look and our call
        return str(client.get_experiment_by_name(EXPERIMENT).experiment_id)


def _log(client: Any, run_id: str, run: Run) -> None:
    import time

    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    points = [Metric(key, value, now, 0) for key, value in run.metrics.items()]
    points += [Metric(key, value, now, step) for key, pairs in run.curve.items() for step, value in pairs]
    client.log_batch(
        run_id, metrics=points, params=[Param(key, str(value)) for key, value in run.params.items()]
    )
    for name, text in run.texts.items():
        client.log_text(run_id, text, name)


def _register_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # it exists already; or the true error shows here
