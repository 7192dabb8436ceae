"""What kind of place an address is: this machine, a private network, or anywhere."""

from __future__ import annotations

import ipaddress

_PRIVATE_NAMES = (".internal", ".local", ".svc", ".localhost", ".lan", ".home.arpa")
"""Endings of names that no public DNS has (RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`; Kubernetes' `.svc`)."""


def is_loopback(host: str) -> bool:
    """Return True for an address of this machine alone, by number or as `localhost`."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Return True where packets stay in networks of one's own, as far as an address or a name can tell."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_PRIVATE_NAMES)
