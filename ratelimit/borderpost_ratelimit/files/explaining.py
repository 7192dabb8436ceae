"""Which rule a descriptor meets, step by step, and why."""

from __future__ import annotations

import difflib
import enum
from dataclasses import dataclass

from borderpost_ratelimit.files.book import Book, Node
from borderpost_ratelimit.files.wildcards import Pattern
from borderpost_ratelimit.rules import RESERVED, Entries, Match

_TOLD_MAX = 6
"""Names that a sentence lists."""


class How(enum.StrEnum):
    """By what an entry meets a descriptor of the file."""

    VALUE = "key and value"
    WILDCARD = "wildcard"
    KEY = "key"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Step:
    """One entry on its way down."""

    key: str
    value: str
    how: How
    met: str = ""
    """The descriptor's `key_value` or `key`."""
    place: str = ""
    """Its file and line."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one descriptor."""

    entries: Entries
    """Without the reserved ones."""
    reserved: Entries
    steps: tuple[Step, ...]
    match: Match | None
    why: str
    """One sentence."""


def explain(book: Book, domain: str, entries: Entries) -> Explanation:
    """Return the way of a descriptor, its reserved entries among them."""
    plain = tuple(entry for entry in entries if not entry[0].startswith(RESERVED))
    reserved = tuple(entry for entry in entries if entry[0].startswith(RESERVED))
    top = book.top(domain)
    if top is None:
        near = difflib.get_close_matches(domain, sorted(book.domains), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; there are: {_listed(sorted(book.domains))}"
        return Explanation(plain, reserved, (), None, f"no file has the domain `{domain}`{hint}")
    if not plain:
        return Explanation(plain, reserved, (), None, "a descriptor without entries meets nothing")
    steps: list[Step] = []
    node = top
    for key, value in plain:
        step, found = _step(node, key, value)
        steps.append(step)
        if found is None:
            return Explanation(plain, reserved, tuple(steps), None, _lost(node, top, step) + _passed_over(top, plain))
        node = found
    match = book.match(domain, plain)
    why = _met(node) if match is not None else _ruleless(node) + _passed_over(top, plain)
    return Explanation(plain, reserved, tuple(steps), match, why)


def _step(node: Node, key: str, value: str) -> tuple[Step, Node | None]:
    joined = f"{key}_{value}"
    how, found = How.VALUE, node.children.get(joined)
    if found is None and node.wildcards is not None:
        how, found = How.WILDCARD, node.wildcards.find(joined)
    if found is None:
        how, found = How.KEY, node.children.get(key)
    if found is None:
        return Step(key, value, How.NOTHING), None
    return Step(key, value, how, found.composite, _line(found)), found


def _lost(node: Node, top: Node, step: Step) -> str:
    said = f"`{step.key}={step.value}` meets nothing"
    if not node.children:
        if node.rule is not None:
            return f"{said}: the rule `{node.rule.path}` is for descriptors that end before it ({_line(node)})"
        return f"{said}: there is nothing below `{node.composite}` ({_line(node)})"
    where = "at the top of the domain" if node is top else f"below `{node.composite}`"
    return f"{said} {where}; there are: {_listed(list(node.children))}"


def _ruleless(node: Node) -> str:
    if node.children:
        return (
            f"`{node.composite}` has no limit; its rules are for descriptors that go on: {_listed(list(node.children))}"
        )
    return f"`{node.composite}` has no limit ({_line(node)})"


def _passed_over(top: Node, entries: Entries) -> str:
    """Return which rule would fit if narrower descriptors were not met first; nothing if none would."""
    level = [top]
    for key, value in entries:
        joined = f"{key}_{value}"
        level = [
            child
            for node in level
            for composite, child in node.children.items()
            if composite in (joined, key) or ("*" in composite and Pattern(composite).matches(joined))
        ]
    rule = next((node.rule for node in level if node.rule is not None), None)
    return "" if rule is None else f"; `{rule.path}` would fit, but on the way to it another descriptor is met first"


def _met(node: Node) -> str:
    rule = node.rule
    assert rule is not None
    if rule.unlimited:
        return "it is unlimited: it passes, and is counted in the statistics"
    if rule.shadow:
        return "shadow mode: being over refuses nothing, and is counted"
    if rule.quota:
        return "quota mode: being over refuses only if all of the request's descriptors in quota mode are over"
    return "being over refuses the request"


def _line(node: Node) -> str:
    return f"{node.place.file}:{node.place.line}"


def _listed(names: list[str]) -> str:
    told = ", ".join(f"`{name}`" for name in names[:_TOLD_MAX])
    more = len(names) - _TOLD_MAX
    return f"{told} and {more} more" if more > 0 else told or "none"
