"""Which client certificates may call: by their subject alternative names, or by the trust domain of a SPIFFE id.

Names are compared whole and byte by byte: there are no wildcards, and a name that could be taken for one is refused.
A URI counts only as a URI SAN and any other name never as one, so that nobody gets in by writing `spiffe://…` into a
DNS SAN. A certificate with several URI SANs is no SPIFFE identity and matches none (X509-SVID, section 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from borderpost_wire.errors import OptionsError

SPIFFE: Final = "spiffe://"
_ID_BYTES_MAX: Final = 2048
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""Characters and lengths by the SPIFFE-ID standard, sections 2.1 to 2.4."""


def trust_domain_of(spiffe_id: str) -> str:
    """Return the trust domain of a workload's SPIFFE id, `spiffe://trust-domain/path`.

    Raises ValueError, whose text says what is wrong, for what is none by the letter of the SPIFFE-ID standard: other
    case, no path, an empty or relative segment, a port, a query, an escape.
    """
    if not spiffe_id.startswith(SPIFFE):
        raise ValueError("it does not begin with `spiffe://`")
    domain, slash, path = spiffe_id[len(SPIFFE) :].partition("/")
    if not _TRUST_DOMAIN.fullmatch(domain):
        raise ValueError("a trust domain has lower-case letters, digits, `.`, `-` and `_`")
    if not slash:
        raise ValueError("it has no path: that is a trust domain, not a workload")
    for segment in path.split("/"):
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError("the segments of its path have letters, digits, `.`, `-` and `_`, and none is empty")
    if len(spiffe_id) > _ID_BYTES_MAX:
        raise ValueError(f"it has more than {_ID_BYTES_MAX} bytes")
    return domain


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The subject alternative names of one certificate."""

    uris: tuple[str, ...]
    others: frozenset[str]
    """DNS names, addresses and mailboxes."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call. Where both are empty, everybody whose certificate the authority vouches for may.

    Raises OptionsError for a name or trust domain that could never match, or that reads as if it matched several.
    """

    names: frozenset[str] = frozenset()
    """Subject alternative names of which a certificate must carry one; with `://` in it, of a URI SAN."""
    trust_domains: frozenset[str] = frozenset()
    """SPIFFE trust domains, as `example.org`: every workload of theirs may."""

    def __post_init__(self) -> None:
        for name in self.names:
            check_name(name)
        for domain in self.trust_domains:
            if not _TRUST_DOMAIN.fullmatch(domain):
                raise OptionsError(f"`{domain}` is no SPIFFE trust domain, such as `example.org`")

    def __bool__(self) -> bool:
        """Return whether anybody is kept out."""
        return bool(self.names or self.trust_domains)

    def admit(self, shown: CertificateNames) -> bool:
        """Return whether a certificate with these names may call."""
        if not self or any(name in self.names and "://" not in name for name in shown.others):
            return True
        if any(uri in self.names and "://" in uri and not uri.startswith(SPIFFE) for uri in shown.uris):
            return True
        if len(shown.uris) != 1:
            return False
        try:
            domain = trust_domain_of(shown.uris[0])
        except ValueError:
            return False
        return shown.uris[0] in self.names or domain in self.trust_domains


ANYBODY: Final = Callers()
"""Everybody whose certificate the authority vouches for."""


def check_name(name: str) -> None:
    """Raise OptionsError for a name that is not one, or that reads as if it were several."""
    if not name or not name.isprintable() or any(character.isspace() for character in name):
        raise OptionsError("a name is not empty and has no blanks")
    if "*" in name:
        raise OptionsError(f"`{name}`: names are compared whole, there are no wildcards; name each, or a trust domain")
    if name.casefold().startswith("spiffe:"):
        try:
            trust_domain_of(name)
        except ValueError as error:
            raise OptionsError(f"`{name}` is no SPIFFE id of a workload: {error}") from error
