"""Rules of regimes that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.policy import masks
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Mode
from borderpost_base import limits
from support.legal_events import START, approvals, event
from support.policy_builder import Court, regime

REGIONS: dict[str, Any] = {"ca": "CA", "eu": "DE", "us": "US"}
HOME = {"to": "DE", "basis": "home", "revocable": False}


def counted(count: int, **entries: Any) -> dict[str, Any]:
    """Return a regime that counts, with entries in which `COUNT` stands for its threshold."""
    threshold = {"counter": "people", "count": count}
    filled = {
        kind: [{key: threshold if value == "COUNT" else value for key, value in entry.items()} for entry in listed]
        for kind, listed in entries.items()
    }
    return regime("law", "DE", counters=[{"id": "people", "bases": ["few"]}], **filled)


def reached(count: int) -> dict[str, Any]:
    return event("threshold_reached", counter="people", count=count, until=START + 1)


def test_a_basis_that_no_event_takes_away_still_ends_at_its_count() -> None:
    few = {"to": "US", "basis": "few", "revocable": False, "below": "COUNT"}
    law = counted(100, allow=[HOME, few])
    for at, legal in ((99, ("eu", "us")), (100, ("eu",)), (101, ("eu",))):
        assert Court(law, regions=REGIONS, events=(reached(at),)).ask(geoip="DE", at=START).legal == legal
    assert Court(law, regions=REGIONS, events=(reached(100),)).ask(geoip="DE", at=START + 1).legal == ("eu", "us")


def test_a_denial_without_date_begins_only_at_its_count() -> None:
    law = counted(10, allow=[{"to": "*", "basis": "few"}], deny=[{"to": "US", "above": "COUNT"}])
    assert Court(law, regions=REGIONS).ask(geoip="DE").legal == ("ca", "eu", "us")
    for at, legal in ((9, ("ca", "eu", "us")), (10, ("ca", "eu"))):
        assert Court(law, regions=REGIONS, events=(reached(at),)).ask(geoip="DE", at=START).legal == legal


def test_a_count_that_nobody_has_told_is_none_not_even_one() -> None:
    law = counted(1, allow=[HOME, {"to": "US", "basis": "few", "below": "COUNT"}])
    assert Court(law, regions=REGIONS).ask(geoip="DE").legal == ("eu", "us")
    assert Court(law, regions=REGIONS, events=(reached(1),)).ask(geoip="DE", at=START).legal == ("eu",)


def test_a_grant_opens_the_places_that_it_names_and_no_other() -> None:
    granted = event(
        "adequacy_grant",
        basis="new",
        approvals=approvals("anna", "bert"),
        scope={"countries": ["US"], "regimes": ["law"]},
    )
    court = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS, events=(granted,))
    assert court.ask(geoip="DE", at=START - 1).legal == ("eu",)
    law = court.ask(geoip="DE", at=START)
    assert (law.legal, law.refused) == (("eu", "us"), {"ca": "law/no-basis"})


def test_a_memo_holds_what_it_was_given_and_never_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_VERDICTS_MAX", 3)
    memo: dict[int, str] = {}
    sizes = []
    for key in range(7):
        masks.remember(memo, key, str(key))
        assert memo[key] == str(key)
        sizes.append(len(memo))
    assert sizes == [1, 2, 3, 1, 2, 3, 1]


def test_a_basis_whose_name_holds_a_slash_can_be_revoked() -> None:
    law = regime("law", "DE", allow=[HOME, {"to": "US", "basis": "dpf/2023"}])
    revoked = event("adequacy_revoke", scope={"bases": ["dpf/2023"]})
    court = Court(law, regions=REGIONS, events=(revoked,))
    assert court.ask(geoip="DE", at=START - 1).legal == ("eu", "us")
    assert court.ask(geoip="DE", at=START).legal == ("eu",)


def test_a_basis_that_no_event_takes_away_still_has_its_dates() -> None:
    dated = {"to": "US", "basis": "old", "revocable": False, "from": "2026-11-01", "until": "2026-12-01"}
    court = Court(regime("law", "DE", allow=[HOME, dated]), regions=REGIONS)
    expected = {"2026-10-31": ("eu",), "2026-11-01": ("eu", "us"), "2026-11-30": ("eu", "us"), "2026-12-01": ("eu",)}
    assert {at: court.ask(geoip="DE", at=at).legal for at in expected} == expected


def test_a_dated_denial_of_any_data_hits_requests_without_any_class_until_its_end() -> None:
    denied = {"to": "US", "basis": "no", "from": "2026-11-01", "until": "2026-12-01"}
    court = Court(regime("law", "DE", allow=[{"to": "*", "basis": "free"}], deny=[denied]), regions=REGIONS)
    expected = {"2026-10-31": ("ca", "eu", "us"), "2026-11-01": ("ca", "eu"), "2026-12-01": ("ca", "eu", "us")}
    for classes in ((), ("personal",)):
        assert {at: court.ask(geoip="DE", at=at, classes=classes).legal for at in expected} == expected


def test_of_several_denials_the_first_by_name_is_the_reason() -> None:
    deny = [{"to": "US", "basis": name} for name in ("z", "a", "m")]
    law = Court(regime("law", "DE", allow=[{"to": "*", "basis": "free"}], deny=deny), regions=REGIONS).ask(geoip="DE")
    assert law.refused == {"us": "law/a"}


def test_a_law_counts_until_its_next_date_whatever_the_order_of_its_entries() -> None:
    days = ["2027-05-01", "2026-12-01", "2027-03-01", "2027-01-01", "2027-04-01", "2027-02-01"]
    allow = [{"to": "US", "basis": f"b{number}", "from": day} for number, day in enumerate(days)]
    court = Court(regime("law", "DE", allow=[HOME, *allow]), regions=REGIONS)
    following = [to_us(parse_instant(day)) for day in sorted(days)]
    asked = ["2026-11-20", *sorted(days)]
    assert [court.ask(geoip="DE", at=day).valid_until_us for day in asked] == [*following, None]


def test_what_is_remembered_of_a_law_is_told_apart_by_mode_and_staleness() -> None:
    entries = [{"to": "CA", "basis": "far", "only_in": "hybrid"}, {"to": "US", "basis": "near"}, HOME]
    court = Court(regime("law", "DE", allow=entries), regions=REGIONS)
    expected = [
        (Mode.LEGAL_FIRST, False, ("eu", "us")), (Mode.HYBRID, False, ("ca", "eu", "us")), (Mode.HYBRID, True, ("eu",)),
        (Mode.LEGAL_FIRST, True, ("eu",)),
    ]  # fmt: skip
    for questions in (expected, expected[::-1]):
        for mode, stale, legal in questions:
            assert court.ask(geoip="DE", mode=mode, stale=stale).legal == legal
