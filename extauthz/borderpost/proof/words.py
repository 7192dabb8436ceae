"""What an atom is in a person's words, and the `borderpost explain` line that asks the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from borderpost.policy import codes
from borderpost.policy.model import Source
from borderpost.policy.regimes import NEVER_US
from borderpost.policy.schema import EvidenceSpec
from borderpost.proof.grounds import Ground
from borderpost.proof.space import Atom, Span
from borderpost.proof.standings import SOMEBODY, SOMETHING, Asking

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES_TOLD: Final = 8


def instant(at_us: int) -> str:
    """Write an instant: a plain day where it is one, else with time and zone."""
    moment = _EPOCH + timedelta(microseconds=at_us)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0):
        return moment.date().isoformat()
    return moment.isoformat().replace("+00:00", "Z")


def time_of(span: Span) -> str:
    """Write when a span is: `from 2026-11-21 until 2027-01-01`."""
    until = f" until {instant(span.until_us)}" if span.until_us < NEVER_US else ""
    return f"from {instant(span.from_us)}{until}"


def places(grounds: Iterable[Ground], *, most: int = _PLACES_TOLD) -> str:
    """Write the codes of some kinds of places, the first few by name: `DE, FR and 28 more`."""
    named = sorted({code for ground in grounds for code in ground.codes if not is_made_up(code)})
    if not named:
        named = sorted(ground.code for ground in grounds)
    if len(named) <= most:
        return ", ".join(named)
    return f"{', '.join(named[: most - 1])} and {len(named) - most + 1} more"


def subject(grounds: Sequence[Ground]) -> str:
    """Write whose data it is: `a subject in DE`."""
    return f"a subject in {places(grounds)}" if grounds else "a subject whose place nobody knows"


def data(asking: Asking) -> str:
    """Write what the data is: `health data`, or what holds where nothing is declared."""
    return f"{' and '.join(asking.declared)} data" if asking.declared else "data that nobody has declared"


def party(asking: Asking) -> str:
    """Write who asks, and for what; empty for anybody."""
    parts = []
    if asking.tenant is not None:
        parts.append("a tenant that is not configured" if asking.tenant == SOMEBODY else f"tenant {asking.tenant}")
    if asking.named is not None:
        parts.append(f"tenant {asking.named} by its header")
    if asking.route is not None:
        parts.append(f"route {asking.route}")
    for name in ("model", "purpose"):
        value = getattr(asking, name)
        if value is not None:
            parts.append(f"another {name}" if value == SOMETHING else f"{name} {value}")
    return ", ".join(parts)


def explain_line(atom: Atom, evidence: EvidenceSpec) -> str:
    """Return the command that explains an atom, for a configuration in the default place."""
    asking, where = atom.asking, atom.where
    words = ["borderpost", "explain"]
    claims: list[tuple[str, str]] = []
    token = evidence.token
    code = where.ground.code if where.ground is not None else None
    by_address = code is not None and Source.GEOIP in asking.sources
    if code is not None and by_address:
        words += ["--country", code if codes.is_iso_suffix(code[3:]) else code[:2]]
    exact = code is not None and len(code) > 2 and not codes.is_iso_suffix(code[3:])
    if code is not None and token is not None and (Source.TOKEN in asking.sources or exact or not by_address):
        claims.append((token.residency_claim, code))
    if asking.tenant is not None and token is not None:
        claims.append((token.tenant_claim, asking.tenant))
    if claims and token is not None and token.issuers:
        claims.append(("iss", token.issuers[0]))
    words += [word for name, value in claims for word in ("--claim", f"{name}={value}")]
    beside = where.beside.code if where.beside is not None else None
    asserted = beside or (code if Source.HEADER in asking.sources else None)
    if asserted is not None and evidence.header is not None:
        words += ["--header", f"{evidence.header.name}={asserted}"]
    given = (
        ("--tenant", asking.named),
        ("--class", ",".join(asking.declared) or None),
        ("--model", asking.model),
        ("--purpose", asking.purpose),
        ("--route", asking.route),
        ("--at", instant(atom.span.from_us)),
    )
    words += [word for option, value in given if value is not None for word in (option, value)]
    if atom.stale:
        words.append("--stale")
    return shlex.join(words)


def is_made_up(code: str) -> bool:
    """Return True for a code that stands for the parts of a country that no rule names."""
    return code[3:] in {"ZZ", "QQ", "XX", "QZZ", "ZZZZ", "QQQQ"}
