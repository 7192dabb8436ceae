"""What a request means by the limits files in force: which rules it meets, and what it charges.

A plan is made once for a request's bytes and used for every request with the same ones. It knows nothing of counters.

    Question ── RuleBook.match, replaces, unlimited ──▶ Plan: charges for the store, and parts for the answer
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from borderpost_base.memo import Remembered
from borderpost_ratelimit.charges import Charge, Phase
from borderpost_ratelimit.grants import with_grant
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.questions import Asked, Question
from borderpost_ratelimit.rules import Match, Rule, RuleBook
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import RuleCounts, Statistics
from borderpost_wire.protobuf import bytes_field, number_field

CODE_OK: Final = 1
"""`RateLimitResponse.OK`."""
UINT32_MAX: Final = 2**32 - 1
COST_MAX: Final = 2**52
"""Of one charge, in units of its limit; a greater one is taken as so much. Counters end at 2^53 - 1."""
_NO_LIMIT: Final = bytes_field(2, number_field(1, CODE_OK))
"""The status of a descriptor that nothing limits."""
_UNLIMITED: Final = bytes_field(2, number_field(1, CODE_OK) + number_field(3, UINT32_MAX))
"""The status of a descriptor that is unlimited: it has the most left that can be said."""
_HEADER_SAFE: Final = re.compile(r"[ !#-\[\]-~]{1,128}")
"""Printable ASCII without quotes and backslashes."""
_UNITS_BY_LENGTH: Final = sorted((u for u in Unit if u is not Unit.UNKNOWN), key=lambda u: u.length_us, reverse=True)
_BEGIN: Final = Phase.BEGIN
_DONE: Final = Phase.DONE
_NEEDS_NAME: Final = (Algorithm.CONCURRENCY, Algorithm.BUDGET)


class ToldLimit:
    """A limit as answers tell it."""

    def __init__(self, limit: Limit, name: str, near: int) -> None:
        self.limit = limit
        self.name = name
        """The rule's name in its file; empty without one."""
        self.header_name = name if _HEADER_SAFE.fullmatch(name) else ""
        """The name as it may stand in a header between quotes; empty without one that may."""
        self.near = near
        """How much of it may be in use before a hit counts as near it."""
        self.amount = limit.amount
        self.plain = limit.algorithm is not Algorithm.BUDGET and not limit.price_nano
        """Whether a hit costs one, and no hits are charged unless they are asked for."""
        self.counts_over = limit.algorithm is Algorithm.FIXED_WINDOW
        """Whether what is over counts too."""
        unit, multiplier = unit_of(limit)
        self.unit = unit
        self.multiplier = multiplier
        self.current = bytes_field(2, current_limit(limit.amount, unit, multiplier, name))
        """Field `current_limit` of a DescriptorStatus."""


class Met:
    """What the entries of a descriptor meet."""

    def __init__(self, match: Match, told: tuple[ToldLimit, ...], counts: RuleCounts, *, quota: bool) -> None:
        rule = match.rule
        self.rule = rule
        self.name = rule.name
        self.replaces = rule.replaces
        self.unlimited = rule.unlimited
        self.keys = match.keys
        self.told = told
        self.counts = counts
        self.shadow = rule.shadow
        self.quota = quota


class Part:
    """One descriptor of a request: its charges, or the status that it has without any."""

    def __init__(self, index: int, met: Met | None, first: int, end: int, status: bytes, *, done: bool) -> None:
        self.index = index
        """Of the descriptor in its request."""
        self.met = met
        """None where nothing is charged."""
        self.first = first
        """Index of its first charge in the plan."""
        self.end = end
        """Index behind its last one."""
        self.status = status
        """Field `statuses` of the response; empty where verdicts make it."""
        self.done = done

    def is_usual(self) -> bool:
        """Return whether being over its limit refuses the request, and nothing else."""
        return self.met is not None and not self.done and not self.met.quota and not self.met.shadow


class Plan:
    """What one request charges, and what its answer is made of."""

    def __init__(
        self, question: Question, parts: list[Part], charges: tuple[Charge, ...], *, unlimited: int, known: bool,
        grant: int,
    ) -> None:  # fmt: skip
        self.question = question
        self.name = question.name
        """Of the first request that had this plan."""
        self.domain = question.domain
        self.parts = parts
        self.charges = charges
        """As without a name."""
        self.unlimited = unlimited
        """How many descriptors are unlimited."""
        self.known = known
        """Whether its domain has a file."""
        self.grant = grant
        """How much of the only charge is a quota that the request did not ask for."""
        self.usual = len(parts) == len(charges) == 1 and not grant and charges[0].hits >= 0 and parts[0].is_usual()
        """Whether it is one descriptor, at a request's beginning, with one limit that refuses."""
        self._needs_name = any(charge.limit.algorithm in _NEEDS_NAME for charge in charges)

    def charges_of(self, name: str) -> tuple[Charge, ...]:
        """Return the charges of a request by this name: leases and reservations are found by it at its end."""
        if not name or not self._needs_name:
            return self.charges
        return tuple(
            charge._replace(request=name) if charge.limit.algorithm in _NEEDS_NAME else charge
            for charge in self.charges
        )


