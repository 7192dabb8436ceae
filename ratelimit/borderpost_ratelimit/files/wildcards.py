"""Values with `*`: which of a level's patterns is the first, in the order of the file, that matches.

A pattern is the key and the value joined by `_`, and `*` stands for any characters, none among them, wherever it
stands and however often (envoyproxy/ratelimit's README, "Example 9"). Patterns are found by the text before their first
`*`, so a level with a thousand patterns costs one look-up for each length that those texts have.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Found = TypeVar("Found")


class Pattern:
    """One pattern, cut at its stars once."""

    __slots__ = ("fixed", "middles", "prefix", "suffix")

    def __init__(self, text: str) -> None:
        """`text` holds a `*`, or matches itself alone."""
        parts = text.split("*")
        self.prefix = parts[0]
        self.suffix = parts[-1] if len(parts) > 1 else ""
        self.middles = tuple(part for part in parts[1:-1] if part)
        self.fixed = len(text) - text.count("*")
        """How many characters a text has at least."""

    def matches(self, text: str) -> bool:
        """Return whether the text fits; each `*` takes as little as it can, which finds a fit wherever there is one."""
        if len(text) < self.fixed or not text.startswith(self.prefix) or not text.endswith(self.suffix):
            return False
        at = len(self.prefix)
        end = len(text) - len(self.suffix)
        for middle in self.middles:
            found = text.find(middle, at, end)
            if found < 0:
                return False
            at = found + len(middle)
        return True


class Wildcards(Generic[Found]):
    """The patterns of one level."""

    __slots__ = ("_by_prefix", "_lengths", "_size")

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[tuple[int, Pattern, Found]]] = {}
        self._lengths: list[int] = []
        self._size = 0

    def add(self, text: str, found: Found) -> None:
        """Add a pattern, behind those that are there."""
        pattern = Pattern(text)
        self._by_prefix.setdefault(pattern.prefix, []).append((self._size, pattern, found))
        self._size += 1
        if len(pattern.prefix) not in self._lengths:
            self._lengths = sorted((*self._lengths, len(pattern.prefix)))

    def find(self, text: str) -> Found | None:
        """Return what stands for the first pattern that matches, in the order of adding."""
        first = self._size
        best: Found | None = None
        for length in self._lengths:
            if length > len(text):
                break
            for order, pattern, found in self._by_prefix.get(text[:length], ()):
                if order >= first:
                    break
                if pattern.matches(text):
                    first = order
                    best = found
                    break
        return best
