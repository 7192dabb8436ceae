"""Rules of reasons that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

import pytest

from borderpost.policy.reasons import AllBases, FirstReasons, RegionIndex


@pytest.fixture
def index() -> RegionIndex:
    return RegionIndex(("a", "b", "c", "d"), ("two", "one"))


def test_own_processors_come_after_the_regions_and_sinks_by_name(index: RegionIndex) -> None:
    assert (index.everyone, index.here, index.sinks) == (0b1111, 0b10000, {"one": 0b100000, "two": 0b1000000})
    assert (index.width, index.own) == (7, 0b1110000)
    assert index.own_reason(index.own) == "here-not-allowed"
    assert index.own_reason(index.own & ~index.here) == "sink-not-allowed:one"
    assert index.own_reason(index.sinks["two"]) == "sink-not-allowed:two"
    assert index.named(0b1010 | index.own) == ("b", "d")
    assert RegionIndex(()).named(0b11) == ()


def test_the_first_reason_of_each_region_counts(index: RegionIndex) -> None:
    told = FirstReasons(index, 0b1101 | index.own, ((0b0100, "x"), (0b0010, "z"), (0b0101, "y"), (0b1001, "x")))
    expected = {"c": "x", "a": "y", "d": "x"}
    assert dict(told) == told.spelled() == expected
    assert list(told.spelled()) == ["c", "a", "d"], "in the order of the reasons"
    assert told.counts() == {"x": 2, "y": 1}
    assert (len(told), list(told), repr(told)) == (3, ["a", "c", "d"], repr({"a": "y", "c": "x", "d": "x"}))
    with pytest.raises(KeyError, match="b"):
        told["b"]


def test_every_basis_of_a_region_is_told(index: RegionIndex) -> None:
    told = AllBases(index, 0b0111, ((0b0001, "x"), (0b0011, "y")))
    assert dict(told) == {"a": "x,y", "b": "y", "c": "unrestricted"}


def test_what_is_said_is_known_by_its_parts(index: RegionIndex) -> None:
    layers = ((0b0001, "x"), (0b1111, "y"))
    keys = [
        FirstReasons(index, 0b0011, layers).key, FirstReasons(index, 0b0111, layers).key,
        FirstReasons(index, 0b0011, layers[::-1]).key,
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert FirstReasons(index, 0b0011 | index.own, layers).key == keys[0]
