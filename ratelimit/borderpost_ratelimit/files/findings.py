"""What can be compiled and is probably not meant: rules that nothing meets, names that nobody has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from borderpost_base.errors import BorderpostError
from borderpost_ratelimit.files.book import Domain, Node
from borderpost_ratelimit.rules import RESERVED

_ANY = "\N{NULL}"
"""Stands for what a `*` matches, where one pattern is held against another: no literal part of a pattern holds it."""


def look_over(domains: Mapping[str, Domain]) -> Iterator[BorderpostError]:
    """Yield what is probably not meant, in the order of the files."""
    for domain in domains.values():
        yield from _level(domain.top)
        nodes = list(_below(domain.top))
        names = {node.rule.name for node in nodes if node.rule is not None}
        for node in nodes:
            for name in node.rule.replaces if node.rule is not None else ():
                if name not in names:
                    yield BorderpostError(
                        "BP1614", f"no rule of `{domain.top.composite}` is `{name}`", place=node.place
                    )


def _below(node: Node) -> Iterator[Node]:
    for child in node.children.values():
        yield child
        yield from _below(child)


def _level(parent: Node) -> Iterator[BorderpostError]:
    """Yield what is wrong with the children of a node, and with theirs."""
    for child in parent.children.values():
        yield from _child(parent, child)
        yield from _level(child)


def _child(parent: Node, child: Node) -> Iterator[BorderpostError]:
    if child.key.startswith(RESERVED):
        detail = f"`{child.composite}` is never met: keys with `{RESERVED}` are taken out before matching"
        yield BorderpostError("BP1612", detail, place=child.place, mend="Choose a key without this beginning.")
        return
    wildcard = "*" in child.composite
    # What stands for everything that the child is for: a wildcard's stars, or any value where none is named.
    everything = child.composite.replace("*", _ANY) if child.value or wildcard else f"{child.key}_{_ANY}"
    first = None if parent.wildcards is None else parent.wildcards.find(everything)
    other = first if first is not child else None
    if other is not None and (wildcard or not child.value):
        yield _unmet(child, f"what it matches meets `{other.composite}` first ({other.place})")
    elif child.rule is None and not child.children:
        # Beside a wider one it is an exception from it, which is what such descriptors are good for.
        alone = other is None and not (child.value and child.key in parent.children)
        if alone and not (wildcard and _wildcards(parent) > 1):
            yield BorderpostError(
                "BP1617", f"`{child.composite}` has neither a limit nor descriptors", place=child.place
            )


def _wildcards(node: Node) -> int:
    return sum("*" in composite for composite in node.children)


def _unmet(node: Node, why: str) -> BorderpostError:
    return BorderpostError("BP1612", f"`{node.composite}` is never met: {why}", place=node.place)
