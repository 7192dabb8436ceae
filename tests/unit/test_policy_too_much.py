"""Policies that are far too large, or wrong far too often: no more work, and no more words, than they are worth."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle, read_pack
from borderpost.policy.pack import Regime
from borderpost_base import limits
from borderpost_base.yaml_source import load_yaml_file
from support.policy_builder import regime
from support.policy_traps import HEAD, PACK, assert_clear, only_problem, problems_in

pytestmark = pytest.mark.slow


def names(count: int, line: str) -> str:
    return "".join(line.format(number=number, after=(number + 1) % count) for number in range(count))


def test_long_chains_are_no_circles(tmp_path: Path) -> None:
    path = tmp_path / "chains.yaml"
    groups = "groups:\n  G0: [DE]\n" + "".join(f"  G{n}: {{all_of: [G{n - 1}]}}\n" for n in range(1, 2000))
    classes = "data_classes:\n  c0: {}\n" + "".join(f"  c{n}: {{implies: [c{n - 1}]}}\n" for n in range(1, 2000))
    path.write_text(HEAD + groups + classes, encoding="utf-8")
    pack = read_pack(load_yaml_file(path))
    assert (len(pack.groups), len(pack.data_classes)) == (2000, 2000)
    PolicyBundle.model_validate({"here": {"country": "DE"}, "packs": [pack], "evidence": {"default_classes": ["c9"]}})


def test_a_long_circle_is_told_in_short(tmp_path: Path) -> None:
    error = only_problem(PACK, "groups:\n" + names(2000, "  G{number}: {{all_of: [G{after}]}}\n"), tmp_path)
    assert error.code == "BP0205"
    assert len(error.detail) < 300


@pytest.mark.parametrize(
    "body",
    [
        "groups:\n"
        + names(300, "  Group{number}: [DE]\n")
        + "  ALL: {all_of: ["
        + names(500, "Gruop{number}, ")
        + "]}\n",
        "groups: {A: [" + names(1000, "ZX, ") + "]}\n",
        "regimes:\n"
        + names(300, "- {{id: r{number}, title: t, source: s, applies_when: {{subject_in: DE}}, defualt: 1}}\n"),
    ],
    ids=["groups", "codes", "keys"],
)
def test_of_very_many_mistakes_the_first_are_told(body: str, tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(HEAD + body, encoding="utf-8")
    found = problems_in(path, PACK)
    assert len(found) == limits.PROBLEMS_MAX
    for error in found:
        assert_clear(error, path)


def test_entries_that_meet_are_found_wherever_they_stand() -> None:
    """By the plainest reading: two entries meet if each begins before the other ends."""
    random = Random(5)
    told = 0
    for _ in range(300):
        days = [sorted(random.sample(range(60), 2)) for _ in range(random.randint(2, 6))]
        entries = [
            {"to": "DE", "basis": "b", "from": f"2027-{1 + a // 28:02}-{1 + a % 28:02}",
             "until": f"2027-{1 + b // 28:02}-{1 + b % 28:02}"}
            for a, b in days
        ]  # fmt: skip
        meet = any(one[0] < two[1] and two[0] < one[1] for one, two in itertools.combinations(days, 2))
        try:
            Regime.model_validate(regime("r", "DE", allow=entries))
        except ValidationError:
            assert meet
            told += 1
        else:
            assert not meet
    assert 50 < told < 300
