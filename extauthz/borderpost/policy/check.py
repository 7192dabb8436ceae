"""What the shapes of `schema` cannot see: whether names that rules use are defined, and by whom.

A finding is a path below its section and an error; the functions that read documents add file and line.
"""

from __future__ import annotations

import bisect
import difflib
import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from borderpost.policy import codes
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.model import Mode
from borderpost.policy.pack import DataClass, Group, GroupRule, Regime, Rules
from borderpost.policy.schema import (
    Elsewhere,
    EvidenceSpec,
    InlineRules,
    RegionDefaults,
    RegionSpec,
    RouteSpec,
    TenantSpec,
)
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.strict import KeyPath, YamlDocument

Finding = tuple[KeyPath, BorderpostError]

_CIRCLE_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every name that rules so far have defined."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    classes: Mapping[str, DataClass] = field(default_factory=dict)
    regimes: Mapping[str, Regime] = field(default_factory=dict)

    def grown(self, rules: Rules) -> Vocabulary:
        """Return the vocabulary with the rules' names added; what was defined before stays."""
        return replace(
            self,
            groups={**rules.groups, **self.groups},
            classes={**rules.data_classes, **self.classes},
            regimes={**{regime.id: regime for regime in rules.regimes}, **self.regimes},
        )


def vocabulary_of(parts: Iterable[Rules]) -> Vocabulary:
    """Return the names that these rules define together."""
    known = Vocabulary()
    for rules in parts:
        known = known.grown(rules)
    return known


def check_rules(rules: Rules, before: Vocabulary) -> Iterator[Finding]:
    """Find redefinitions, unknown names and circles in rules that come after `before`."""
    known = before.grown(rules)
    yield from _redefined(rules, before)
    for name, group in rules.groups.items():
        if isinstance(group, GroupRule):
            for index, part in enumerate(group.all_of):
                if part not in known.groups:
                    yield ("groups", name, "all_of", index), unknown_group(part, known)
            if not group.all_of and not group.plus:
                error = BorderpostError("BP0212", f"group `{name}` has no places", mend="name some in all_of or plus")
                yield ("groups", name), error
    for name, data_class in rules.data_classes.items():
        for index, implied in enumerate(data_class.implies):
            path: KeyPath = ("data_classes", name, "implies", index)
            if implied not in known.classes:
                yield path, unknown_class(implied, known)
            elif known.classes[implied].rank > data_class.rank or (data_class.rank == 0):
                yield path, BorderpostError("BP0216", f"`{name}` (rank {data_class.rank}) implies `{implied}`")
    yield from _circles(rules, known)
    for index, regime in enumerate(rules.regimes):
        for path, error in _check_regime(regime, known):
            yield ("regimes", index, *path), error


def check_sections(
    known: Vocabulary, evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec], routes: Mapping[str, RouteSpec]
) -> Iterator[Finding]:
    """Find unknown classes and tenants in the sections of the configuration that feed the law."""
    named: list[tuple[KeyPath, tuple[str, ...]]] = [(("evidence", "default_classes"), evidence.default_classes)]
    named += [(("tenants", name, "classes"), spec.classes or ()) for name, spec in tenants.items()]
    named += [(("routes", name, "classes"), spec.classes or ()) for name, spec in routes.items()]
    for path, classes in named:
        for index, name in enumerate(classes):
            if name not in known.classes:
                yield (*path, index), unknown_class(name, known)
    for name, route in routes.items():
        if route.tenant is not None and route.tenant not in tenants:
            yield ("routes", name, "tenant"), unknown_name("BP0214", "tenant", route.tenant, tenants)


def check_conditions(regimes: Iterable[Regime], tenants: Mapping[str, TenantSpec]) -> Iterator[Finding]:
    """Find tenants in regimes' conditions that do not exist: such a regime would silently never apply."""
    for index, regime in enumerate(regimes):
        for position, tenant in enumerate(regime.applies_when.tenant or ()):
            if tenant not in tenants:
                error = unknown_name("BP0214", "tenant", tenant, tenants)
                yield ("regimes", index, "applies_when", "tenant", position), error


def check_regions(regions: Mapping[str, RegionSpec], known: Vocabulary) -> Iterator[Finding]:
    """Find zones that name no group."""
    for region_id, region in regions.items():
        kept = {"retention": region.retention, "telemetry": region.telemetry}
        for key, where in {"processing_scope": region.processing_scope, **kept}.items():
            yield from _unknown_zone(("regions", region_id, key), where, known)


def check_region_defaults(defaults: RegionDefaults, known: Vocabulary) -> Iterator[Finding]:
    """Find zones of `region_defaults` that name no group."""
    for key, where in (("retention", defaults.retention), ("telemetry", defaults.telemetry)):
        yield from _unknown_zone(("region_defaults", key), where, known)


