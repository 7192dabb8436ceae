"""A list of networks in a text file: one a line, what it is after it, comments after `#`.

    # VPN exits, 2026-11-20
    192.0.2.0/24
    2001:db8:77::/48   vpn
    198.51.100.7       hosting   # a cloud

A line without a word is an anonymiser's. A line that cannot be read makes the whole list unusable: passing over it
would believe the address that it was to flag.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from borderpost.geoip.addresses import Address, Ranges
from borderpost.geoip.flags import FLAG_OF, Flags
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAPPED_BITS = 96
"""Length of the prefix ::ffff:0:0 of IPv6 addresses that are IPv4 addresses (RFC 4291, section 2.5.5.2)."""
_MAPPED = 0xFFFF

_OCTET = rb"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN = re.compile(_OCTET + rb"\." + _OCTET + rb"\." + _OCTET + rb"\." + _OCTET)
"""A line with nothing but an IPv4 address, as most lines of the longest lists: they need not take the long way."""

_Found = dict[tuple[int, Flags], list[tuple[int, int]]]
"""First and last address of each network, by IP version and flag."""


class NetworkList:
    """The networks of one file."""

    def __init__(self, path: Path, digest: str, ranges: Mapping[tuple[int, Flags], Ranges]) -> None:
        self.path = path
        self.digest = digest
        """`sha256:` and 64 hex digits, over the whole file."""
        self._ranges = ranges

    @classmethod
    def read(cls, path: Path) -> NetworkList:
        """Read a file.

        Raises BorderpostError: BP0301 (cannot be read), BP0309 (a line cannot be read, with its number), BP0310 (no
        network in it), BP0311 (too long).
        """
        data = _bytes_of(path)
        found: _Found = {}
        count = 0
        for number, line in enumerate(data.removeprefix(_BYTE_ORDER_MARK).splitlines(), 1):
            plain = _PLAIN.fullmatch(line)
            words = () if plain is not None else line.partition(b"#")[0].split()
            if plain is not None:
                first = int.from_bytes(bytes(map(int, plain.groups())), "big")
                found.setdefault((4, Flags.ANONYMISER), []).append((first, first))
            elif words:
                _take(words, found, path, number)
            else:
                continue
            count += 1
            if count > limits.ANONYMISER_NETWORKS_MAX:
                detail = f"more than {limits.ANONYMISER_NETWORKS_MAX} networks"
                raise BorderpostError("BP0311", detail, place=Place(str(path), number))
        if not found:
            raise BorderpostError("BP0310", "the file has no network in it", place=Place(str(path)))
        ranges = {key: Ranges(networks) for key, networks in found.items()}
        return cls(path, f"sha256:{hashlib.sha256(data).hexdigest()}", ranges)

    def flags(self, address: Address) -> Flags:
        """Return the flags of an address: those of all networks that it is in."""
        found, version, number = Flags.NONE, address.version, int(address)
        for (of_version, flag), ranges in self._ranges.items():
            if of_version == version and number in ranges:
                found |= flag
        return found

    def close(self) -> None:
        """Nothing is held open."""


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            data = handle.read(limits.ANONYMISER_LIST_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError("BP0301", error.strerror or str(error), place=Place(str(path))) from error
    if len(data) > limits.ANONYMISER_LIST_BYTES_MAX:
        detail = f"more than {limits.ANONYMISER_LIST_BYTES_MAX} bytes"
        raise BorderpostError("BP0311", detail, place=Place(str(path)))
    return data


def _take(words: Sequence[bytes], found: _Found, path: Path, number: int) -> None:
    """Put one line's network where it belongs."""
    try:
        network, *more = (word.decode("ascii") for word in words)
        version, first, last = _network(network)
    except (UnicodeDecodeError, ValueError) as error:
        detail = f"{ascii(words[0])[2:-1]:.60} is no network: {error}"
        raise BorderpostError("BP0309", detail, place=Place(str(path), number)) from None
    flag = FLAG_OF.get(more[0].lower()) if len(more) == 1 else None if more else Flags.ANONYMISER
    if flag is None:
        detail = f"`{' '.join(more):.60}` after the network is no one flag"
        raise BorderpostError("BP0309", detail, place=Place(str(path), number))
    found.setdefault((version, flag), []).append((first, last))


def _network(text: str) -> tuple[int, int, int]:
    """Return IP version, first and last address of a network or an address. Raises ValueError.

    Written out and not left to `ip_network`, which takes five times as long for each of many thousand lines.
    """
    address, slash, bits = text.partition("/")
    if "%" in address:
        raise ValueError("it has a zone")
    parsed: Address = ipaddress.IPv6Address(address) if ":" in address else ipaddress.IPv4Address(address)
    width, number = parsed.max_prefixlen, int(parsed)
    if slash and not (bits.isascii() and bits.isdigit() and len(bits) <= 3 and int(bits) <= width):
        raise ValueError(f"its prefix is not 0 to {width} bits")
    span = (1 << (width - int(bits or width))) - 1
    if number & span:
        raise ValueError("it has bits beyond its prefix")
    if width == 128 and number >> 32 == _MAPPED and int(bits or width) >= _MAPPED_BITS:
        return 4, number & 0xFFFFFFFF, (number | span) & 0xFFFFFFFF
    return parsed.version, number, number | span
