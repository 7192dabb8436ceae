"""A YAML document as a tree of entries that know where they stand in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

Position = tuple[int, int]
"""Line and column, from 0."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, an alias, a mapping or a sequence."""

    kind: Literal["scalar", "alias", "mapping", "sequence"]
    start: Position
    """Of a block sequence its first dash."""
    end: Position
    """Just behind it; of a block collection the end of its last entry."""
    anchor: str | None = None
    text: str = ""
    """A scalar's content, an alias's name."""
    style: str | None = None
    """How a scalar is quoted: `'`, `"`, `|`, `>`, or None where it is plain."""
    flow: bool = False
    """Whether a collection stands in brackets."""
    entries: list[Entry] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    """Comments behind the last entry of a collection; empty texts are blank lines."""
    owner: Entry | None = None
    """The entry whose value it is."""

    @property
    def is_collection(self) -> bool:
        """Return True for a mapping or a sequence."""
        return self.kind in ("mapping", "sequence")


@dataclass(slots=True, eq=False)
class Entry:
    """One key with its value, one item of a sequence, or the document itself."""

    start: Position
    """Of the key, or of an item's dash."""
    key: Node | None
    """None for items and for the document."""
    inside: Node | None
    """The collection that it is an entry of; None for the document."""
    value: Node = field(init=False)
    above: list[str] = field(default_factory=list)
    """Comments above it; empty texts are blank lines."""
    beside: str | None = None
    """The comment at the end of its first line."""


@dataclass(slots=True)
class Document:
    """A parsed text."""

    lines: list[str]
    """The text's lines, without their ends."""
    root: Entry | None
    """None for a text without content."""
    entries: list[Entry]
    """Every entry but the root, in the order of the text."""
    scalars: list[yaml.ScalarToken]
    """Every scalar as it is written, in the order of the text."""
    header: list[str] = field(default_factory=list)
    """Comments above everything; empty texts are blank lines."""
    footer: list[str] = field(default_factory=list)
    """Comments below everything."""

    @property
    def has_anchors(self) -> bool:
        """Return True if anything is said by reference, so that order matters."""
        return any(entry.value.kind == "alias" for entry in self.entries)


def parse(text: str) -> Document:
    """Return the tree of a text that `borderpost_base.yaml_source` has read."""
    tokens = list(yaml.scan(text, Loader=yaml.CSafeLoader))
    dashes = (position(token.start_mark) for token in tokens if isinstance(token, yaml.BlockEntryToken))
    scalars = [token for token in tokens if isinstance(token, yaml.ScalarToken)]
    builder = _Builder(yaml.parse(text, Loader=yaml.CSafeLoader), dashes)
    return Document(_BREAK.split(text), builder.document(), builder.entries, scalars)


def position(mark: Any) -> Position:
    """Return where a mark of the scanner or the parser is."""
    return mark.line, mark.column


class _Builder:
    """Turns the parser's events into nodes."""

    def __init__(self, events: Iterator[yaml.Event], dashes: Iterator[Position]) -> None:
        self._events = events
        self._dashes = dashes
        self.entries: list[Entry] = []

    def document(self) -> Entry | None:
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                root = Entry((0, 0), None, None)
                root.value = self._node(event, root)
                return root
        return None

    def _node(self, event: yaml.Event, owner: Entry | None) -> Node:
        start, end = position(event.start_mark), position(event.end_mark)
        if isinstance(event, yaml.AliasEvent):
            return Node("alias", start, end, text=str(event.anchor), owner=owner)
        if isinstance(event, yaml.ScalarEvent):
            style = event.style or None
            return Node("scalar", start, end, event.anchor, event.value, style, owner=owner)
        kind: Literal["mapping", "sequence"] = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
        assert isinstance(event, yaml.CollectionStartEvent)
        node = Node(kind, start, end, event.anchor, flow=bool(event.flow_style), owner=owner)
        fill = self._fill_mapping if kind == "mapping" else self._fill_sequence
        closing = fill(node)
        node.end = position(closing.end_mark) if node.flow or not node.entries else node.entries[-1].value.end
        return node

    def _fill_mapping(self, node: Node) -> yaml.Event:
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                return event
            key = self._node(event, None)
            self._entry(Entry(key.start, key, node), node, next(self._events))
        raise AssertionError("the parser ends every mapping")

    def _fill_sequence(self, node: Node) -> yaml.Event:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return event
            start = position(event.start_mark) if node.flow else next(self._dashes)
            self._entry(Entry(start, None, node), node, event)
        raise AssertionError("the parser ends every sequence")

    def _entry(self, entry: Entry, node: Node, event: yaml.Event) -> None:
        node.entries.append(entry)
        self.entries.append(entry)
        entry.value = self._node(event, entry)