def _unknown_zone(path: KeyPath, where: Elsewhere, known: Vocabulary) -> Iterator[Finding]:
    if isinstance(where, str) and where.startswith("zone:"):
        zone = where.removeprefix("zone:")
        if zone not in known.groups:
            yield path, unknown_group(zone, known)


def check_modes(
    known: Vocabulary, inline: InlineRules, evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec],
    routes: Mapping[str, RouteSpec],
) -> Iterator[Finding]:  # fmt: skip
    """Find data that is to be performance-first and that some regime restricts."""
    fast = Mode.PERFORMANCE_FIRST
    asked: list[tuple[KeyPath, Iterable[str], str | None]] = []
    for name, data_class in known.classes.items():
        if data_class.mode is fast:
            asked.append((("policy", "data_classes", name, "mode"), (name,), None))
    for section, specs in (("tenants", tenants), ("routes", routes)):
        for name, spec in specs.items():
            mode = spec.mode or inline.mode
            if mode is fast:
                path: KeyPath = (section, name, "mode") if spec.mode else ("policy", "mode")
                tenant = name if isinstance(spec, TenantSpec) else spec.tenant
                asked.append((path, evidence.default_classes if spec.classes is None else spec.classes, tenant))
    if inline.mode is fast:
        asked.append((("policy", "mode"), evidence.default_classes, None))
    for path, classes, tenant in asked:
        meant = _with_implied(classes, known)
        for regime in sorted(known.regimes.values(), key=lambda regime: regime.id):
            if _restricts(regime, meant, tenant):
                detail = f"regime `{regime.id}` restricts its data ({', '.join(sorted(meant)) or 'any'})"
                yield path, BorderpostError("BP0221", detail)
                break


def _with_implied(classes: Iterable[str], known: Vocabulary) -> set[str]:
    found: set[str] = set()
    left = [name for name in classes if name in known.classes]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [implied for implied in known.classes[name].implies if implied in known.classes]
    return found


def _restricts(regime: Regime, classes: set[str], tenant: str | None) -> bool:
    """Say whether a regime that regulates transfers may keep some of this data from going somewhere."""
    if regime.kind == "embargo" or (regime.default == "allow" and not regime.deny):
        return False
    applies = regime.applies_when
    if applies.tenant is not None and tenant is not None and tenant not in applies.tenant:
        return False
    return "*" in applies.data or not classes.isdisjoint(applies.data)


def check_events(events: Iterable[LegalEvent], regions: Iterable[str], known: Vocabulary | None) -> Iterator[Finding]:
    """Find names in the scopes of events that are not configured here; without `known` only regions are looked at.

    In a plain file also events that widen, which nobody has signed.
    """
    ids = set(regions)
    for position, event in enumerate(events):
        path: KeyPath = ("events", position)
        if event.widens and not event.approvals:
            mend = "put it into a signed list (`borderpost events`), signed by two"
            yield (*path, "type"), BorderpostError("BP0224", f"`{event.id}` is a {event.type}", mend=mend)
        for index, region_id in enumerate(event.scope.regions):
            if region_id not in ids:
                yield (*path, "scope", "regions", index), unknown_region(region_id, ids)
        if known is not None:
            for inner, error in _unknown_in_scope(event, known):
                yield (*path, "scope", *inner), error


def _unknown_in_scope(event: LegalEvent, known: Vocabulary) -> Iterator[Finding]:
    for key in ("subjects", "countries"):
        for index, ref in enumerate(getattr(event.scope, key)):
            if ref != "*" and not codes.is_code(ref) and ref not in known.groups:
                yield (key, index), unknown_group(ref, known)
    for index, name in enumerate(event.scope.data):
        if name not in known.classes:
            yield ("data", index), unknown_class(name, known)
    for index, name in enumerate(event.scope.regimes):
        if name not in known.regimes:
            yield ("regimes", index), unknown_name("BP0222", "regime", name, known.regimes)


def unknown_region(region_id: str, regions: Iterable[str]) -> BorderpostError:
    """Return the error for a region id that is not configured."""
    return unknown_name("BP0211", "region", region_id, regions)


def raise_found(found: Iterable[Finding], document: YamlDocument | None = None, prefix: KeyPath = ()) -> None:
    """Raise Problems with all that was found, placed in the document if there is one."""
    errors = []
    for path, error in islice(found, limits.PROBLEMS_MAX):
        place = document.place((*prefix, *path)) if document else Place(key=".".join(map(str, (*prefix, *path))))
        errors.append(BorderpostError(error.code, error.detail, place=place, mend=error.mend))
    if errors:
        raise Problems(errors)


