"""Which rule a descriptor meets, under which name it is counted, and what its counter is called."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from borderpost_base import limits
from borderpost_ratelimit.files import KeyStyle
from borderpost_ratelimit.files.wildcards import Pattern, Wildcards
from borderpost_ratelimit.limits import Algorithm, Scope, Unit, WhenAway
from borderpost_ratelimit.rules import Entries, Match
from support.ratelimit_files import book_of

ORDERED = """
domain: d
descriptors:
  - {key: k, rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: k, value: a*, rate_limit: {unit: day, requests_per_unit: 2}}
  - {key: k, value: ab*, rate_limit: {unit: day, requests_per_unit: 3}}
  - {key: k, value: abc, rate_limit: {unit: day, requests_per_unit: 4}}
  - {key: k, value: "*z", rate_limit: {unit: day, requests_per_unit: 5}}
  - {key: "key*", rate_limit: {unit: day, requests_per_unit: 6}}
  - {key: a_b, value: c, rate_limit: {unit: day, requests_per_unit: 7}}
"""


def matched(book: object, *entries: tuple[str, str], domain: str = "d") -> Match:
    found = book.match(domain, entries)  # type: ignore[attr-defined]
    assert isinstance(found, Match)
    return found


@pytest.mark.parametrize(
    ("entry", "amount"),
    [
        (("k", "abc"), 4),
        (("k", "abcd"), 2),
        (("k", "ab*"), 3),
        (("k", "bz"), 5),
        (("k", "az"), 2),
        (("k", "b"), 1),
        (("k", ""), 1),
        (("key1", "x"), 6),
        (("key*", "x"), 6),
        (("a", "b_c"), 7),
        (("a_b_c", "anything"), 7),
    ],
)
def test_value_then_the_first_wildcard_then_key(tmp_path: Path, entry: tuple[str, str], amount: int) -> None:
    assert matched(book_of(tmp_path, ORDERED), entry).rule.limits[0].amount == amount


def test_nothing_is_tried_again_above(tmp_path: Path) -> None:
    """Who has gone down the narrower branch and finds no rule there has none."""
    text = """
    domain: d
    descriptors:
      - {key: k, descriptors: [{key: user, rate_limit: {unlimited: true}}]}
      - {key: k, value: v, descriptors: [{key: other, rate_limit: {unlimited: true}}]}
    """
    book = book_of(tmp_path, text)
    assert book.match("d", (("k", "v"), ("user", "ann"))) is None
    assert book.match("d", (("k", "w"), ("user", "ann"))) is not None


def test_no_domain_no_entries_no_rule(tmp_path: Path) -> None:
    book = book_of(tmp_path, ORDERED)
    assert book.match("other", (("k", "v"),)) is None
    assert book.match("d", ()) is None
    assert book.override("other", (("k", "v"),), 1, Unit.DAY) is None


def test_first_wildcard_of_many_is_the_one_of_a_search_in_order() -> None:
    rng = random.Random(7)
    for _ in range(300):
        patterns = list({"".join(rng.choices("ab*", k=rng.randint(1, 6))) + "*" for _ in range(rng.randint(1, 12))})
        wildcards: Wildcards[str] = Wildcards()
        for pattern in patterns:
            wildcards.add(pattern, pattern)
        for _ in range(20):
            text = "".join(rng.choices("ab", k=rng.randint(0, 8)))
            naive = (p for p in patterns if re.fullmatch(".*".join(map(re.escape, p.split("*"))), text))
            assert wildcards.find(text) == next(naive, None)


def test_a_pattern_takes_linear_time() -> None:
    assert not Pattern("*a" * 50 + "b*").matches("a" * 60_000)


METRICS = """
domain: d
descriptors:
  - key: path
    value: /api/*
    share_threshold: SHARED
    value_to_metric: NAMED
    descriptors:
      - key: user
        detailed_metric: DETAILED
        rate_limit: {unit: day, requests_per_unit: 1}
"""


@pytest.mark.parametrize(
    ("shared", "named", "detailed", "metric"),
    [
        (False, False, False, "d.path_/api/*.user"),
        (False, True, False, "d.path_/api/v1.user"),
        (True, True, False, "d.path_/api/*.user"),
        (False, False, True, "d.path_/api/v1.user_ann"),
        (True, True, True, "d.path_/api/*.user_ann"),
    ],
)
def test_names_in_the_statistics(tmp_path: Path, shared: bool, named: bool, detailed: bool, metric: str) -> None:
    text = METRICS.replace("SHARED", str(shared)).replace("NAMED", str(named)).replace("DETAILED", str(detailed))
    found = matched(book_of(tmp_path, text), ("path", "/api/v1"), ("user", "ann"))
    assert (found.metric, found.rule.path) == (metric, "d.path_/api/*.user")


@pytest.mark.parametrize(
    ("item", "entry", "metric"),
    [
        ("key: 'key*'", ("key1", "x"), "d.key1_key*"),
        ("key: k_", ("k", ""), "d.k"),
        ("key: k, value_to_metric: true", ("k", ""), "d.k"),
        ("key: k, value_to_metric: true", ("k", "v"), "d.k_v"),
        ("key: k, value: v, value_to_metric: false", ("k", "v"), "d.k_v"),
        ("key: k, detailed_metric: true", ("k", ""), "d.k_"),
        ("key: k, value: '*', share_threshold: true, detailed_metric: true", ("k", ""), "d.k_*"),
        ("key: 'k*', share_threshold: true, detailed_metric: true", ("k1", ""), "d.k1_k*"),
    ],
)
def test_names_in_corners(tmp_path: Path, item: str, entry: tuple[str, str], metric: str) -> None:
    limit = "rate_limit: {unit: day, requests_per_unit: 1}"
    assert matched(book_of(tmp_path, f"domain: d\ndescriptors: [{{{item}, {limit}}}]\n"), entry).metric == metric


def test_entries_beside_a_shared_one_are_named_with_their_values(tmp_path: Path) -> None:
    text = METRICS.replace("SHARED", "yes").replace("NAMED", "no").replace("DETAILED", "yes")
    assert matched(book_of(tmp_path, text), ("path", "/api/v1"), ("user", "")).metric == "d.path_/api/*.user"


def test_a_name_with_values_is_bounded(tmp_path: Path) -> None:
    book = book_of(tmp_path, METRICS.replace("SHARED", "no").replace("NAMED", "yes").replace("DETAILED", "yes"))
    found = matched(book, ("path", "/api/" + "x" * 60_000), ("user", "ann"))
    assert len(found.metric) == limits.LIMITER_METRIC_CHARACTERS_MAX
    assert len(found.keys[0]) <= limits.LIMITER_KEY_CHARACTERS_MAX


ANY = "key: '*', rate_limit: {unit: minute, requests_per_unit: 1}"
KEYED = f"domain: DOMAIN\ndescriptors: [{{{ANY}, descriptors: [{{{ANY}, descriptors: [{{{ANY}}}]}}]}}]\n"


def test_no_two_lists_of_entries_have_one_counter(tmp_path: Path) -> None:
    rng = random.Random(5)
    books = {
        domain: book_of(tmp_path / str(index), KEYED.replace("DOMAIN", f"'{domain}'"))
        for index, domain in enumerate(["d", "1:d", "d1:a", "d_a"])
    }
    seen: dict[str, tuple[str, Entries]] = {}
    pieces = ["", "a", "_", ":", "1", "1:a", "a1:", "0:", "f60", "é", "\x00", "a_b", "\n", "x" * 300, "x" * 301]
    for _ in range(4000):
        domain = rng.choice(list(books))
        entries = tuple(
            (rng.choice(pieces) + rng.choice(pieces) or "k", rng.choice(pieces)) for _ in range(rng.randint(1, 3))
        )
        (key,) = matched(books[domain], *entries, domain=domain).keys
        assert seen.setdefault(key, (domain, entries)) == (domain, entries)
    assert len(seen) > 3000


def test_the_counter_of_a_limit_outlives_a_new_amount(tmp_path: Path) -> None:
    text = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: UNIT, requests_per_unit: 5}}]\n"
    names = {
        (unit, amount): matched(
            book_of(tmp_path, text.replace("UNIT", unit).replace("5", str(amount))), ("k", "v")
        ).keys
        for unit in ("minute", "hour")
        for amount in (5, 6)
    }
    assert names["minute", 5] == names["minute", 6] == ("1:d1:k1:vf60",)
    assert names["hour", 5] == names["hour", 6] == ("1:d1:k1:vf3600",)


def test_their_style_of_names(tmp_path: Path) -> None:
    text = """
    domain: d
    descriptors:
      - key: path
        value: /api/*
        share_threshold: true
        descriptors: [{key: user, rate_limit: {unit: minute, requests_per_unit: 1}}]
    """
    book = book_of(tmp_path, text, style=KeyStyle.ENVOYPROXY)
    assert matched(book, ("path", "/api/v1"), ("user", "ann")).keys == ("d_path_/api/*_user_ann_",)
    brought = book.override("d", (("path", "/api/v1"),), 3, Unit.HOUR)
    several = book.override("d", (("path", "/api/v1"),), 3, Unit.HOUR, 2)
    assert brought is not None
    assert several is not None
    assert (brought.keys, several.keys) == (("d_path_/api/v1_",), ("d_path_/api/v1_f7200_",))


def test_a_limit_that_they_cannot_have_is_marked_in_their_style(tmp_path: Path) -> None:
    text = """
    format: borderpost/1
    domain: d
    descriptors:
      - key: k
        limits:
          - {algorithm: token_bucket, amount: 1, every: day}
          - {algorithm: fixed_window, amount: 1, every: minute, name: own}
          - {algorithm: fixed_window, amount: 1, every: 90s}
          - {algorithm: fixed_window, amount: 1, every: 24h}
          - {algorithm: fixed_window, amount: 1, every: hour}
          - {algorithm: fixed_window, amount: 1, every: 250ms}
    """
    found = matched(book_of(tmp_path, text, style=KeyStyle.ENVOYPROXY), ("k", "v"))
    marks = [key.removeprefix("d_k_v_") for key in found.keys]
    assert marks == ["b86400_", "f60.own_", "f90_", "", "f3600_", "f250000u_"]


def test_a_limit_that_a_request_brings(tmp_path: Path) -> None:
    book = book_of(tmp_path, ORDERED)
    found = book.override("d", (("k", "secret"), ("user", "ann")), 7, Unit.MINUTE, 3)
    assert found is not None
    (limit,) = found.rule.limits
    assert (limit.algorithm, limit.amount, limit.unit, limit.window_us) == (
        Algorithm.FIXED_WINDOW, 7, Unit.MINUTE, 180_000_000,
    )  # fmt: skip
    assert (limit.scope, limit.when_away, limit.binding) == (Scope.REGION, WhenAway.LOCAL, True)
    # Values of the request are in the counter's name alone.
    assert (found.rule.path, found.metric) == ("d.k.user", "d.k.user")
    again = book.override("d", (("k", "other"), ("user", "bob")), 7, Unit.MINUTE, 3)
    assert again is not None
    assert again.rule is found.rule
    assert again.keys != found.keys


def test_a_limit_that_a_request_brings_counts_with_the_files_own(tmp_path: Path) -> None:
    book = book_of(tmp_path, ORDERED)
    brought = book.override("d", (("k", "b"),), 100, Unit.DAY)
    assert brought is not None
    assert brought.keys == matched(book, ("k", "b")).keys


def test_limits_that_requests_bring_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    book = book_of(tmp_path, ORDERED)
    first = book.override("d", (("k", "v"),), 1, Unit.DAY)
    for amount in range(limits.LIMITER_OVERRIDES_MAX + 1):
        book.override("d", (("k", "v"),), amount, Unit.DAY)
    later = book.override("d", (("k", "v"),), 1, Unit.DAY)
    assert first is not None
    assert later is not None
    assert (later.rule == first.rule, later.rule is first.rule) == (True, False)


def test_a_unit_without_length_is_none() -> None:
    from borderpost_ratelimit.files.book import EMPTY

    assert EMPTY.domains == frozenset()
    with pytest.raises(ValueError, match="no length"):
        Unit.UNKNOWN.length_us  # noqa: B018 - the property raises
