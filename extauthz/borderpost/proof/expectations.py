"""What became of a request beside what a test expects of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from borderpost.policy.model import Law
from borderpost.proof.cases import Expectation
from borderpost.proof.hearing import Heard


class Unmet(NamedTuple):
    """One expectation that is not met."""

    key: str
    """The key of the expectation, `legal`."""
    expected: str
    got: str


class RegionSaid(NamedTuple):
    """What the law says of one region."""

    region: str
    legal: bool
    why: str
    """The bases that allow it, or the reason for which it is refused."""


def unmet(expect: Expectation, heard: Heard) -> list[Unmet]:
    """Return every expectation that is not met, in the order of the keys."""
    found: list[Unmet] = []
    for name, judged in _JUDGES.items():
        if getattr(expect, name) is not None:
            found += judged(expect, heard)
    return found


def regions_said(heard: Heard, regions: Iterable[str]) -> list[RegionSaid]:
    """Return what is said of each region, legal ones first, each kind sorted."""
    law = heard.law
    said = [_said(region, heard, law) for region in sorted(regions)]
    return sorted(said, key=lambda one: not one.legal)


def _said(region: str, heard: Heard, law: Law | None) -> RegionSaid:
    if law is None:
        return RegionSaid(region, False, heard.reason)
    if region in law.bases:
        return RegionSaid(region, True, law.bases[region])
    return RegionSaid(region, False, law.refused.get(region, law.reason))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _legal(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    if set(expect.legal or ()) != set(heard.legal):
        yield Unmet("legal", _listed(expect.legal or ()), _or_reason(heard))


def _only(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    if set(heard.legal) - set(expect.only or ()):
        yield Unmet("only", _listed(expect.only or ()), _listed(heard.legal))


def _includes(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    if set(expect.includes or ()) - set(heard.legal):
        yield Unmet("includes", _listed(expect.includes or ()), _or_reason(heard))


def _excludes(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    found = set(expect.excludes or ()) & set(heard.legal)
    if found:
        yield Unmet("excludes", _listed(expect.excludes or ()), _listed(found))


def _or_reason(heard: Heard) -> str:
    return _listed(heard.legal) if heard.legal else f"none: {heard.reason}"


def _refused(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    wanted = expect.refused
    is_refused = heard.ruling != "legal"
    got = f"refused: {heard.reason}" if is_refused else f"legal: {_listed(heard.legal)}"
    if isinstance(wanted, bool):
        if wanted != is_refused:
            yield Unmet("refused", "any reason" if wanted else "not refused", got)
    elif not is_refused or heard.reason != wanted:
        yield Unmet("refused", str(wanted), got)


def _ruling(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    if heard.ruling != expect.ruling:
        yield Unmet("ruling", str(expect.ruling), f"{heard.ruling} ({heard.reason})")


def _basis(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    for region in expect.basis or {}:
        wanted = expect.bases_of(region)
        said = _said(region, heard, heard.law)
        if not said.legal or set(wanted) - set(said.why.split(",")):
            yield Unmet(f"basis.{region}", ", ".join(wanted), said.why if said.legal else f"refused: {said.why}")


def _why_not(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    for region, wanted in (expect.why_not or {}).items():
        said = _said(region, heard, heard.law)
        if said.legal or said.why != wanted:
            yield Unmet(f"why_not.{region}", wanted, f"legal by {said.why}" if said.legal else said.why)


def _named(key: str, of: Callable[[Law], Iterable[str]]) -> Callable[[Expectation, Heard], Iterator[Unmet]]:
    def judged(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
        wanted, got = getattr(expect, key), of(heard.law) if heard.law is not None else ()
        if set(wanted) != set(got):
            yield Unmet(key, _listed(wanted), _listed(got))

    return judged


def _mode(expect: Expectation, heard: Heard) -> Iterator[Unmet]:
    got = heard.law.mode.value if heard.law is not None else "none"
    if expect.mode is None or got != expect.mode.value:
        yield Unmet("mode", str(expect.mode), got)


_JUDGES: Final[Mapping[str, Callable[[Expectation, Heard], Iterator[Unmet]]]] = {
    "legal": _legal,
    "only": _only,
    "includes": _includes,
    "excludes": _excludes,
    "refused": _refused,
    "ruling": _ruling,
    "basis": _basis,
    "why_not": _why_not,
    "regimes": _named("regimes", lambda law: law.regimes),
    "events": _named("events", lambda law: law.events),
    "mode": _mode,
}
"""By key of the expectation: what finds where it is not met."""