def _redefined(rules: Rules, before: Vocabulary) -> Iterator[Finding]:
    for name, group in rules.groups.items():
        if name in before.groups and before.groups[name] != group:
            yield ("groups", name), BorderpostError("BP0206", f"an earlier pack defines group `{name}` differently")
    for name, data_class in rules.data_classes.items():
        if name in before.classes and before.classes[name] != data_class:
            error = BorderpostError("BP0206", f"an earlier pack defines data class `{name}` differently")
            yield ("data_classes", name), error
    counters = {counter.id: regime.id for regime in before.regimes.values() for counter in regime.counters}
    for index, regime in enumerate(rules.regimes):
        for position, counter in enumerate(regime.counters):
            if counters.setdefault(counter.id, regime.id) != regime.id:
                error = BorderpostError("BP0206", f"counter `{counter.id}` is that of regime `{counters[counter.id]}`")
                yield ("regimes", index, "counters", position, "id"), error
    seen = set(before.regimes)
    for index, regime in enumerate(rules.regimes):
        if regime.id in seen:
            yield ("regimes", index, "id"), BorderpostError("BP0206", f"regime `{regime.id}` is defined already")
        seen.add(regime.id)


def _circles(rules: Rules, known: Vocabulary) -> Iterator[Finding]:
    groups = {name: group.all_of for name, group in known.groups.items() if isinstance(group, GroupRule)}
    implied = {name: data_class.implies for name, data_class in known.classes.items()}
    for section, edges, own in (("groups", groups, rules.groups), ("data_classes", implied, rules.data_classes)):
        try:
            graphlib.TopologicalSorter(edges).prepare()
        except graphlib.CycleError as error:
            circle: list[str] = error.args[1]
            at = next((name for name in circle if name in own), circle[0])
            shown = circle if len(circle) <= _CIRCLE_SHOWN_MAX else [*circle[:_CIRCLE_SHOWN_MAX], "…", circle[-1]]
            yield (section, at), BorderpostError("BP0205", " → ".join(shown))


def _check_regime(regime: Regime, known: Vocabulary) -> Iterator[Finding]:
    applies = regime.applies_when
    places: list[tuple[KeyPath, tuple[str, ...]]] = [(("applies_when", "subject_in"), applies.subject_in)]
    classes: list[tuple[KeyPath, tuple[str, ...]]] = [(("applies_when", "data"), applies.data)]
    for index, allow in enumerate(regime.allow):
        places.append((("allow", index, "to"), allow.to))
        if allow.require is not None and allow.require.operator_in is not None:
            places.append((("allow", index, "require", "operator_in"), allow.require.operator_in))
        classes.append((("allow", index, "except_data"), allow.except_data))
    for index, deny in enumerate(regime.deny):
        places.append((("deny", index, "to"), deny.to))
        if deny.operator_in is not None:
            places.append((("deny", index, "operator_in"), deny.operator_in))
        if deny.unless is not None and deny.unless.operator_in is not None:
            places.append((("deny", index, "unless", "operator_in"), deny.unless.operator_in))
        classes.append((("deny", index, "data"), deny.data))
    for path, refs in places:
        for position, ref in enumerate(refs):
            if ref != "*" and not codes.is_code(ref) and ref not in known.groups:
                yield (*path, position), unknown_group(ref, known)
    for path, names in classes:
        for position, name in enumerate(names):
            if name != "*" and name not in known.classes:
                yield (*path, position), unknown_class(name, known)


def unknown_group(name: str, known: Vocabulary) -> BorderpostError:
    """Return the error for a group that nobody defines, or for what looks like a code and is none."""
    if codes.looks_like_code(name) and not _nearest(name, known.groups, cutoff=0.6):
        try:
            codes.split_code(name)
        except BorderpostError as error:
            return error
    return unknown_name("BP0203", "group", name, known.groups)


def unknown_class(name: str, known: Vocabulary) -> BorderpostError:
    """Return the error for a data class that nobody defines."""
    return unknown_name("BP0204", "data class", name, known.classes)


def unknown_name(code: str, kind: str, name: str, known: Iterable[str]) -> BorderpostError:
    """Return the error for a name of some kind that is not known, with the known one that is most like it."""
    near = _nearest(name, known, cutoff=0.5)
    return BorderpostError(code, f"no {kind} `{name}`", mend=f"did you mean `{near[0]}`?" if near else None)


def _nearest(name: str, known: Iterable[str], *, cutoff: float) -> list[str]:
    """Return the known name that is most like this one, if any is; of very many its neighbours in order are asked."""
    names = sorted(known)
    if len(names) > limits.NAMES_COMPARED_MAX:
        at = bisect.bisect_left(names, name)
        half = limits.NAMES_COMPARED_MAX // 2
        names = names[max(0, at - half) : at + half]
    return difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
