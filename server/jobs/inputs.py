"""Where a job's files are: uploads of its tenant, or files under folders that the operator allows. Never a client's path.

A path under a root is resolved, links and all, and what it means then must lie inside the root: looked at when the
job is created, and again by the worker that reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from asr.data.manifest import MalformedRow, Utterance, parse_rows
from asr.errors import ManifestError, NotPermittedError, OptionError
from server.jobs.records import Document
from server.jobs.uploads import UploadStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file as a request names it: an upload, or a path under a root."""

    upload_id: str = ""
    root: str = ""
    path: str = ""

    def as_document(self) -> Document:
        """For the store."""
        return {"upload_id": self.upload_id} if self.upload_id else {"root": self.root, "path": self.path}

    @classmethod
    def of(cls, document: Document) -> Source:
        """As it was kept."""
        return cls(**document)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestSource:
    """A manifest, and for one that was sent the upload of each recording by the name in its rows."""

    file: Source
    audio: Mapping[str, str]

    def as_document(self) -> Document:
        """For the store."""
        return {"file": self.file.as_document(), "audio": dict(self.audio)}

    @classmethod
    def of(cls, document: Document) -> ManifestSource:
        """As it was kept."""
        return cls(file=Source.of(document["file"]), audio=document["audio"])


class Inputs:
    """Finds files. Blocking; safe to use from several threads.

    Args:
        uploads: of all tenants.
        roots: folders by name.
        max_file_bytes: of a file under a root.
    """

    def __init__(self, uploads: UploadStore, roots: Mapping[str, str], *, max_file_bytes: int) -> None:
        self._uploads = uploads
        self._roots = {name: Path(path) for name, path in roots.items()}
        self._max_file_bytes = max_file_bytes

    @property
    def shown(self) -> dict[str, str]:
        """What a client knows the folders by, in which its files are."""
        roots = {str(path): name for name, path in self._roots.items()}
        resolved = {str(path.resolve()): name for name, path in self._roots.items()}
        return {str(self._uploads.folder): "uploads", **roots, **resolved}

    def path(self, tenant: str, source: Source, *, field: str = "") -> Path:
        """Where a file is now.

        Args:
            tenant: whose job reads it.
            source: as the request named it.
            field: of the request, for errors.

        Raises:
            UploadNotFoundError: the tenant has no such upload.
            NotPermittedError: there is no such root.
            OptionError: nothing that may be read is there.
        """
        if source.upload_id:
            return self._uploads.path(self._uploads.get(tenant, source.upload_id))
        return self._inside(source, field)

    def rows(self, tenant: str, manifest: ManifestSource, *, field: str = "") -> list[Utterance]:
        """A manifest's rows, whose audio paths are those of the files here.

        Raises:
            ManifestError: it cannot be read, has no row or a malformed one, or names a file that was not sent.
            OptionError: a row names a file outside the root; else as :meth:`path`.
        """
        path = self.path(tenant, manifest.file, field=field)
        locate = self._locator(tenant, manifest, path, field)
        rows: list[Utterance] = []
        for row in parse_rows(path):
            if isinstance(row, MalformedRow):
                raise ManifestError(row.message.replace(str(path), "the manifest"))
            utterance = row.utterance
            rows.append(replace(utterance, audio_path=locate(utterance.audio_path)))
        if not rows:
            raise ManifestError("the manifest holds no utterances; it has one JSON object a line")
        return rows

    def _locator(
        self, tenant: str, manifest: ManifestSource, path: Path, field: str
    ) -> Callable[[Path], Path]:
        folder = path.resolve().parent
        if not manifest.file.upload_id:
            root = self._root(manifest.file.root, field)
            return lambda audio: self._checked(audio, root, field)
        sent = {Path(os.path.normpath(folder / name)): one for name, one in manifest.audio.items()}
        found: dict[Path, Path] = {}

        def locate(audio: Path) -> Path:
            if audio not in sent:
                name = os.path.relpath(audio, folder)
                raise ManifestError(
                    f"the manifest names {name[:200]!r}, which audio_upload_ids does not; send each recording and give "
                    "its upload under the name in the row"
                )
            if audio not in found:
                found[audio] = self._uploads.path(self._uploads.get(tenant, sent[audio]))
            return found[audio]

        return locate

    def _root(self, name: str, field: str) -> Path:
        root = self._roots.get(name)
        if root is None:
            raise not_your_root(name, field)
        return root

    def _inside(self, source: Source, field: str) -> Path:
        root = self._root(source.root, field)
        if "\0" in source.path or not source.path or Path(source.path).is_absolute():
            raise OptionError(
                f"the path {source.path[:200]!r} is not allowed; give one relative to the root {source.root}",
                field=field,
            )
        return self._checked(root / source.path, root, field)

    def _checked(self, path: Path, root: Path, field: str) -> Path:
        try:
            resolved = path.resolve(strict=True)
            is_inside = resolved.is_relative_to(root.resolve(strict=True))
            size_bytes = resolved.stat().st_size if is_inside and resolved.is_file() else -1
        except (OSError, ValueError, RuntimeError):  # none there, NUL, links in a circle
            is_inside, size_bytes = False, -1
        if size_bytes < 0:  # the same words for all: what is outside is nobody's business
            shown = os.path.relpath(path, root)[:200]
            raise OptionError(
                f"no file {shown!r} is under this root, or it leads outside; check path", field=field
            )
        if size_bytes > self._max_file_bytes:
            raise OptionError(
                f"the file has {size_bytes} bytes, and {self._max_file_bytes} are the limit; raise jobs.max_file_mb",
                field=field,
            )
        return resolved


def not_your_root(name: str, field: str) -> NotPermittedError:
    """The error for a root that the tenant may not read, whether or not there is one."""
    return NotPermittedError(
        f"the root {name[:200]!r}{f' of {field}' if field else ''} is not among this tenant's; jobs.roots in the "
        "server's configuration and roots in its tenants file name those that are"
    )
