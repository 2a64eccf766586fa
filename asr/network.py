"""What an address says about who can reach it; opens no connection."""

from __future__ import annotations

import ipaddress


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches HOST:PORT; names other than localhost are not looked up and count as no.

    Args:
        address: HOST:PORT, [IPV6]:PORT or unix:PATH.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
