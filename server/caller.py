"""Who makes a call: set by the guard of a listener before a method runs, read where models, slots and turns are given.

Held in a context variable: gRPC runs an interceptor and the method behind it in one task. Unset is an error, so that
a method which no guard saw fails and is not taken for anybody's.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from asr.errors import OptionError

_LOWEST = {"max_streams": 0, "max_audio_s": 0, "audio_period_s": 1, "max_jobs": 0, "max_stored_mb": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """What a tenant may use at most; 0 sets no limit beside the server's.

    Attributes:
        max_streams: calls at once; each separate leg counts.
        max_audio_s: audio in a period, s; each separate leg counts. It comes back evenly over the period.
        audio_period_s: the period.
        max_jobs: jobs that are not over; in place of ``jobs.max_open_jobs``.
        max_stored_mb: uploads, MiB; in place of ``jobs.max_stored_mb``.
    """

    max_streams: int = 0
    max_audio_s: float = 0.0
    audio_period_s: float = 3600.0
    max_jobs: int = 0
    max_stored_mb: int = 0

    def __post_init__(self) -> None:
        for name, low in _LOWEST.items():
            if not (value := getattr(self, name)) >= low:
                raise OptionError(f"quotas.{name} is {value:g}; give {low} or more", field=name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A tenant as far as its calls are concerned.

    Attributes:
        name: of the tenant; "" on a server without tenants.
        models: names of the models that it may use; None for all.
        is_admin: whether it may use the admin listener.
        quotas: what it may use at most.
        publishes: names under which its adaptations may publish versions; None for all.
        roots: names of the folders whose files its jobs may read; None for all.
        keeps_candidates: whether finals of low confidence may be kept with their audio.
    """

    name: str = ""
    models: frozenset[str] | None = None
    is_admin: bool = False
    quotas: Quotas = field(default_factory=Quotas)
    publishes: frozenset[str] | None = None
    roots: frozenset[str] | None = None
    keeps_candidates: bool = False

    def may_use(self, model: str) -> bool:
        """Whether the model of this name is this caller's."""
        return self.models is None or model in self.models

    def may_publish(self, model: str) -> bool:
        """Whether adaptations of this caller may publish versions under this name."""
        return self.publishes is None or model in self.publishes

    def may_read(self, root: str) -> bool:
        """Whether jobs of this caller may read files under the root of this name."""
        return self.roots is None or root in self.roots


ANYONE = Caller(is_admin=True)
"""Who reaches a listener of a server without tenants."""

_CALLER: ContextVar[Caller] = ContextVar("lexitune_caller")


def current_caller() -> Caller:
    """Whose call the current task serves.

    Raises:
        LookupError: no guard saw the call, a fault of ours.
    """
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """The current task serves a call of this one from now on."""
    _CALLER.set(caller)
