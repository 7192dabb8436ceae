"""Changes of the law as sentences that say whom they expose."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from borderpost.policy.model import Source
from borderpost.policy.schema import EvidenceSpec
from borderpost.proof import words
from borderpost.proof.changes import Change, Data, group_of
from borderpost.proof.compare import NO_SUCH_REGION
from borderpost.proof.country_names import named_place
from borderpost.proof.space import Space
from borderpost.proof.standings import BELIEVED, SOMEBODY, SOMETHING
from borderpost.proof.surroundings import ReadingChange, RegionChange

_NAMED: Final = 6
"""Names that are written out; the others are counted."""

_CALLER: Final = {
    "route": "on route {}", "tenant": "of tenant {}", "named": "of tenant {} by its header", "model": "for model {}",
    "purpose": "for {}", "evidence": "with evidence of {}",
}  # fmt: skip
_NOBODY: Final = {
    "route": "on no known route", "tenant": "of no known tenant", "named": "of no tenant by its header",
    "model": "for no known model", "purpose": "for no known purpose",
}  # fmt: skip
_SOMEBODY: Final = {
    "tenant": "of a tenant that is not configured", "model": "for another model", "purpose": "for another purpose",
}  # fmt: skip


def sentence(change: Change, space: Space) -> str:
    """Write a change: `personal data of subjects in Greenland (GL) may now go to eu-central-1, by eu-gdpr/art45`."""
    who = f"{_data(change.scope.data)} of {_subjects(change, space)}"
    regions = listed(change.regions)
    if change.kind == "reason":
        about = f" by {regions}" if change.regions else ""
        said = f"{who} is refused{about} for another reason, {change.after}"
    elif change.kind == "basis":
        said = f"{who} may go to {regions} by another basis, {change.after}"
    elif not change.legal:
        why = f" ({change.after})" if change.after != NO_SUCH_REGION else ", which is gone"
        said = f"{who} may no longer go to {regions}{why}"
    elif change.kind == "region" and all("/" in one or one == "unrestricted" for one in change.before):
        said = f"{who} may still go to {regions}, which stands elsewhere now, by {change.after}"
    else:
        new = ", a new region," if change.before == (NO_SUCH_REGION,) else ""
        said = f"{who} may now go to {regions}{new or ','} by {change.after}"
    return f"{said}{''.join(_circumstances(change))}"


def _data(data: Data) -> str:
    kinds = [" and ".join(one) if one else "unclassified" for one in data.least]
    text = f"{listed(kinds, 'or')} data"
    return f"{text} (not with {listed(data.never)})" if data.never else text


def _subjects(change: Change, space: Space) -> str:
    found = []
    if change.places:
        shown = [code for code in change.places if not words.is_made_up(code)] or list(change.places)
        group = group_of(space, change.places) if len(shown) > 1 else None
        if group is not None:
            found.append(f"subjects in {group} ({len(shown)} places)")
        else:
            found.append(f"subjects in {listed([named_place(code) for code in shown])}")
    if change.unplaced:
        found.append("subjects whose place nobody knows")
    return " and ".join(found)


def _circumstances(change: Change) -> list[str]:
    scope = change.scope
    found = []
    for name, values in scope.callers:
        said = []
        for value in values:
            if value == "":
                said.append(_NOBODY[name])
            elif value in (SOMEBODY, SOMETHING):
                said.append(_SOMEBODY[name])
            else:
                said.append(_CALLER[name].format(value))
        found.append(f", {listed(said, 'or')}")
    if scope.times.spans != ((None, None),):
        found.append(", " + " and ".join(_time(start, end) for start, end in scope.times.spans))
    if scope.stale == (True,):
        found.append(", while the list of legal events is stale")
    doubts = [doubt for doubt in scope.doubts if doubt != BELIEVED.name]
    if doubts and BELIEVED.name not in scope.doubts:
        found.append(f", where the address is in doubt ({listed(doubts)})")
    if change.vouched:
        found.append(" and a token or certificate vouches for another place")
    return found


def _time(start_us: int | None, end_us: int | None) -> str:
    parts = []
    if start_us is not None:
        parts.append(f"from {words.instant(start_us)}")
    if end_us is not None:
        parts.append(f"until {words.instant(end_us)}")
    return " ".join(parts)


def listed(names: Sequence[str], last: str = "and") -> str:
    """Write names as a list, the first few of many."""
    shown = list(names)
    if len(shown) > _NAMED:
        return f"{', '.join(shown[:_NAMED])} {last} {len(shown) - _NAMED:,} more"
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}" if len(shown) > 1 else "".join(shown)


def command(change: Change, config: str, evidence: EvidenceSpec) -> str:
    """Return the `explain` line for the first request that shows a change, by the configuration after."""
    atom = change.first.atom
    line = words.explain_line(atom, evidence)
    company = change.first.company
    if company is not None and evidence.token is not None and Source.TOKEN not in atom.asking.sources:
        claim = f"{evidence.token.residency_claim}={company.code}"
        line = f"{line} --claim {shlex.quote(claim)}"
    return line.replace("borderpost explain", f"borderpost explain -c {shlex.quote(config)}", 1)


def region_sentence(change: RegionChange) -> str:
    """Write what became of a region."""
    if change.what in ("added", "removed"):
        return f"{change.region}: {change.what}"
    keys = "; ".join(f"{key} {was} → {now}" for key, was, now in change.keys)
    return f"{change.region}: {change.what}, {keys}"


def reading_sentence(change: ReadingChange) -> str:
    """Write how requests are read otherwise."""
    may = "may widen" if change.may_widen else "can only narrow"
    return f"{change.key}: {change.before} → {change.after}; {may}"
