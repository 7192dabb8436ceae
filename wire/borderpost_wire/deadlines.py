"""Deadlines of calls, in buckets of time: adding and forgetting one cost the same however many there are."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

BUCKET_S = 0.05
"""How late a deadline may be noticed. A client keeps its own; ours only frees what is kept for it."""

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Things with a time after which they are due. A thing is in it at most once."""

    __slots__ = ("_buckets", "_checked")

    def __init__(self) -> None:
        self._buckets: dict[int, set[T]] = {}
        self._checked: int | None = None

    def __bool__(self) -> bool:
        """Return whether there is anything to wait for."""
        return bool(self._buckets)

    def add(self, thing: T, due_s: float) -> int:
        """Add a thing; return the key that `forget` takes."""
        key = int(due_s / BUCKET_S) + 1
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = set()
        bucket.add(thing)
        return key

    def forget(self, thing: T, key: int) -> None:
        """Take a thing out, if it is still there."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.discard(thing)
            if not bucket:
                del self._buckets[key]

    def due(self, now_s: float) -> list[T]:
        """Return, and take out, what is due."""
        now = int(now_s / BUCKET_S)
        first = min(self._buckets, default=now) if self._checked is None else self._checked
        keys = range(first, now + 1) if now - first < len(self._buckets) else [k for k in self._buckets if k <= now]
        self._checked = now
        return [thing for key in keys for thing in self._buckets.pop(key, ())]
