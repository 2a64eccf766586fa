"""The model registry: MLflow, on sqlite and a folder by default, on a team's server by MLFLOW_TRACKING_URI.

A version is immutable: a run's ``model`` artefacts, whose card lists the sha256 of every file. An alias is a pointer
that moves. Only this module and ``training.publish`` know MLflow; importing it does not load MLflow, using it does.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from asr.errors import ChecksumError, ModelError, ModelNotFoundError, OptionError, UnavailableError
from asr.models.reference import ModelReference, ReferenceKind, is_valid_alias, is_valid_name, parse_reference
from asr.storage import build_folder, cache_dir, home_dir, sha256_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

CARD = "card.json"
ARTIFACT_FOLDER = "model"
TAG_GATE = "lexitune.gate_passed"
TAG_BASE = "lexitune.base"
TAG_CARD_SHA256 = "lexitune.card_sha256"
TAG_JOB = "lexitune.job"
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}  # not minutes of silence
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model or version, no such alias


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionSummary:
    """One version of a model, without its files."""

    version: str
    aliases: tuple[str, ...]
    created_at: datetime
    gate_passed: bool | None
    base: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSummary:
    """A registered model with its versions, newest first, and where its aliases point."""

    name: str
    versions: tuple[VersionSummary, ...]
    aliases: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedVersion:
    """A version's files on this machine, as they were published.

    Attributes:
        path: the folder: an ordinary transformers folder with ``ctranslate2/`` and ``card.json``.
        sha256: of the card, and through it of every file.
    """

    name: str
    version: str
    path: Path
    sha256: str

    @property
    def reference(self) -> str:
        """The immutable reference."""
        return f"models:/{self.name}/{self.version}"


def default_tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or sqlite under LEXITUNE_HOME."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home_dir() / 'mlflow.db'}"


@cache
def _client(uri: str) -> MlflowClient:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow

    with reachable(uri):
        client = mlflow.MlflowClient(uri)
        client.search_registered_models(max_results=1)  # a server is not contacted before the first question
    return client


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into our errors.

    Raises:
        UnavailableError: the registry cannot be reached, opened or written.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0][:300]
        raise UnavailableError(
            f"the registry {_masked(uri)} cannot be used: {reason}; check MLFLOW_TRACKING_URI or LEXITUNE_HOME"
        ) from error


def _masked(uri: str) -> str:
    parsed = urlparse(uri)
    return uri.replace(f":{parsed.password}@", ":***@") if parsed.password else uri


class Registry:
    """Models, versions and aliases. Safe to use from several threads."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = _client(uri)

    @classmethod
    def open(cls) -> Registry:
        """The registry of this environment.

        Raises:
            UnavailableError: it cannot be reached or opened.
        """
        return cls(default_tracking_uri())

    def list_models(self) -> list[ModelSummary]:
        """Every registered model, by name."""
        with reachable(self.uri):
            models = self.client.search_registered_models(max_results=1000)
            return sorted((self._summary(model) for model in models), key=lambda model: model.name)

    def get_model(self, name: str) -> ModelSummary:
        """One registered model.

        Raises:
            ModelNotFoundError: there is none of this name; the message lists the near ones.
        """
        with reachable(self.uri):
            for model in self.client.search_registered_models(filter_string=f"name = '{_checked(name)}'"):
                return self._summary(model)
        raise ModelNotFoundError(self._no_model(name))

    def get_version(self, name: str, version: str) -> VersionSummary:
        """One version of a model.

        Raises:
            ModelNotFoundError: the model or the version does not exist.
        """
        model = self.get_model(name)
        for candidate in model.versions:
            if candidate.version == version:
                return candidate
        known = ", ".join(candidate.version for candidate in model.versions) or "none"
        raise ModelNotFoundError(f"models:/{name}/{version} does not exist; {name} has versions: {known}")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point ``alias`` at ``version``, moving it if it exists.

        Raises:
            ModelNotFoundError: the model or the version does not exist.
            OptionError: the alias is not a name.
        """
        if not is_valid_alias(alias):
            raise OptionError(
                f"alias {alias!r} is not allowed; give 1-128 letters, digits, '.', '-' or '_', "
                "not a number alone and not 'latest'",
                field="alias",
            )
        self.get_version(name, version)
        with reachable(self.uri):
            self.client.set_registered_model_alias(name, alias, version)

    def resolve_alias(self, reference: ModelReference) -> ModelReference:
        """``models:/NAME@ALIAS`` to the version it points at now; a version reference is checked and returned."""
        found = self._find(reference)
        if found is not None:
            return replace(reference, kind=ReferenceKind.VERSION, version=found)
        if reference.kind is ReferenceKind.VERSION:
            self.get_version(reference.name, reference.version)
            return reference
        model = self.get_model(reference.name)
        if reference.version not in model.aliases:
            known = ", ".join(sorted(model.aliases)) or "none"
            raise ModelNotFoundError(f"{reference} does not exist; {reference.name} has aliases: {known}")
        return replace(reference, kind=ReferenceKind.VERSION, version=model.aliases[reference.version])

    def _find(self, reference: ModelReference) -> str | None:
        """The version by one question, a fifth of what the whole model costs; None where MLflow finds none."""
        from mlflow.exceptions import MlflowException

        name, version = _checked(reference.name), reference.version
        with reachable(self.uri):
            try:
                if reference.kind is ReferenceKind.VERSION:
                    return str(self.client.get_model_version(name, version).version)
                return str(self.client.get_model_version_by_alias(name, version).version)
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    return None
                raise

    def resolve(self, reference: str | ModelReference) -> ResolvedVersion:
        """The files of a version or of what an alias points at now, verified against the card's hashes.

        Raises:
            ModelNotFoundError: no such model, version or alias.
            ChecksumError: a file is not what was published.
        """
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        parsed = self.resolve_alias(parsed)
        with reachable(self.uri):
            version = self.client.get_model_version(parsed.name, parsed.version)
            expected = version.tags.get(TAG_CARD_SHA256, "")
            path = self._local_path(version.source, expected)
        verify_card(path, expected)
        return ResolvedVersion(name=parsed.name, version=parsed.version, path=path, sha256=expected)

    def _local_path(self, source: str, sha256: str) -> Path:
        parsed = urlparse(source)
        if parsed.scheme in ("", "file"):
            return Path(unquote(parsed.path))
        import mlflow

        target = cache_dir("versions") / sha256[:32]
        if not target.is_dir():
            mlflow.set_tracking_uri(self.uri)
            build_folder(target, lambda folder: _download(source, folder))
        return target

    def _summary(self, model: Any) -> ModelSummary:
        pointers = {alias: str(version) for alias, version in model.aliases.items()}
        found = self.client.search_model_versions(f"name = '{model.name}'")
        versions = [_version_summary(version, pointers) for version in found]
        versions.sort(key=lambda version: -int(version.version))
        return ModelSummary(name=model.name, versions=tuple(versions), aliases=pointers)

    def _no_model(self, name: str) -> str:
        names = [model.name for model in self.list_models()]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:5]
        return f"no model {name!r} is registered in {_masked(self.uri)}; there are: {', '.join(near) or 'none yet'}"


def _checked(name: str) -> str:
    if not is_valid_name(name):
        raise ModelNotFoundError(
            f"{name!r} is not a model name; names have 1-128 letters, digits, '.', '-' or '_'"
        )
    return name


def _version_summary(version: Any, pointers: dict[str, str]) -> VersionSummary:
    gate = version.tags.get(TAG_GATE)
    number = str(version.version)
    return VersionSummary(
        version=number,
        aliases=tuple(sorted(alias for alias, target in pointers.items() if target == number)),
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        gate_passed=None if gate is None else gate == "true",
        base=version.tags.get(TAG_BASE, ""),
    )


def _download(source: str, folder: Path) -> None:
    import mlflow

    mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder))
    nested = folder / ARTIFACT_FOLDER
    if nested.is_dir():
        for path in list(nested.iterdir()):
            path.rename(folder / path.name)
        nested.rmdir()


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a published version.

    Raises:
        ModelError: there is none, or it is not JSON.
    """
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{folder} has no readable {CARD} ({error}); it was not published by lexitune"
        ) from error
    return card


def file_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below ``folder`` by its relative path, the card excepted."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != CARD]
    with ThreadPoolExecutor() as threads:  # a server waits for it before it loads a version
        hashes = list(threads.map(sha256_file, paths))
    return {path.relative_to(folder).as_posix(): found for path, found in zip(paths, hashes, strict=True)}


def verify_card(folder: Path, expected_sha256: str = "") -> dict[str, Any]:
    """Check the card against its hash, and every file against the card; return the card.

    Raises:
        ChecksumError: something differs, is missing or was added.
    """
    card = read_card(folder)
    actual = hashlib.sha256((folder / CARD).read_bytes()).hexdigest()
    if expected_sha256 and actual != expected_sha256:
        raise ChecksumError(
            f"{folder / CARD}: sha256 is {actual}, published was {expected_sha256}; publish again"
        )
    published, found = card.get("files", {}), file_hashes(folder)
    differing = sorted(
        name for name in published.keys() | found.keys() if published.get(name) != found.get(name)
    )
    if differing:
        raise ChecksumError(
            f"{folder}: not as published: {', '.join(differing)}; import or publish the version again"
        )
    return card
