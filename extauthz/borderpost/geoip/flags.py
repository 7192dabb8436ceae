"""What publishers say of an address beside its place: whose exit it is.

Publishers agree on the file format and not on the names. Each name is a field of a record (MMDB) or the second word
of a line (list):

    is_anonymous, is_anonymous_vpn, is_hosting_provider, is_public_proxy, is_residential_proxy, is_tor_exit_node
                                          GeoIP Anonymous IP, Anonymous Plus, and Insights below `anonymizer`
    anonymizer_confidence                 GeoIP Residential Proxy, which has no other field that says it
    vpn, proxy, tor, relay, hosting       IPinfo Privacy, as texts (`"true"`, `""`) or booleans

`is_anonymous` is said of an address with any of the other flags of GeoIP, hosting included. So it makes an anonymiser
of an address only where no flag says what kind it is.

Sources: https://dev.maxmind.com/geoip/docs/databases/anonymous-ip/binary,
https://dev.maxmind.com/geoip/docs/databases/anonymous-plus/binary, the test data of https://github.com/maxmind/MaxMind-DB,
https://ipinfo.io/developers/privacy-detection-database.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Flags(enum.Flag):
    """Whose exit an address is; none, one or both."""

    NONE = 0
    ANONYMISER = enum.auto()
    """A VPN, a proxy, a relay or Tor: the person is somewhere else."""
    HOSTING = enum.auto()
    """A data centre: a server asks, or a person through one."""


FLAG_OF: Final[Mapping[str, Flags]] = {
    **dict.fromkeys(
        (
            "anonymiser", "anonymizer_confidence", "is_anonymous_proxy", "is_anonymous_vpn", "is_proxy",
            "is_public_proxy", "is_relay", "is_residential_proxy", "is_tor", "is_tor_exit_node", "is_vpn", "proxy",
            "relay", "tor", "vpn",
        ),
        Flags.ANONYMISER,
    ),
    **dict.fromkeys(("hosting", "is_hosting", "is_hosting_provider"), Flags.HOSTING),
}  # fmt: skip
"""What each name says that says it alone."""
_SOME_KIND: Final = frozenset({"anonymous", "is_anonymous"})
"""Names that say that there is some flag."""
_BELOW: Final = ("anonymizer", "privacy", "traits")
"""Maps of a record in which the flags may stand."""
_FALSE: Final = frozenset({"", "0", "false", "no"})


def has_flags(record: object) -> bool:
    """Say whether a record has a field for a flag, whatever it holds."""
    return any(name in FLAG_OF or name in _SOME_KIND for fields in _maps(record) for name in fields)


def flags_of(record: object) -> Flags:
    """Return the flags of a record. A field that holds neither yes nor no counts as yes."""
    found, some = Flags.NONE, False
    for fields in _maps(record):
        for name, value in fields.items():
            if name in FLAG_OF or name in _SOME_KIND:
                said = value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)
                found |= FLAG_OF.get(name, Flags.NONE) if said else Flags.NONE
                some |= said
    return Flags.ANONYMISER if some and not found else found


def _maps(record: object) -> list[Mapping[str, object]]:
    if not isinstance(record, Mapping):
        return []
    below = (record.get(name) for name in _BELOW)
    return [record, *(inner for inner in below if isinstance(inner, Mapping))]
