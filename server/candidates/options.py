"""The options of candidates: what is unsure enough to be kept, how much of it, and how long."""

from __future__ import annotations

from dataclasses import dataclass

from asr.errors import OptionError


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidatesOptions:
    """The table ``[candidates]``; rows and audio are in the database and the folder of ``[jobs]``.

    Attributes:
        enabled: whether candidates are kept on a server without tenants; with them, each says so for itself
            (``keep_candidates`` in the tenants file).
        below_confidence: a final with less is a candidate.
        max_per_hour: of a tenant; others are not kept.
        max_stored_mb: audio of a tenant, MiB.
        max_stored_s: audio of a tenant, s.
        retention_days: after which a candidate is deleted, corrected or not.
    """

    enabled: bool = False
    below_confidence: float = 0.6
    max_per_hour: int = 60
    max_stored_mb: int = 512
    max_stored_s: float = 36_000.0
    retention_days: float = 30.0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "below_confidence": (0, 1),
            "max_per_hour": (1, 1_000_000),
            "max_stored_mb": (1, 1 << 30),
            "max_stored_s": (1, 1e9),
            "retention_days": (0, 36_500),
        }
        for name, (low, high) in ranges.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise OptionError(
                    f"candidates.{name} is {value:g}; give {low:g} to {high:g}", field=f"candidates.{name}"
                )
