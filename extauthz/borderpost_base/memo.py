"""A bounded memory of answers that floods of distinct keys cannot grow.

Two generations of at most half the bound each: a hit in the old one moves to the new one; when the new one
is full it becomes the old one. That costs one dict look-up on a hit, keeps what repeats, and drops what does
not, without a linked list or a clock.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Remembers at most `bound` entries; forgets the least recently touched half when full."""

    __slots__ = ("_half", "_old", "recent")

    def __init__(self, bound: int) -> None:
        if bound < 2:
            raise ValueError("a memory needs room for two entries")
        self._half = bound // 2
        self.recent: dict[K, V] = {}
        """The newer generation. A hot path may look here first, and ask `get` for what it does not find."""
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the remembered value or None."""
        value = self.recent.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value (never None)."""
        if len(self.recent) >= self._half:
            self._old = self.recent
            self.recent = {}
        self.recent[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self.recent = {}
        self._old = {}

    def __len__(self) -> int:
        return len(self.recent) + len(self._old)
