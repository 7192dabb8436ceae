"""The values that law is asked with and answers with. Pure data: frozen, hashable, without I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Source(enum.StrEnum):
    """Where a piece of evidence about the data subject's place came from."""

    TOKEN = "token"  # noqa: S105 - a source's name, not a secret
    MTLS = "mtls"
    HEADER = "header"
    GEOIP = "geoip"


class Trust(enum.StrEnum):
    """How far a source is believed. Asserted and inferred evidence can only narrow."""

    VERIFIED = "verified"
    ASSERTED = "asserted"
    INFERRED = "inferred"


TRUST_OF: Mapping[Source, Trust] = {
    Source.TOKEN: Trust.VERIFIED,
    Source.MTLS: Trust.VERIFIED,
    Source.HEADER: Trust.ASSERTED,
    Source.GEOIP: Trust.INFERRED,
}


class Mode(enum.StrEnum):
    """How far latency may count, the strictest first. No mode lets a request past a regime that applies."""

    LEGAL_FIRST = "legal-first"
    """Only entries that hold for everybody; a protected class without a law is refused as `no_regime` says."""
    HYBRID = "hybrid"
    """Entries marked `only_in: hybrid`, named cross-border bases, count too."""
    PERFORMANCE_FIRST = "performance-first"
    """Data that no regime restricts, which is checked at load, needs no law to go anywhere; embargoes still hold."""

    @property
    def width(self) -> int:
        """Return 0, 1 or 2: of several modes the one of least width holds."""
        return _WIDTH[self.value]


_WIDTH = {"legal-first": 0, "hybrid": 1, "performance-first": 2}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One source's word on where the data subject is."""

    source: Source
    code: str
    """ISO 3166-1 alpha-2 (`DE`) or a subdivision or sub-country jurisdiction (`CA-QC`, `AE-DIFC`)."""
    subdivision_unknown: bool = False
    """True where only the country is known: the database or claim has no subdivision for it."""
    doubt: str | None = None
    """Why the source's word on the place is not believed (`anonymiser`, `hosting`, `confidence`), else None. Doubtful
    evidence places nobody and calls for no regime but embargoes, which any word on a place brings about."""

    @property
    def trust(self) -> Trust:
        """Return the source's trust."""
        return TRUST_OF[self.source]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the law is asked about: everything about a request that may change its answer, and no more.

    Two requests with equal Facts get the same law (at the same instant, policy and events), so Facts is
    the key of the memo. Request ids, addresses and other identities are not in it.
    """

    evidence: tuple[Evidence, ...]
    """At most one of each source, in the order of `Source`. No GEOIP entry means: the address is unknown."""
    classes: tuple[str, ...]
    """Data classes that count, sorted, floors and declarations joined, implied ones not yet added."""
    tenant: str | None = None
    """A tenant known by verified means, else None."""
    model: str | None = None
    missing: str | None = None
    """Evidence that the tenant or route requires and the request lacks (`token`, `header`…), else None."""
    purpose: str | None = None
    """What the request is for, known by trusted means, else None."""
    mode: Mode | None = None
    """The strictest mode that tenant and route set, None where neither sets one."""


class Ruling(enum.StrEnum):
    """What the law says."""

    LEGAL = "legal"
    """At least one region may serve the request."""
    FORBIDDEN = "forbidden"
    """No region may (HTTP 451)."""
    EVIDENCE = "evidence"
    """Required evidence is missing or invalid (HTTP 403)."""


@dataclass(frozen=True, slots=True)
class Law:
    """The law's answer for one Facts at one instant."""

    ruling: Ruling
    reason: str
    """A stable identifier: `ok`, `embargo`, `no-legal-region`, `here-not-allowed`, `unknown-subject`,
    `evidence-required:token`…"""
    legal: tuple[str, ...]
    """Ids of the regions allowed, sorted; empty unless LEGAL."""
    effective: tuple[str, ...]
    """Jurisdiction codes that counted, sorted."""
    regimes: tuple[str, ...]
    """Ids of the regimes that applied, sorted."""
    bases: Mapping[str, str]
    """For each legal region: the bases that allow it, `regime/basis` joined by a comma."""
    refused: Mapping[str, str]
    """For each other region: the first reason against it in order of regime id, `regime/why`."""
    conflict: str | None
    """Disagreement between sources, such as `token-vs-geoip` or `header-widen`; None if they agree."""
    subdivision_unknown: bool
    """True where a subdivision would have mattered to some group and was not known."""
    valid_until_us: int | None
    """First instant at which an entry or event may change this answer; None if nothing is dated ahead."""
    mode: Mode = Mode.LEGAL_FIRST
    """The mode that held."""
    stale: bool = False
    """True where the list of legal events was older than allowed, so that no revocable basis counted."""
    events: tuple[str, ...] = ()
    """Ids of the legal events that concern the request and change what a law that applies to it says, or refuse some
    region outright, sorted; whether the answer would be another without them is not asked."""
