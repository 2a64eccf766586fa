"""What each tenant uses now, against its quotas: calls at once, and audio in a period. Counted in this process only.

Audio is a bucket that holds a period's worth and refills evenly: it may be used at once, then as fast as it comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asr.errors import LimitError
from server.caller import Caller

REASON = "TENANT_QUOTA"
SLOT_RETRY_S = 1.0


class _Usage:
    def __init__(self, now_s: float, audio_s: float) -> None:
        self.num_streams = 0
        self.most_s = self.left_s = audio_s
        self.as_of_s = now_s


class TenantQuotas:
    """Usage by tenant's name. For one event loop.

    Args:
        clock: monotonic, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usages: dict[str, _Usage] = {}

    def num_streams(self, tenant: str) -> int:
        """Slots that a tenant holds."""
        return self._usages[tenant].num_streams if tenant in self._usages else 0

    @contextmanager
    def slots(self, caller: Caller, count: int) -> Iterator[None]:
        """Hold ``count`` of a tenant's slots.

        Raises:
            LimitError: so many are not free, or its audio is used up.
        """
        usage, most = self._usage(caller), caller.quotas.max_streams
        free = most - usage.num_streams
        if most and free < count:
            raise LimitError(
                f"{free} of the {most} calls that tenant {caller.name} may have at once are free, and {count} are asked "
                "for; try again when one has ended, or have quotas.max_streams raised",
                reason=REASON,
                retry_s=SLOT_RETRY_S,
            )
        if caller.quotas.max_audio_s and usage.left_s <= 0:
            raise self._used_up(caller, usage)
        usage.num_streams += count
        try:
            yield
        finally:
            usage.num_streams -= count

    def take(self, caller: Caller, audio_s: float) -> None:
        """Count a whole recording.

        Raises:
            LimitError: there is not so much left; nothing was counted.
        """
        quotas, usage = caller.quotas, self._usage(caller)
        if quotas.max_audio_s and usage.left_s < audio_s:
            wait_s = (audio_s - usage.left_s) * quotas.audio_period_s / quotas.max_audio_s
            remedy = "try again then" if audio_s <= quotas.max_audio_s else "send it in parts"
            raise LimitError(
                f"{audio_s:.1f} s of audio, and {max(usage.left_s, 0.0):.1f} s of the {quotas.max_audio_s:g} s in "
                f"{quotas.audio_period_s:g} s of tenant {caller.name} are left; enough is back in {wait_s:.0f} s: "
                f"{remedy}, or have quotas.max_audio_s raised",
                reason=REASON,
                retry_s=wait_s,
            )
        if quotas.max_audio_s:
            usage.left_s -= audio_s

    def charge(self, caller: Caller, audio_s: float) -> LimitError | None:
        """Count audio of a stream, which is served; the error that the stream ends with if it was the last."""
        if not caller.quotas.max_audio_s:
            return None
        usage = self._usage(caller)
        usage.left_s -= audio_s
        return self._used_up(caller, usage) if usage.left_s <= 0 else None

    def _usage(self, caller: Caller) -> _Usage:
        """A tenant's usage with what has come back by now."""
        quotas, now_s = caller.quotas, self._clock()
        usage = self._usages.setdefault(caller.name, _Usage(now_s, quotas.max_audio_s))
        back_s = (now_s - usage.as_of_s) * quotas.max_audio_s / quotas.audio_period_s
        more_s = quotas.max_audio_s - usage.most_s  # the file was changed
        usage.most_s = quotas.max_audio_s
        usage.left_s = min(quotas.max_audio_s, usage.left_s + more_s + back_s)
        usage.as_of_s = now_s
        return usage

    def _used_up(self, caller: Caller, usage: _Usage) -> LimitError:
        quotas = caller.quotas
        enough_s = min(1.0, quotas.max_audio_s)  # of audio, to begin again with
        wait_s = (enough_s - usage.left_s) * quotas.audio_period_s / quotas.max_audio_s
        return LimitError(
            f"the {quotas.max_audio_s:g} s of audio in {quotas.audio_period_s:g} s of tenant {caller.name} are used up; "
            f"try again in {wait_s:.0f} s, or have quotas.max_audio_s raised",
            reason=REASON,
            retry_s=wait_s,
        )
