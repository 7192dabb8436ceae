"""What of limits files can be loaded and is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.ratelimit_files import book_of

LIMIT = "rate_limit: {unit: day, requests_per_unit: 1}"


def found(folder: Path, *texts: str) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.place.line) for finding in book_of(folder, *texts).findings]


def level(*items: str) -> str:
    return "domain: d\ndescriptors:\n" + "".join(f"  - {{{item}}}\n" for item in items)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        ((f"key: k, value: 'a*', {LIMIT}", f"key: k, value: 'ab*', {LIMIT}"), 4),
        ((f"key: k, value: '*', {LIMIT}", f"key: k, {LIMIT}"), 4),
        ((f"key: k, {LIMIT}", f"key: k, value: '*', {LIMIT}"), 3),
        ((f"key: '*', {LIMIT}", f"key: k, value: 'a*', {LIMIT}"), 4),
        ((f"key: k, value: 'a*c', {LIMIT}", f"key: k, value: 'a*b*c', {LIMIT}"), 4),
        ((f"key: borderpost.request, {LIMIT}",), 3),
    ],
)
def test_what_is_never_met(tmp_path: Path, items: tuple[str, ...], line: int) -> None:
    assert found(tmp_path, level(*items)) == [("BP1612", line)]


@pytest.mark.parametrize(
    "items",
    [
        (f"key: k, value: 'ab*', {LIMIT}", f"key: k, value: 'a*', {LIMIT}"),
        (f"key: k, value: 'a*b', {LIMIT}", f"key: k, value: 'a*b*', {LIMIT}"),
        (f"key: k, value: '*', {LIMIT}", f"key: k, value: v, {LIMIT}"),
        (f"key: k, value: 'a*', {LIMIT}", f"key: k, {LIMIT}"),
        # Exceptions from a wider rule.
        (f"key: k, {LIMIT}", "key: k, value: v"),
        (f"key: k, value: 'v*', {LIMIT}", "key: k, value: v1"),
        ("key: k, value: 'v1*'", f"key: k, value: 'v*', {LIMIT}"),
    ],
)
def test_what_is_met(tmp_path: Path, items: tuple[str, ...]) -> None:
    assert not found(tmp_path, level(*items))


def test_what_limits_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, level("key: k", "key: l, value: v")) == [("BP1617", 3), ("BP1617", 4)]


def test_what_has_no_effect(tmp_path: Path) -> None:
    text = """\
domain: d
unit: day
descriptors:
  - key: k
    shadow_mode: true
    domain: e
    descriptors:
      - key: l
        name: n
        rate_limit: {unit: day, requests_per_unit: 1, shadow_mode: true, replaces: [{name: nobody, unit: day}]}
---
domain: second
"""
    assert found(tmp_path, text) == [
        ("BP1615", 12),
        ("BP1613", 2),
        ("BP1613", 6),
        ("BP1613", 5),
        ("BP1613", 9),
        ("BP1613", 10),
        ("BP1613", 10),
        ("BP1614", 8),
    ]
    assert not book_of(tmp_path, text).rules[0].shadow


def test_a_limit_of_nothing_is_meant_only_if_it_is_said(tmp_path: Path) -> None:
    assert found(tmp_path, level("key: k, rate_limit: {unit: day}")) == [("BP1616", 3)]
    assert not found(tmp_path, level("key: k, rate_limit: {unit: day, requests_per_unit: 0}"))
