"""Whose turn it is: those that wait for decodings get equal shares of the workers' time, whoever asks for more.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): a clock advances by what was done for its owner, the lowest
clock is next, and who has waited for nothing begins at the time of the others: idling saves no credit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable


class Turns:
    """Clocks of equals, in whatever unit work is charged in. Not safe for several threads."""

    def __init__(self) -> None:
        self._clocks: dict[Hashable, float] = {}
        self._time = 0.0

    def wait(self, who: Hashable) -> None:
        """One waits for something more."""
        self._clocks[who] = max(self._clocks.get(who, 0.0), self._time)

    def clock(self, who: Hashable) -> float:
        """The lowest of those that wait is next."""
        return self._clocks.get(who, self._time)

    def begin(self, who: Hashable) -> None:
        """The turn of the lowest of all clocks begins, which is the time from now on."""
        self._time = max(self._time, self.clock(who))

    def charge(self, who: Hashable, work: float) -> None:
        """So much is done for one now, or was more or less than was charged."""
        self._clocks[who] = self.clock(who) + work


class TenantTurns:
    """Turns of tenants, and within each of its streams of one kind and those of another.

    A kind's share goes by how many streams wait, so that what a stream of one kind costs takes nothing from the others.
    """

    def __init__(self) -> None:
        self._tenants = Turns()
        self._kinds: defaultdict[str, Turns] = defaultdict(Turns)

    def wait(self, tenant: str, kind: Hashable) -> None:
        """A stream waits for something more."""
        self._tenants.wait(tenant)
        self._kinds[tenant].wait(kind)

    def clock(self, tenant: str, kind: Hashable) -> tuple[float, float]:
        """The lowest of those that wait is next."""
        return self._tenants.clock(tenant), self._kinds[tenant].clock(kind)

    def begin(self, tenant: str, kind: Hashable) -> None:
        """The turn of the lowest of all clocks begins."""
        self._tenants.begin(tenant)
        self._kinds[tenant].begin(kind)

    def charge(self, tenant: str, kind: Hashable, work: float, num_streams: int) -> None:
        """So much is done now for a kind of which so many streams wait, or was more or less than was charged."""
        self._tenants.charge(tenant, work)
        self._kinds[tenant].charge(kind, work / num_streams)
