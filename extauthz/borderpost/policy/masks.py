"""Masks, and a bounded memory of what was worked out for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TypeVar

from borderpost_base import limits

Key = TypeVar("Key")
Value = TypeVar("Value")


def union(masks: Iterable[int]) -> int:
    """Return every bit of any mask."""
    return reduce(or_, masks, 0)


def remember(memo: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value; a full memo is emptied, which costs time and never an answer."""
    if len(memo) >= limits.REMEMBERED_VERDICTS_MAX:
        memo.clear()
    memo[key] = value
