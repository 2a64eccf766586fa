"""From what a client writes to one immutable model reference. A client's string is looked up, never a path.

Blocking, for the registry may be asked: call it off the event loop.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from asr.errors import ModelNotFoundError, NotPermittedError
from asr.models.reference import ModelReference, ReferenceKind, is_valid_name, parse_reference
from asr.registry import Registry

DEFAULT_ALIAS = "production"
_REGISTERED = (ReferenceKind.VERSION, ReferenceKind.ALIAS)
_FIXED_VERSIONS = {
    ReferenceKind.BUNDLED: "bundled",
    ReferenceKind.DIRECTORY: "local",
    ReferenceKind.HUB: "hub",
}


Permits = Callable[[str], bool]
"""Whether the model of a name may be used by who asks."""


def _all(_name: str) -> bool:
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class UnregisteredModel:
    """A model that the server was started with and that is in no registry."""

    name: str
    version: str
    reference: str


class Catalog:
    """The models that clients may name: those of the start and all of the registry.

    Args:
        references: what the server was started with; the first is the default.
        open_registry: called when a registered model is asked for.

    Raises:
        OptionError: one of the references is none.
    """

    def __init__(self, references: Sequence[str], open_registry: Callable[[], Registry]) -> None:
        self.served = tuple(parse_reference(reference) for reference in references)
        self._open_registry = open_registry
        self._known: set[str] = set()  # versions that were found: they never change

    def resolve(self, selector: str, permits: Permits = _all) -> str:
        """The immutable reference that a selector means now.

        Args:
            selector: "", "name", "name@alias", "name@version", or a reference.
            permits: names of the models that may be used; no message tells others, nor whether there are any.

        Raises:
            ModelNotFoundError: it names nothing that this server may use; the message lists the near ones.
            NotPermittedError: it names what may not be used.
        """
        found = self._find(selector, permits)
        if not permits(short_name(found)):
            raise not_permitted(selector)
        if found.kind not in _REGISTERED or str(found) in self._known:
            return str(found)
        registry = self._open_registry()
        try:
            version = str(registry.resolve_alias(found))
        except ModelNotFoundError as error:
            names = [model.name for model in registry.list_models()]
            if found.name in names:
                raise
            raise ModelNotFoundError(self.unknown(selector, names, permits)) from error
        self._known.add(version)
        return version

    def unregistered(self) -> list[UnregisteredModel]:
        """The models that were given at the start and are in no registry."""
        return [
            UnregisteredModel(name=short_name(one), version=_FIXED_VERSIONS[one.kind], reference=str(one))
            for one in self.served
            if one.kind not in _REGISTERED
        ]

    def unknown(self, selector: str, registered: Sequence[str] = (), permits: Permits = _all) -> str:
        """The message for a selector that names nothing: near names, or else what there is."""
        names = [*(short_name(reference) for reference in self.served), *registered]
        names = [name for name in names if permits(name)]
        near = difflib.get_close_matches(selector, names, n=3) or names[:5]
        forms = "name it by name, name@alias, name@version or models:/NAME/VERSION"
        return f"no model {selector[:200]!r}; there is {', '.join(near) or 'none'}; {forms}"

    def _find(self, selector: str, permits: Permits) -> ModelReference:
        if not selector:
            return self.served[0]
        for reference in self.served:
            if selector in (str(reference), short_name(reference)):
                return reference
        name, _, version = selector.partition("@")
        for reference in self.served:
            if name == short_name(reference) and version == _FIXED_VERSIONS.get(reference.kind):
                return reference
        return self._registered(selector, permits)

    def _registered(self, selector: str, permits: Permits) -> ModelReference:
        if selector.startswith("models:/"):
            body = selector.removeprefix("models:/")
            separator = "@" if "@" in body else "/"
        else:
            body, separator = selector, "@"
        name, _, version = body.partition(separator)
        version = version or DEFAULT_ALIAS
        if not (is_valid_name(name) and is_valid_name(version)):
            raise ModelNotFoundError(self.unknown(selector, permits=permits))
        kind = ReferenceKind.VERSION if version.isdigit() else ReferenceKind.ALIAS
        return ModelReference(kind=kind, name=name, version=version)


def not_permitted(name: str) -> NotPermittedError:
    """The error for a model that is not the caller's, whether or not there is one."""
    which = f"model {name[:200]!r}" if name else "the server's default model"
    return NotPermittedError(
        f"{which} is not among this tenant's; ListModels names those that are, and models in the server's "
        "tenants file adds one"
    )


def short_name(reference: ModelReference) -> str:
    """How clients select it: the registered or bundled name, or the last part of a path or hub id."""
    if reference.kind in (ReferenceKind.DIRECTORY, ReferenceKind.HUB):
        return PurePath(reference.name).name
    return reference.name
