"""What records share: remembered by reasons and ranking, and never anything but what would be made anew."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.audit.fields import check_fields
from borderpost.audit.profile import ProfileError
from borderpost.audit.record import table_digest
from borderpost.policy.model import Law
from borderpost.regions.config import RankingSpec
from borderpost.regions.rank import LatencyTable, Ranking, rank
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost.shared_fields import SharedFields, candidate_table
from borderpost_base import limits
from support.policy_builder import Court, regime

PART = "sha256:" + "0" * 64
INPUTS = {"policy": PART, "events": PART, "catalog": PART, "engine": "e/1"}
REGIONS = {**{f"de-{n:03d}": "DE" for n in range(20)}, **{f"us-{n:03d}": "US" for n in range(20)}, "jp-1": "JP"}


def court() -> Court:
    german = regime("de-law", ["DE"], default="deny", allow=[{"to": ["DE"], "basis": "home"}])
    french = regime("fr-law", ["FR"], default="deny", allow=[{"to": ["DE", "US"], "basis": "treaty"}])
    return Court(german, french, regions=REGIONS)


def table(latency_ms: dict[str, dict[str, float]]) -> LatencyTable:
    return LatencyTable.compile(RankingSpec(latency_ms=latency_ms, tie_margin_ms=0), REGIONS, {})


def ranked(law: Law, area: str = "DE", down: tuple[str, ...] = ("de-003",)) -> Ranking:
    signals = Signals({name: RegionSignal(State.DOWN) for name in down}, "0" * 16, 1)
    latency: dict[str, dict[str, float]] = {
        "DE": {f"de-{n:03d}": 10 + n for n in range(20)},
        "*": {f"us-{n:03d}": 80 for n in range(20)},
    }
    return rank(law.legal, (area,), table(latency), signals)


def shared() -> SharedFields:
    return SharedFields(inputs=INPUTS, seed="0" * 16, here="DE")


def test_they_tell_the_best_regions_count_the_rest_and_digest_all() -> None:
    law = court().ask(geoip="DE")
    ranking = ranked(law)
    fields = shared().of(law, ranking)
    assert [row["r"] for row in fields["cand"]] == [one.region for one in ranking.order][: 1 + limits.RUNNERS_UP_MAX]
    assert fields["refused"] == {"de-law/no-basis": 21, "down": 1}
    rows = candidate_table(law, ranking)
    assert fields["table"] == table_digest(rows)
    assert [row["r"] for row in rows] == sorted(REGIONS)
    assert rows[3] == {"r": "de-003", "ok": False, "why": "down"}
    assert rows[0] == {"r": "de-000", "ok": True, "lat_us": 10_000}
    assert rows[-1] == {"r": "us-019", "ok": False, "why": "de-law/no-basis"}


def test_the_runners_up_are_followed_by_legal_regions_that_are_down() -> None:
    law = court().ask(geoip="DE")
    ranking = ranked(law, down=tuple(f"de-{n:03d}" for n in range(2, 20)))
    rows = shared().of(law, ranking)["cand"]
    assert [(row["r"], row["ok"]) for row in rows[:3]] == [("de-000", True), ("de-001", True), ("de-002", False)]
    assert len(rows) == 1 + limits.RUNNERS_UP_MAX


def test_the_same_reasons_and_ranking_share_and_anything_else_does_not() -> None:
    """Another law, another ranking or another set of inputs is never told in place of the one asked for."""
    judge, remembering = court(), shared()
    laws = [judge.ask(geoip="DE"), judge.ask(geoip="FR"), judge.ask(geoip="DE", header="FR"), judge.ask(geoip="DE")]
    rankings = [ranked(law, area) for law in laws for area in ("DE", "US")]
    pairs = list(zip([law for law in laws for _ in range(2)], rankings, strict=True))
    for _ in range(2):
        for law, ranking in pairs:
            assert remembering.of(law, ranking) == shared().of(law, ranking)
    law, ranking = pairs[0]
    assert remembering.of(law, ranking) is remembering.of(judge.ask(geoip="DE"), ranking)
    assert remembering.of(law, ranking) is not remembering.of(law, ranked(law))
    assert shared().of(None, None)["cand"] == []
    assert "table" not in shared().of(None, None)


def test_a_refused_law_is_not_taken_for_no_law() -> None:
    law, remembering = court().ask(geoip="DE", missing="token"), shared()
    assert law.legal == ()
    assert remembering.of(None, None) == shared().of(None, None)
    assert remembering.of(law, None)["table"] == table_digest([])


def test_a_record_that_cannot_be_is_refused_each_time() -> None:
    wrong = SharedFields(inputs={**INPUTS, "policy": "?"}, seed="0" * 16, here="DE")
    for _ in range(2):
        with pytest.raises(ProfileError, match=r"inputs\.policy"):
            wrong.of(None, None)


def test_they_and_the_fields_of_one_decision_are_a_whole_record() -> None:
    law = court().ask(geoip="DE")
    own: dict[str, Any] = {
        "req": {}, "via": "ext_proc", "class": [],
        "jur": {"effective": [], "regimes": [], "evidence": [], "rule": "r", "subdivision_unknown": False},
        "out": {"action": "refuse"},
    }  # fmt: skip
    check_fields("decision", {**own, **shared().of(law, ranked(law))})


def test_a_flood_of_reasons_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_TABLES_MAX", 8)
    remembering, law = shared(), court().ask(geoip="DE")
    for _ in range(50):
        remembering.of(law, ranked(law))
    assert len(remembering._made) <= 8
    assert remembering.of(law, ranked(law)) == shared().of(law, ranked(law))


def test_reasons_spelt_at_once_are_those_spelt_one_by_one() -> None:
    for said in ({"geoip": "DE"}, {"geoip": "FR"}, {"geoip": "DE", "header": "FR"}):
        refused = court().ask(**said).refused  # type: ignore[arg-type]
        assert refused.spelled() == dict(refused) != {}  # type: ignore[attr-defined]
