"""One protobuf message as JSON has it, read field by field without tripping over what it does not expect.

Envoy writes proto field names and reads camel case too (protobuf's JSON mapping); an enum may be its number, a 64-bit
number is text, a duration is `0.250s`. What has another shape than its field's reads as absent: each rule decides what
absence means, and where in doubt it is a finding.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from borderpost.manifests.tree import Document, Node

_DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)s")
_TYPED_STRUCTS = ("xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct")


@dataclass(frozen=True, slots=True)
class Message:
    """A message, or nothing where a message would stand: then every field of it is absent, too."""

    node: Node

    @classmethod
    def whole(cls, document: Document) -> Message:
        """Return the document's whole content."""
        return cls(Node(document, (), document.data))

    @property
    def present(self) -> bool:
        """Return True where there is a message, be it an empty one."""
        return isinstance(self.node.value, dict)

    def get(self, *names: str) -> Message:
        """Return the message that these fields lead to."""
        return Message(self._field(*names))

    def has(self, name: str) -> bool:
        """Return True where the field is set, to whatever."""
        return self._field(name).value is not None

    def each(self, name: str) -> Iterator[Message]:
        """Yield the messages of a repeated field."""
        for item in self._field(name).each():
            yield Message(item)

    def entries(self, name: str) -> Iterator[tuple[str, Message]]:
        """Yield the entries of a map field."""
        for key, value in self._field(name).items():
            yield key, Message(value)

    def text(self, name: str) -> str | None:
        """Return a field's text; None where it has none, or an empty one."""
        return self._field(name).text

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a repeated field."""
        return tuple(item.text for item in self._field(name).each() if item.text is not None)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value; one that is written as text counts as what it says."""
        value = self._field(name).value
        if isinstance(value, str):
            return value.lower() == "true"
        return value if isinstance(value, bool) else default

    def number(self, name: str) -> float | None:
        """Return a number, however wide."""
        value: Any = self._field(name).value
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                return None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def seconds(self, name: str) -> float | None:
        """Return a duration in seconds."""
        value = self._field(name).value
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        return float(found[1]) if found else None

    def choice(self, name: str, names: Sequence[str]) -> str:
        """Return an enum's name; `names` are those of its numbers, from 0, which is the default."""
        value = self._field(name).value
        if isinstance(value, str):
            return value
        if isinstance(value, int) and 0 <= value < len(names):
            return names[value]
        return names[0]

    def typed(self, name: str) -> tuple[str, Message]:
        """Return the full name of the type in an `Any` and its content; the name is empty where there is none.

        A TypedStruct is opened: the type is the one that it stands for.
        """
        packed = self.get(name)
        return packed.type_name, packed.content

    @property
    def type_name(self) -> str:
        """Return the full name of this message's own type, such as `envoy.config.cluster.v3.Cluster`."""
        url = self.node.get("@type").text or ""
        name = url.rpartition("/")[2]
        if name in _TYPED_STRUCTS:
            return (self.text("type_url") or "").rpartition("/")[2]
        return name

    @property
    def content(self) -> Message:
        """Return what a TypedStruct holds; any other message is its own content."""
        url = self.node.get("@type").text or ""
        return self.get("value") if url.rpartition("/")[2] in _TYPED_STRUCTS else self

    def _field(self, *names: str) -> Node:
        node = self.node
        for name in names:
            value = node.value
            spelled = name if not isinstance(value, dict) or name in value else _camel(name)
            node = node.get(spelled if isinstance(value, dict) and spelled in value else name)
        return node


@functools.cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