class Planner:
    """Makes plans by one set of limits files."""

    def __init__(self, rules: RuleBook, settings: ServiceSettings, statistics: Statistics) -> None:
        self._rules = rules
        self._settings = settings
        self._statistics = statistics
        self._domains = rules.domains
        self._told: Remembered[int, tuple[Rule, tuple[ToldLimit, ...]]] = Remembered(settings.remembered_requests_max)
        """By a rule's id; the rule beside it keeps that id its own."""

    def plan(self, question: Question) -> Plan:
        """Return what a question means."""
        domain = question.domain
        known = domain in self._domains
        found = [self._meet(domain, asked) if known else None for asked in question.asked]
        replaced: list[str] = []
        for met in found:
            if met is not None and met.replaces:
                replaced += met.replaces
        charges: list[Charge] = []
        parts: list[Part] = []
        unlimited = 0
        for index, asked in enumerate(question.asked):
            met = found[index]
            first = len(charges)
            status = _NO_LIMIT
            if met is None:
                pass
            elif met.unlimited:
                met, status = None, _UNLIMITED
                unlimited += 1
            elif replaced and met.name and met.name in replaced:
                met = None
            else:
                _charge(charges, met, asked, question.addend)
                status = b""
            parts.append(Part(index, met, first, len(charges), status, done=asked.done))
        grant = self._settings.quota_grant if len(parts) == 1 else 0
        if grant:
            grant = with_grant(charges, grant)
        return Plan(question, parts, tuple(charges), unlimited=unlimited, known=known, grant=grant)

    def _meet(self, domain: str, asked: Asked) -> Met | None:
        """Return what a descriptor meets; None for nothing."""
        own = asked.override
        if own is None:
            match = self._rules.match(domain, asked.entries)
        else:
            match = self._rules.override(domain, asked.entries, own.amount, own.unit, own.multiplier)
        return None if match is None else self._know(match, own=own is not None)

    def _know(self, match: Match, *, own: bool) -> Met:
        """Return what is known of a match. The names of rules that requests bring themselves are theirs to choose."""
        rule = match.rule
        entry = self._told.get(id(rule))
        if entry is None:
            entry = (rule, self._tell(rule))
            self._told.put(id(rule), entry)
        statistics = self._statistics
        named = match.metric == rule.path and not own
        counts = statistics.of_rule(rule.path) if named else statistics.of_values(match.metric)
        return Met(match, entry[1], counts, quota=rule.quota or self._settings.quota)

    def _tell(self, rule: Rule) -> tuple[ToldLimit, ...]:
        """Return a rule's limits as this service keeps them: where nothing refuses, none is binding."""
        settings = self._settings
        limits = rule.limits
        if settings.shadow or settings.quota:
            limits = tuple(dataclasses.replace(limit, binding=False) for limit in limits)
        near = self._statistics.near_threshold
        return tuple(ToldLimit(limit, rule.name, near(limit.amount)) for limit in limits)


def _charge(charges: list[Charge], met: Met, asked: Asked, addend: int) -> None:
    """Add the charges of one descriptor; `addend` is the request's."""
    phase = _DONE if asked.done else _BEGIN
    own = asked.addend
    hits = own if own is not None else addend or 1
    if asked.negative:
        hits = -hits
    estimated = hits != 0 and (own is not None or addend != 0)
    settles = asked.done and any(told.limit.algorithm in _NEEDS_NAME for told in met.told)
    for index, told in enumerate(met.told):
        cost = hits
        if settles and told.limit.algorithm not in _NEEDS_NAME:
            cost = 0  # what counts requests beside a budget does not count its tokens
        elif not told.plain:
            reserves = told.limit.algorithm is Algorithm.BUDGET and not asked.done and not estimated
            cost = told.limit.reserve if reserves else told.limit.cost_of(hits)
        if not -COST_MAX <= cost <= COST_MAX:
            cost = COST_MAX if cost > 0 else -COST_MAX
        charges.append(Charge(told.limit, met.keys[index], cost, phase))


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
    several = bytes_field(4, number_field(1, multiplier)) if multiplier != 1 else b""
    named = bytes_field(3, name.encode()) if name else b""
    return number_field(1, min(amount, UINT32_MAX)) + number_field(2, int(unit)) + named + several
