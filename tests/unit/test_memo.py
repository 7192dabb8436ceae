"""The bounded memory: what repeats stays, floods do not grow it."""

from __future__ import annotations

import pytest

from borderpost_base.memo import Remembered


def test_a_flood_of_distinct_keys_stays_within_the_bound() -> None:
    memory: Remembered[int, str] = Remembered(100)
    for key in range(10_000):
        memory.put(key, "x")
        assert len(memory) <= 100


def test_what_is_asked_for_often_survives_a_flood() -> None:
    memory: Remembered[object, str] = Remembered(100)
    memory.put("often", "kept")
    for key in range(1_000):
        memory.put(key, "x")
        assert memory.get("often") == "kept"
    assert memory.get(0) is None


def test_forgetting_and_bad_bounds() -> None:
    memory: Remembered[str, int] = Remembered(2)
    memory.put("a", 1)
    memory.clear()
    assert memory.get("a") is None
    with pytest.raises(ValueError, match="room"):
        Remembered(1)
