"""Which rules of a policy decided something in the cases that were asked, and which did not.

A rule decided something if it stands behind the law's answer: an allow entry that holds for a location of a legal
region under a basis that the answer names; a deny entry, an embargo or a regime's own default whose reason is the one
told of a refused region; an event that took part. Asked of the regimes' entries after the fact, so that `decide` stays
as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from borderpost.policy.catalogue import SUFFIXES
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.events import CompiledEvents
from borderpost.policy.model import Law
from borderpost.policy.pack import AllowEntry, DenyEntry, Regime, Threshold
from borderpost.policy.regimes import window
from borderpost.proof.hearing import Heard

OWN: Final = "the configuration's own"
"""Stands for a pack where rules are the deployment's own."""


class Rule(NamedTuple):
    """Something that a case may touch."""

    pack: str
    """The pack that brings it, `OWN`, or `events`."""
    name: str
    """`eu-gdpr`, `eu-gdpr allow[3] art45-dpf`, `event stop-us`."""
    key: str
    """What it is by: `regime`, `default`, `allow`, `deny`, `event`, `tenant` or `route`."""


class Coverage:
    """The rules of one policy, and which of them were touched so far."""

    def __init__(self, policy: CompiledPolicy, events: Sequence[str]) -> None:
        """Begin with nothing touched. `events` are the ids of the configured events."""
        self._policy = policy
        self._regimes = {regime.id: regime for regime in policy.bundle.regimes}
        self._packs = {regime.id: pack.metadata.id for pack in policy.bundle.packs for regime in pack.regimes}
        self._reached: dict[tuple[str, str, int], int] = {}
        self._touched: dict[Rule, int] = dict.fromkeys(self._all(events), 0)

    def _all(self, events: Sequence[str]) -> Iterator[Rule]:
        for regime in self._regimes.values():
            yield self._rule(regime, "regime")
            if regime.basis is not None:
                yield self._rule(regime, "default")
            yield from (self._rule(regime, "allow", index) for index in range(len(regime.allow)))
            yield from (self._rule(regime, "deny", index) for index in range(len(regime.deny)))
        yield from (Rule("events", event, "event") for event in events)
        for kind, names in (("tenant", self._policy.bundle.tenants), ("route", self._policy.bundle.routes)):
            yield from (Rule(OWN, name, kind) for name in names)

    def _rule(self, regime: Regime, key: str, index: int = 0) -> Rule:
        pack = self._packs.get(regime.id, OWN)
        if key == "regime":
            return Rule(pack, regime.id, key)
        if key == "default":
            return Rule(pack, f"{regime.id} default {regime.basis}", key)
        entries: tuple[AllowEntry | DenyEntry, ...] = regime.allow if key == "allow" else regime.deny
        return Rule(pack, f"{regime.id} {key}[{index}] {entries[index].basis}", key)

    def count(self, heard: Heard, *, tenants: Iterable[str] = (), route: str | None = None) -> None:
        """Note what stands behind one answer; `tenants` and `route` are those that the request named."""
        named = [(OWN, name, "tenant") for name in {*tenants, heard.facts.tenant} if name is not None]
        named += [(OWN, route, "route")] if route is not None else []
        for touched in {*(Rule(*one) for one in named), *(self._behind(heard) if heard.law is not None else ())}:
            if touched in self._touched:
                self._touched[touched] += 1

    def touched(self, packs: Iterable[str] | None = None) -> list[tuple[Rule, int]]:
        """Return each rule with the number of cases that touched it, in order of the policy; of some packs if named."""
        wanted = None if packs is None else set(packs)
        return [(rule, count) for rule, count in self._touched.items() if wanted is None or rule.pack in wanted]

    def _behind(self, heard: Heard) -> set[Rule]:
        law = heard.law
        assert law is not None
        found = {self._rule(self._regimes[regime_id], "regime") for regime_id in law.regimes}
        found |= {Rule("events", event, "event") for event in law.events}
        reasons: dict[str, int] = {}
        for region, reason in law.refused.items():
            reasons[reason] = reasons.get(reason, 0) | self._policy.index.bits[region]
        for reason, mask in reasons.items():
            found |= self._refusing(reason, mask, heard, law)
        bases: dict[str, int] = {}
        for region, joined in law.bases.items():
            bases[joined] = bases.get(joined, 0) | self._policy.index.bits[region]
        for joined, mask in bases.items():
            for label in {_plain(label) for label in joined.split(",")}:
                found |= self._allowing(label, mask, heard, law)
        return found

    def _refusing(self, reason: str, mask: int, heard: Heard, law: Law) -> set[Rule]:
        """Return the regime, and the deny entries, that a reason against some regions names."""
        regime_id, _, name = _plain(reason).partition("/")
        regime = self._regimes.get(regime_id)
        if regime is None:
            return set()
        found = {self._rule(regime, "regime")}
        if name.startswith(("here-not-allowed", "sink-not-allowed")):
            return found
        classes = self._classes(heard)
        for index, entry in enumerate(regime.deny):
            concerned = "*" in entry.data or any(self._policy.own_bits[one] & classes for one in entry.data)
            if entry.basis != name or not concerned or not _is_current(entry, heard.at_us):
                continue
            if entry.above is not None and not self._is_reached(entry.above, heard):
                continue
            if self._hit(regime, index) & self._policy.catalogue.everywhere(mask):
                found.add(self._rule(regime, "deny", index))
        return found

    def _allowing(self, label: str, mask: int, heard: Heard, law: Law) -> set[Rule]:
        """Return the allow entries that hold for some location of these regions under one basis."""
        regime_id, _, name = label.partition("/")
        regime = self._regimes.get(regime_id)
        if regime is None:
            return set()
        found = {self._rule(regime, "default")} if regime.basis == name else set()
        classes = self._classes(heard)
        for index, entry in enumerate(regime.allow):
            excepted = any(self._policy.own_bits[one] & classes for one in entry.except_data)
            if entry.basis != name or excepted or not _is_current(entry, heard.at_us):
                continue
            if (entry.only_in is not None and not law.mode.width) or (entry.revocable and law.stale):
                continue
            if entry.below is not None and self._is_reached(entry.below, heard):
                continue
            if self._inside(regime, index) & self._policy.catalogue.everywhere(mask):
                found.add(self._rule(regime, "allow", index))
        return found

    def _classes(self, heard: Heard) -> int:
        mask = 0
        for name in heard.facts.classes:
            mask |= self._policy.classes.get(name, 0)
        return mask

    def _inside(self, regime: Regime, index: int) -> int:
        key = (regime.id, "allow", index)
        if key not in self._reached:
            entry, catalogue = regime.allow[index], self._policy.catalogue
            self._reached[key] = catalogue.inside(entry.to) & catalogue.bringing(entry.require)
        return self._reached[key]

    def _hit(self, regime: Regime, index: int) -> int:
        key = (regime.id, "deny", index)
        if key not in self._reached:
            entry, catalogue = regime.deny[index], self._policy.catalogue
            mask = catalogue.hit(entry.to)
            if entry.operator_in is not None:
                mask &= catalogue.perhaps_operated_in(entry.operator_in)
            self._reached[key] = mask if entry.unless is None else mask & ~catalogue.bringing(entry.unless)
        return self._reached[key]

    def _is_reached(self, threshold: Threshold, heard: Heard) -> bool:
        return _highest(heard.events, heard.at_us).get(threshold.counter, 0) >= threshold.count


def _highest(events: CompiledEvents, at_us: int) -> dict[str, int]:
    """Return the highest threshold that each counter has reached at an instant."""
    found: dict[str, int] = {}
    for changes in events.at(at_us)[0].reached.values():
        for _, counter, count in changes:
            found[counter] = max(found.get(counter, 0), count)
    return found


def _plain(label: str) -> str:
    """Return a label without the suffix that names a location."""
    return label.removesuffix(SUFFIXES[1]).removesuffix(SUFFIXES[2])


def _is_current(entry: AllowEntry | DenyEntry, at_us: int) -> bool:
    start_us, end_us = window(entry.from_, entry.until)
    return start_us <= at_us < end_us
