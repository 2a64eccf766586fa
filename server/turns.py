"""Whose turn it is: tenants that wait for decodings get equal shares of what is decoded, whoever asks for more.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): a tenant's clock advances by what was decoded for it, the
lowest clock is next, and who has waited for nothing begins at the time of the others: idling saves no credit.
"""

from __future__ import annotations


class Turns:
    """Clocks of tenants, in whatever unit work is charged in. Not safe for several threads."""

    def __init__(self) -> None:
        self._clocks: dict[str, float] = {}
        self._time = 0.0

    def wait(self, tenant: str) -> None:
        """A tenant waits for something more."""
        self._clocks[tenant] = max(self._clocks.get(tenant, 0.0), self._time)

    def clock(self, tenant: str) -> float:
        """The lowest of those that wait is next."""
        return self._clocks.get(tenant, self._time)

    def begin(self, tenant: str) -> None:
        """The turn of the lowest of all clocks begins, which is the time from now on."""
        self._time = max(self._time, self.clock(tenant))

    def charge(self, tenant: str, work: float) -> None:
        """So much is done for a tenant now."""
        self._clocks[tenant] = self.clock(tenant) + work
