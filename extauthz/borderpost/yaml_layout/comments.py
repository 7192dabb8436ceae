"""Which entry each comment is about.

A comment at the end of a line is about the last entry begun on it. One on a line of its own is about the entry below
it, unless it stands deeper than that entry: then it closes the collection that ended above it. What stands above the
first entry is the file's header, which stays at the top whatever moves.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from borderpost.yaml_layout.tree import Document, Entry, Node, Position, position

_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")
_WHOLE_LINE = 1 << 62


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, from its `#` to the end of the line."""

    at: Position
    text: str
    alone: bool
    """Whether nothing but space stands before it on its line."""


def find_comments(document: Document) -> list[Comment]:
    """Return the comments of a text, in order: whatever begins with `#` and is in no scalar."""
    covered = _covered(document)
    found = []
    for number, line in enumerate(document.lines):
        if "#" in line and (column := _comment_column(line, covered.get(number, []))) is not None:
            found.append(Comment((number, column), line[column:].rstrip(), not line[:column].strip()))
    return found


def _covered(document: Document) -> dict[int, list[tuple[int, int]]]:
    """Return which columns of which lines belong to scalars."""
    covered: dict[int, list[tuple[int, int]]] = {}
    for token in document.scalars:
        (line, column), (last, end) = position(token.start_mark), position(token.end_mark)
        if token.style in ("|", ">"):
            header = _BLOCK_HEADER.match(document.lines[line], column)
            covered.setdefault(line, []).append((column, header.end() if header else column))
            line, column = line + 1, 0
            end = _WHOLE_LINE if end else 0
        for number in range(line, last + 1):
            first, behind = column if number == line else 0, end if number == last else _WHOLE_LINE
            covered.setdefault(number, []).append((first, behind))
    return covered


def _comment_column(line: str, covered: list[tuple[int, int]]) -> int | None:
    for found in re.finditer(r"(?:^|(?<=[ \t]))#", line):
        column = found.start()
        at = bisect.bisect_right(covered, (column, _WHOLE_LINE)) - 1
        if at < 0 or column >= covered[at][1]:
            return column
    return None


def attach_comments(document: Document) -> None:
    """Give every comment and blank line of the text to its entry, collection, or the header."""
    starts = [entry.start for entry in document.entries]
    for comment in find_comments(document):
        at = bisect.bisect_right(starts, comment.at)
        before = document.entries[at - 1] if at else None
        below = document.entries[at] if at < len(document.entries) else None
        if before is not None and not comment.alone:
            _put_beside(_begun_last(before, comment.at), comment.text)
            continue
        lines = _lines_for(comment.at, before, below, document)
        if comment.alone and _below_blank(document, comment.at):
            lines.append("")
        lines.append(comment.text)
    for entry in document.entries:
        line, column = entry.start
        if not document.lines[line][:column].strip() and _below_blank(document, entry.start):
            entry.above.append("")


def _below_blank(document: Document, at: Position) -> bool:
    """Return True if the line above is blank."""
    return at[0] > 0 and not document.lines[at[0] - 1].strip()


def _put_beside(entry: Entry, text: str) -> None:
    """Put a comment at the end of an entry's line; a second one of the same entry stands above it."""
    if entry.beside is None:
        entry.beside = text
    else:
        entry.above.append(text)


def _begun_last(entry: Entry, at: Position) -> Entry:
    """Return the entry that a comment at the end of a line is about: not one inside brackets that have closed."""
    while entry.inside is not None and entry.inside.flow and entry.inside.end <= at and entry.inside.owner is not None:
        entry = entry.inside.owner
    return entry


def _lines_for(at: Position, before: Entry | None, below: Entry | None, document: Document) -> list[str]:
    """Return the list of lines that a comment on a line of its own goes to."""
    if before is None:
        is_above = document.root is None or at < document.root.value.end
        return document.header if is_above else document.footer
    value = before.value
    if at < (value.start if value.is_collection else value.end):
        own = value.is_collection and not value.flow and below is not None
        return below.above if own and below is not None else before.above
    brackets = next((node for node in _around(before) if node.flow and node.start <= at < node.end), None)
    if brackets is not None:
        return below.above if below is not None and below.start < brackets.end else _behind(brackets)
    if below is not None and (at[1] <= below.start[1] or below.inside is value):
        return below.above
    kept = set() if below is None else {id(node) for node in _around(below)}
    for node in _around(before):
        if not node.flow and node.entries and id(node) not in kept and node.entries[0].start[1] <= at[1]:
            return node.tail
    return below.above if below is not None else document.footer


def _around(entry: Entry) -> Iterator[Node]:
    """Yield an entry's own collection and those that it is in, from the innermost."""
    if entry.value.is_collection:
        yield entry.value
    node = entry.inside
    while node is not None:
        yield node
        node = node.owner.inside if node.owner is not None else None


def _behind(brackets: Node) -> list[str]:
    """Return where a comment goes that stands in brackets behind everything else, or alone."""
    return brackets.tail if brackets.entries or brackets.owner is None else brackets.owner.above
