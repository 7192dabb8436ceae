"""Limits that reach beyond their region, which need a store that regions share."""

from __future__ import annotations

from borderpost_base.errors import BorderpostError
from borderpost_base.limits import PROBLEMS_MAX
from borderpost_ratelimit.files.book import Book, Node
from borderpost_ratelimit.limits import Scope


def global_limits(book: Book) -> list[BorderpostError]:
    """Return an error BP1630 at the place of each rule with a global limit, for who has no store for it."""
    found: list[BorderpostError] = []
    tops = [top for domain in sorted(book.domains) if (top := book.top(domain)) is not None]
    for top in tops:
        _look_below(top, found)
    return found[:PROBLEMS_MAX]


def _look_below(node: Node, found: list[BorderpostError]) -> None:
    if node.rule is not None and any(limit.scope is Scope.GLOBAL for limit in node.rule.limits):
        found.append(BorderpostError("BP1630", f"`{node.rule.path}` has `scope: global`", place=node.place))
    for child in node.children.values():
        _look_below(child, found)
