"""What a request means by the limits files in force: which rules it meets, and what it charges.

A plan is made once for a request's bytes and used for every request with the same ones. It knows nothing of counters.

    Question ── RuleBook.match, replaces, unlimited ──▶ Plan: charges for the store, and parts for the answer
"""

from __future__ import annotations

import dataclasses
from typing import Final

from borderpost_base.memo import Remembered
from borderpost_ratelimit.charges import Charge, Phase
from borderpost_ratelimit.encoding import field, number_field
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.questions import Asked, Question
from borderpost_ratelimit.rules import Entries, Match, Rule, RuleBook
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import RuleCounts, Statistics

UINT32_MAX: Final = 2**32 - 1
COST_MAX: Final = 2**52
"""Of one charge, in units of its limit: every sum of counters and charges stays below 2^53."""
_UNITS_BY_LENGTH: Final = sorted((u for u in Unit if u is not Unit.UNKNOWN), key=lambda u: u.length_us, reverse=True)
_NEEDS_NAME: Final = (Algorithm.CONCURRENCY, Algorithm.BUDGET)


class ToldLimit:
    """A limit as answers tell it."""

    def __init__(self, limit: Limit, name: str, near: int) -> None:
        self.limit = limit
        self.name = name
        """The rule's name in its file; empty without one."""
        self.near = near
        """How much of it may be in use before a hit counts as near it."""
        self.amount = limit.amount
        self.counts_over = limit.algorithm is Algorithm.FIXED_WINDOW
        """Whether what is over counts too."""
        unit, multiplier = unit_of(limit)
        self.unit = unit
        self.multiplier = multiplier
        self.current = field(2, current_limit(limit.amount, unit, multiplier, name))
        """Field `current_limit` of a DescriptorStatus."""


class Met:
    """What the entries of a descriptor meet."""

    def __init__(self, match: Match, told: tuple[ToldLimit, ...], counts: RuleCounts, *, quota: bool) -> None:
        self.rule: Rule = match.rule
        self.keys = match.keys
        self.told = told
        self.counts = counts
        self.shadow: bool = match.rule.shadow
        self.quota = quota


class Part:
    """One descriptor of a request: its charges, or why it has none."""

    def __init__(self, met: Met | None, first: int, end: int, *, done: bool, unlimited: bool) -> None:
        self.met = met
        """None where nothing is charged."""
        self.first = first
        """Index of its first charge in the plan."""
        self.end = end
        """Index behind its last one."""
        self.done = done
        self.unlimited = unlimited


class Plan:
    """What one request charges, and what its answer is made of."""

    def __init__(self, question: Question, parts: tuple[Part, ...], charges: tuple[Charge, ...]) -> None:
        self.question = question
        self.parts = parts
        self.charges = charges


class Planner:
    """Makes plans by one set of limits files."""

    def __init__(self, rules: RuleBook, settings: ServiceSettings, statistics: Statistics) -> None:
        self._rules = rules
        self._settings = settings
        self._statistics = statistics
        self._domains = rules.domains
        self._met: Remembered[tuple[str, Entries], Met] = Remembered(settings.remembered_requests_max)
        self._told: Remembered[int, tuple[Rule, tuple[ToldLimit, ...]]] = Remembered(settings.remembered_requests_max)
        """By a rule's id; the rule beside it keeps that id its own."""

    def plan(self, question: Question) -> Plan:
        """Return what a question means."""
        domain = question.domain
        known = domain in self._domains
        if not known:
            self._statistics.domain_not_found(domain)
        found = [self._meet(domain, asked) if known else None for asked in question.asked]
        replaced = {name for met in found if met is not None for name in met.rule.replaces}
        charges: list[Charge] = []
        parts: list[Part] = []
        for asked, met in zip(question.asked, found, strict=True):
            unlimited = met is not None and met.rule.unlimited
            first = len(charges)
            if met is not None and (unlimited or (met.rule.name and met.rule.name in replaced)):
                met = None
            if met is not None:
                charges += charges_of(met, asked, question.name)
            parts.append(Part(met, first, len(charges), done=asked.done, unlimited=unlimited))
        return Plan(question, tuple(parts), tuple(charges))

    def _meet(self, domain: str, asked: Asked) -> Met | None:
        """Return what a descriptor meets; None for nothing."""
        override = asked.override
        if override is not None:
            match = self._rules.override(domain, asked.entries, override.amount, override.unit, override.multiplier)
            if match is None:
                return None
            return self._know(match, self._tell(match.rule), self._statistics.of_values(match.metric))
        key = (domain, asked.entries)
        met = self._met.get(key)
        if met is None:
            match = self._rules.match(domain, asked.entries)
            if match is None:
                return None
            met = self._remembered(match)
            self._met.put(key, met)
        return met

    def _remembered(self, match: Match) -> Met:
        rule = match.rule
        entry = self._told.get(id(rule))
        if entry is None:
            entry = (rule, self._tell(rule))
            self._told.put(id(rule), entry)
        statistics = self._statistics
        counts = statistics.of_rule(rule.path) if match.metric == rule.path else statistics.of_values(match.metric)
        return self._know(match, entry[1], counts)

    def _know(self, match: Match, told: tuple[ToldLimit, ...], counts: RuleCounts) -> Met:
        return Met(match, told, counts, quota=match.rule.quota or self._settings.quota)

    def _tell(self, rule: Rule) -> tuple[ToldLimit, ...]:
        """Return a rule's limits as this service keeps them: where nothing refuses, none is binding."""
        settings = self._settings
        limits = rule.limits
        if settings.shadow or settings.quota:
            limits = tuple(dataclasses.replace(limit, binding=False) for limit in limits)
        near = self._statistics.near_threshold
        return tuple(ToldLimit(limit, rule.name, near(limit.amount)) for limit in limits)


def charges_of(met: Met, asked: Asked, name: str) -> list[Charge]:
    """Return the charges of one descriptor."""
    phase = Phase.DONE if asked.done else Phase.BEGIN
    charges: list[Charge] = []
    for told, key in zip(met.told, met.keys, strict=True):
        limit = told.limit
        named = name if limit.algorithm in _NEEDS_NAME else ""
        charges.append(Charge(limit, key, _cost(limit, asked), phase, named))
    return charges


def _cost(limit: Limit, asked: Asked) -> int:
    """Return what a descriptor costs: for a budget that nobody estimated, its reserve."""
    if limit.algorithm is Algorithm.BUDGET and not asked.done and (not asked.estimated or not asked.hits):
        return limit.reserve
    cost = limit.cost_of(asked.hits)
    return max(-COST_MAX, min(cost, COST_MAX))


def unit_of(limit: Limit) -> tuple[Unit, int]:
    """Return a limit's window as RLS tells it, in so many units; UNKNOWN where no unit fits or there is no window."""
    if limit.algorithm is Algorithm.CONCURRENCY:
        return Unit.UNKNOWN, 1
    units = [limit.unit] if limit.unit is not Unit.UNKNOWN else _UNITS_BY_LENGTH
    for unit in units:
        multiplier, rest = divmod(limit.window_us, unit.length_us)
        if not rest and 0 < multiplier <= UINT32_MAX:
            return unit, multiplier
    return Unit.UNKNOWN, 1


def current_limit(amount: int, unit: Unit, multiplier: int, name: str) -> bytes:
    """Return an encoded `RateLimitResponse.RateLimit`; an amount beyond what it can say is the most it can."""
    several = field(4, number_field(1, multiplier)) if multiplier != 1 else b""
    named = field(3, name.encode()) if name else b""
    return number_field(1, min(amount, UINT32_MAX)) + number_field(2, int(unit)) + named + several
