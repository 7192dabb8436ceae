"""The compiled tree, and the way of a descriptor through it.

A level is one dictionary from `key_value`, or `key` alone, to the next level. Each entry of a descriptor takes one step
down, the descriptor's last entry must end at a rule, and a step is: `key_value` as it stands; otherwise the first
wildcard that fits; otherwise `key` (envoyproxy/ratelimit, `GetLimit` in src/config/config_impl.go). Nothing is tried
again: who has gone down the narrower branch and finds no rule there has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from borderpost_base import limits as bounds
from borderpost_base.errors import NOWHERE, BorderpostError, Place
from borderpost_ratelimit.files.keys import KeyStyle, counter_base, limit_marks
from borderpost_ratelimit.files.wildcards import Wildcards
from borderpost_ratelimit.limits import Algorithm, Limit, Scope, Unit, WhenAway
from borderpost_ratelimit.rules import Entries, Match, Rule


class Node:
    """One descriptor of a file, or the top of a domain."""

    __slots__ = (
        "children", "composite", "detailed", "key", "marks", "place", "rule", "shares", "value", "value_to_metric",
        "wildcards",
    )  # fmt: skip

    def __init__(self, key: str, value: str, place: Place) -> None:
        """`key` is the descriptor's, or the domain; `value` is empty where the descriptor names none."""
        self.key = key
        self.value = value
        self.composite = f"{key}_{value}" if value else key
        self.place = place
        self.children: dict[str, Node] = {}
        """By their composites."""
        self.wildcards: Wildcards[Node] | None = None
        """Those of the children whose composite holds a `*`."""
        self.rule: Rule | None = None
        self.marks: tuple[str, ...] = ()
        """Of the rule's limits, as from `limit_marks`."""
        self.detailed = False
        self.value_to_metric = False
        self.shares = False

    def add(self, child: Node) -> None:
        """Put a child in its place, behind those that are there."""
        self.children[child.composite] = child
        if "*" in child.composite:
            if self.wildcards is None:
                self.wildcards = Wildcards()
            self.wildcards.add(child.composite, child)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of the files."""

    top: Node
    scope: Scope
    """Of limits that a request brings itself."""
    when_away: WhenAway


class Book:
    """All domains of one set of files; `borderpost_ratelimit.rules.RuleBook`."""

    __slots__ = ("_domains", "_overrides", "_style", "content", "digest", "domains", "files", "findings", "rules")

    def __init__(
        self,
        domains: Mapping[str, Domain],
        style: KeyStyle,
        files: tuple[str, ...] = (),
        content: bytes = b"",
        findings: tuple[BorderpostError, ...] = (),
    ) -> None:
        """`files` are the names of what was read, `content` what they hold, each after its length and a colon."""
        self._domains = dict(domains)
        self._style = style
        self._overrides: dict[tuple[str, int, Unit, int], Rule] = {}
        self.files = files
        self.content = content
        self.digest = hashlib.sha256(content).hexdigest()
        self.findings = findings
        """What is probably not meant, though it can be compiled: for `check`, and for the log at a reload."""
        self.domains = frozenset(self._domains)
        self.rules = tuple(rule for domain in self._domains.values() for rule in _rules_below(domain.top))
        """In the order of the files."""

    def top(self, domain: str) -> Node | None:
        """Return the top of a domain's tree, for those who explain it."""
        found = self._domains.get(domain)
        return None if found is None else found.top

    def match(self, domain: str, entries: Entries) -> Match | None:
        """Return what the entries meet; None without a rule, or without such a domain."""
        at_domain = self._domains.get(domain)
        if at_domain is None or not entries:
            return None
        node = at_domain.top
        plain = True  # whether the metric is the rule's path
        shared: dict[int, str] | None = None
        for index, (key, value) in enumerate(entries):
            joined = f"{key}_{value}"
            found = node.children.get(joined)
            if found is not None:
                plain = plain and value != ""
            else:
                if node.wildcards is not None:
                    found = node.wildcards.find(joined)
                if found is not None:
                    plain = plain and not found.value_to_metric and found.composite.startswith(f"{key}_")
                    if found.shares:
                        if shared is None:
                            shared = {}
                        shared[index] = found.composite.removeprefix(f"{key}_")
                else:
                    found = node.children.get(key)
                    if found is None:
                        return None
                    plain = plain and not found.value_to_metric
            node = found
        rule = node.rule
        if rule is None:
            return None
        metric = rule.path
        if node.detailed:
            metric = _bounded(_detailed_metric(domain, entries, shared))
        elif not plain:
            metric = _bounded(self._metric(at_domain.top, domain, entries, shared))
        base = counter_base(self._style, domain, entries, shared)
        if len(node.marks) == 1:
            return Match(rule, (base + node.marks[0],), metric)
        return Match(rule, tuple([base + mark for mark in node.marks]), metric)

    def override(self, domain: str, entries: Entries, amount: int, unit: Unit, multiplier: int = 1) -> Match | None:
        """Return a match for a limit that the request brings itself: `amount` in `multiplier` units; None without such
        a domain.

        Its rule and metric are named by the domain and the entries' keys, without values: unlike envoyproxy/ratelimit,
        which writes a caller's values into its statistics here. It counts where a fixed window of the files with the
        same unit and the same entries counts, as it does there. Raises ValueError for a unit that has no length.
        """
        at_domain = self._domains.get(domain)
        if at_domain is None:
            return None
        path = ".".join([domain, *[key for key, _ in entries]])
        asked = (path, amount, unit, multiplier)
        rule = self._overrides.get(asked)
        if rule is None:
            limit = Limit(
                domain, Algorithm.FIXED_WINDOW, amount, unit, unit.length_us * multiplier,
                scope=at_domain.scope, when_away=at_domain.when_away,
            )  # fmt: skip
            rule = Rule(domain, _bounded(path), (limit,))
            if len(self._overrides) >= bounds.LIMITER_OVERRIDES_MAX:
                self._overrides.clear()
            self._overrides[asked] = rule
        mark = limit_marks(rule.limits, ("",), self._style)[0]
        return Match(rule, (counter_base(self._style, domain, entries, None) + mark,), rule.path)

    def _metric(self, top: Node, domain: str, entries: Entries, shared: dict[int, str] | None) -> str:
        """Return the name with values where `value_to_metric` asks for them; the entries have met a rule."""
        node = top
        metric = domain
        for index, (key, value) in enumerate(entries):
            joined = f"{key}_{value}"
            found = node.children.get(joined)
            shown = value
            if found is None:
                found = None if node.wildcards is None else node.wildcards.find(joined)
                if found is None:
                    found = node.children[key]
                    shown = value if found.value_to_metric else ""
                elif shared is not None and shared.get(index):
                    shown = shared[index]
                elif not found.value_to_metric:
                    shown = found.composite.removeprefix(f"{key}_")
            metric += f".{key}_{shown}" if shown else f".{key}"
            node = found
        return metric


def _detailed_metric(domain: str, entries: Entries, shared: dict[int, str] | None) -> str:
    metric = domain
    for index, (key, value) in enumerate(entries):
        if shared is None:
            metric += f".{key}_{value}"
        else:
            shown = shared.get(index) or value
            metric += f".{key}_{shown}" if shown else f".{key}"
    return metric


def _bounded(metric: str) -> str:
    """Cut a name that holds what callers sent: two long ones may be counted as one, and no counter is as long as a
    caller likes."""
    return metric[: bounds.LIMITER_METRIC_CHARACTERS_MAX]


def _rules_below(node: Node) -> list[Rule]:
    found = [] if node.rule is None else [node.rule]
    for child in node.children.values():
        found += _rules_below(child)
    return found


EMPTY = Book({}, KeyStyle.LENGTHS)
"""Of no files: before the first ones are there."""


def new_top(domain: str, place: Place = NOWHERE) -> Node:
    """Return the top of an empty domain."""
    return Node(domain, "", place)
