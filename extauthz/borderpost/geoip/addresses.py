"""Client addresses: their one form, sets of them, and which of them say anything about a place.

The ranges are written here and not taken from the standard library, whose idea of a global address has changed
between releases: the same address must mean the same on every Python.
"""

from __future__ import annotations

import ipaddress
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PLACELESS: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    "::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1",
)  # fmt: skip
"""Networks without a place: private, shared, loopback, link-local, protocol assignments, documentation, benchmarks,
multicast and reserved (IANA IPv4 and IPv6 Special-Purpose Address Registries); of IPv6 all but 2000::/3, the only
block that IANA gives out for global unicast."""


class Ranges:
    """A set of addresses of one IP version: sorted ranges that do not touch, found by bisection."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(ranges):
            if ends and start <= ends[-1] + 1:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self._starts, self._ends = _packed(starts), _packed(ends)

    def __contains__(self, number: int) -> bool:
        """Say whether the address of this number is in the set."""
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]

    def __len__(self) -> int:
        return len(self._starts)


def parse_address(address: str | bytes) -> Address:
    """Return the address of a text, or of 4 or 16 bytes in network order; IPv4-mapped IPv6 as IPv4.

    Raises ValueError for anything else.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return parsed if mapped is None else mapped
    return parsed


def has_place(address: Address) -> bool:
    """Say whether the address belongs to a public network, so that a database can know where it is."""
    return int(address) not in _PLACELESS[address.version]


def _packed(numbers: list[int]) -> Sequence[int]:
    """Return ascending numbers in 8 bytes each, where they fit: a long list of IPv4 networks is the usual one."""
    return array("Q", numbers) if not numbers or numbers[-1] < 1 << 64 else numbers


def _placeless(version: int) -> Ranges:
    networks = [network for network in map(ipaddress.ip_network, PLACELESS) if network.version == version]
    return Ranges((int(network.network_address), int(network.broadcast_address)) for network in networks)


_PLACELESS: Final = {4: _placeless(4), 6: _placeless(6)}
