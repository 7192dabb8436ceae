"""A value of a manifest with the document and the path at which it stands: reading that never trips over a shape.

Manifests come from anywhere. What is not of the expected shape reads as absent, so that the question it would have
answered stays open, and an open question is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from borderpost_base.errors import Place
from borderpost_base.yaml_source import KeyPath


class Document(Protocol):
    """Plain data that knows where its parts stand: YAML or JSON."""

    file: str
    data: Any

    def place(self, path: KeyPath) -> Place:
        """Return the place of a key path, or of its nearest ancestor."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document; absent values are nodes too, and stand where their nearest ancestor does."""

    document: Document
    path: KeyPath
    value: Any

    def get(self, *keys: str) -> Node:
        """Return what stands below these keys, one after the other."""
        value = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return Node(self.document, (*self.path, *keys), value)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the members of a mapping."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, Node(self.document, (*self.path, key), value)

    def each(self) -> Iterator[Node]:
        """Yield the items of a list."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield Node(self.document, (*self.path, index), value)

    def below(self, key: str) -> Iterator[Node]:
        """Yield the items of the list below a key."""
        return self.get(key).each()

    @property
    def text(self) -> str | None:
        """Return the value as text: itself if it is text that is not empty, a number or truth value as JSON has it."""
        value = self.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return str(value)
        return value if isinstance(value, str) and value else None

    @property
    def place(self) -> Place:
        """Return where it stands: its key, or its begin in a list."""
        return self.document.place(self.path)

    def texts(self) -> Iterator[Node]:
        """Yield every text in the value, however deep."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if isinstance(node.value, str):
                yield node
            else:
                below = [child for _, child in node.items()] or list(node.each())
                waiting.extend(reversed(below))
