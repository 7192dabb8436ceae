"""Rules of the language of packs that only one step in the code separates from another (docs/internals/tests.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from borderpost.policy import codes
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.fields import Classes, GroupName, Instant, PlaceRef, Places, format_instant
from borderpost.policy.pack import Regime
from borderpost.policy.schema import Here
from borderpost_base.errors import BorderpostError
from support.legal_events import START, approvals, event
from support.policy_builder import regime

HOME = {"to": "DE", "basis": "home"}


def found(described: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where something is wrong with a regime, as `a.b.0`, and its code."""
    try:
        Regime.model_validate(described)
    except ValidationError as error:
        return [(".".join(map(str, item["loc"])), item["ctx"]["error"].code) for item in error.errors()]
    return []


def counted(*counters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return regime("law", "DE", counters=list(counters), **{"allow": [HOME], **more})


PEOPLE = {"id": "people", "bases": ["home"]}
EMBARGO = {"kind": "embargo"}


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (counted(PEOPLE), []),
        (regime("law", "DE", default="allow", basis="open", counters=[{"id": "a", "bases": ["open"]}]), []),
        (counted(PEOPLE, {"id": "other", "bases": ["home"]}, PEOPLE), [("counters.2.id", "BP0206")]),
        (counted({"id": "people", "bases": ["home", "away"]}), [("counters.0.bases.1", "BP0219")]),
        (
            counted(PEOPLE, allow=[HOME, {"to": "US", "basis": "b", "below": {"counter": "other", "count": 1}}]),
            [("allow.1.below.counter", "BP0219")],
        ),
        (
            counted(PEOPLE, deny=[{"to": "US"}, {"to": "FR", "above": {"counter": "other", "count": 1}}]),
            [("deny.1.above.counter", "BP0219")],
        ),
        (counted(PEOPLE, deny=[{"to": "FR", "above": {"counter": "people", "count": 1}}]), []),
        (regime("law", "DE", **EMBARGO), []),
        (regime("law", "DE", **EMBARGO, allow=[HOME]), [("", "BP0212")]),
        (regime("law", "DE", **EMBARGO, deny=[{"to": "FR"}]), [("", "BP0212")]),
        (regime("law", "DE", **EMBARGO, default="allow"), [("", "BP0212")]),
        (regime("law", "DE", **EMBARGO, basis="b"), [("", "BP0212")]),
        (regime("law", "*", **EMBARGO), [("", "BP0212")]),
        (regime("law", "DE", basis="b"), [("", "BP0212")]),
        (regime("law", "DE", **{"from": "2026-01-02", "until": "2026-01-01"}), [("", "BP0207")]),
        (regime("law", "DE", **{"from": "2026-01-01", "until": "2026-01-01"}), [("", "BP0207")]),
        (regime("law", "DE", **{"from": "2026-01-01", "until": "2026-01-02"}), []),
        (regime("law", "DE", allow=[HOME, {"to": "FR", "basis": "b"}, HOME]), [("allow.2", "BP0208")]),
        (regime("law", "DE", deny=[{"to": "FR"}, {"to": "FR"}]), [("deny.1", "BP0208")]),
        (regime("law", "DE", deny=[{"to": "FR", "operator_in": []}]), [("deny.0.operator_in", "BP0212")]),
        (regime("law", "DE", tenant=[]), [("applies_when.tenant", "BP0212")]),
        (regime("law", "DE", purpose=[]), [("applies_when.purpose", "BP0212")]),
        (regime("law", [], allow=[HOME]), [("applies_when.subject_in", "BP0212")]),
    ],
)
def test_a_mistake_in_a_regime_is_told_at_its_key(described: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(described) == expected


def test_an_embargo_with_a_basis_is_told_what_an_embargo_is() -> None:
    with pytest.raises(ValidationError, match="an embargo refuses; it has no default, basis or entries"):
        Regime.model_validate(regime("law", "DE", **EMBARGO, basis="b"))


def test_an_instant_is_written_in_one_form_of_27_characters() -> None:
    for year in (1, 999, 2026):
        written = format_instant(datetime(year, 2, 3, 4, 5, 6, 7, tzinfo=UTC))
        assert written == f"{year:04}-02-03T04:05:06.000007Z"
        assert TypeAdapter(Instant).validate_python(written) == datetime(year, 2, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (Classes, "*", ("*",)), (Classes, ["personal"], ("personal",)), (Places, "DE", ("DE",)), (PlaceRef, "*", "*"),
        (PlaceRef, "EEA", "EEA"), (GroupName, "EEA", "EEA"),
    ],
)  # fmt: skip
def test_what_fields_hold(kind: Any, given: object, read: object) -> None:
    assert TypeAdapter(kind).validate_python(given) == read


@pytest.mark.parametrize(
    ("kind", "given", "code"),
    [
        (PlaceRef, "UK", "BP0201"), (PlaceRef, True, "BP0202"), (PlaceRef, "D-", "BP0202"), (GroupName, True, "BP0202"),
        (GroupName, "UK", "BP0209"), (GroupName, "DE", "BP0209"), (GroupName, "1A", "BP0209"),
        (Classes, "personal", None),
    ],
)  # fmt: skip
def test_what_fields_do_not_hold(kind: Any, given: object, code: str | None) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    (error,) = caught.value.errors()
    assert (error["ctx"]["error"].code if code else None) == code


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("de", "did you mean `DE`?"), ("de_by", "did you mean `DE-BY`?"), ("uk", "did you mean `GB`?"),
        ("uk-eng", "did you mean `GB-ENG`?"), ("UK-ENG", "did you mean `GB-ENG`?"),
    ],
)  # fmt: skip
def test_a_code_that_is_nearly_one_is_told_with_what_was_meant(code: str, mend: str) -> None:
    with pytest.raises(BorderpostError) as caught:
        codes.split_code(code)
    assert caught.value.mend == mend


OWN_CODES = {
    "FR": "BL GF GP MF MQ NC PF PM RE TF WF YT", "NL": "AW CW SX", "US": "AS GU MP PR UM VI", "CN": "HK MO TW",
}  # fmt: skip
LISTED_BELOW = {
    **{f"{country}-{own}": own for country, listed in OWN_CODES.items() for own in listed.split()},
    "NL-BQ1": "BQ", "NL-BQ2": "BQ", "NL-BQ3": "BQ", "FI-01": "AX", "NO-21": "SJ", "NO-22": "SJ",
}  # fmt: skip


@pytest.mark.parametrize(("code", "own"), LISTED_BELOW.items())
def test_a_place_with_a_country_code_of_its_own_is_named_by_that(code: str, own: str) -> None:
    with pytest.raises(BorderpostError, match="BP0202") as caught:
        codes.split_code(code)
    assert caught.value.mend == f"did you mean `{own}`?"
    assert codes.split_code(own) == (own, None)


def test_codes_that_are_near_are_told_three_at_most_and_in_one_order() -> None:
    with pytest.raises(BorderpostError) as caught:
        codes.split_code("AA")
    told = str(caught.value.mend).removeprefix("nearest known: ").split(", ")
    assert len(told) == 3
    assert all("A" in code for code in told)


def test_what_a_reader_would_take_for_a_code() -> None:
    assert all(map(codes.looks_like_code, ("DE", "de-by", "UK", "EU", "USA-CA", "DE_BY")))
    assert not any(map(codes.looks_like_code, ("EEA", "ours", "D", "")))
    assert [codes.is_iso_suffix(suffix) for suffix in ("B", "BY", "IDF", "DIFC")] == [True, True, True, False]


@pytest.mark.parametrize("key", ["source", "as_of", "confidence", "note"])
def test_an_entry_says_the_same_whoever_wrote_it_and_why(key: str) -> None:
    value = {"as_of": "2026-01-01", "confidence": "needs-review"}.get(key, "other")
    assert found(regime("law", "DE", allow=[HOME, {**HOME, key: value}])) == [("allow.1", "BP0208")]


@pytest.mark.parametrize(
    ("windows", "twice"),
    [
        ([("2026", "2027"), ("2027", "2028")], []),
        ([("2027", "2028"), ("2026", "2027")], []),
        ([("2026", "2028"), ("2027", "2029")], ["allow.1"]),
        ([("2027", "2029"), ("2026", "2028")], ["allow.1"]),
        ([("2020", "2021"), ("2022", "2023"), ("2024", "2025"), ("2021", "2022")], []),
        ([("2020", "2021"), ("2022", "2023"), ("2024", "2025"), ("2023", "2024"), ("2025", None), (None, "2020")], []),
        ([("2020", "2021"), ("2022", "2023"), ("2024", "2025"), ("2020", "2025")], ["allow.3"]),
        ([("2022", "2023"), ("2024", "2025"), ("2021", "2023")], ["allow.2"]),
        ([(None, "2020"), (None, None)], ["allow.1"]),
        ([("2020", None), ("2019", "2020"), ("2030", "2031")], ["allow.2"]),
    ],
)
def test_an_entry_may_be_said_again_for_another_time(
    windows: list[tuple[str | None, str | None]], twice: list[str]
) -> None:
    entries = [
        {**HOME, "to": ["DE", "FR"][:: -1 if number % 2 else 1]}
        | {key: f"{year}-01-01" for key, year in (("from", start), ("until", end)) if year}
        for number, (start, end) in enumerate(windows)
    ]
    assert found(regime("law", "DE", allow=entries)) == [(place, "BP0208") for place in twice]


def test_a_subdivision_of_another_country_is_told_at_its_key() -> None:
    with pytest.raises(ValidationError) as caught:
        Here.model_validate({"country": "DE", "subdivision": "FR-IDF"})
    assert [item["loc"] for item in caught.value.errors()] == [("subdivision",)]


def test_what_is_wrong_with_a_list_of_events_is_told_at_its_key() -> None:
    narrow = event("injunction", "a", scope={"regions": ["us"]})
    wide = event("region_restore", "w", approvals=approvals("anna", "bert"), scope={"regions": ["us"]})
    signed = {"approvals": approvals("anna", "bert")}
    cases: list[tuple[list[dict[str, Any]], list[str]]] = [
        ([narrow, wide, event("lift", "l", ends="a", **signed)], []),
        ([narrow, narrow], ["events.1.id"]),
        ([narrow, event("injunction", "b", recorded=START - 1, scope={"regions": ["us"]})], ["events.1.recorded_at"]),
        ([event("lift", "l", ends="a", **signed), narrow], ["events.0.ends"]),
        ([wide, event("lift", "l", ends="w", **signed)], ["events.1.ends"]),
        ([event("region_suspend", "s", scope={"regions": ["us"], "data": ["health"]})], ["events.0.scope.data"]),
        ([event("region_suspend", "s")], ["events.0.scope.regions"]),
        ([event("injunction", "i")], ["events.0.scope"]),
        ([event("regulator_order", "o")], ["events.0.scope"]),
        ([event("adequacy_grant", "g", scope={"countries": ["US"], "regimes": ["r"]})], ["events.0.basis"]),
        ([{**narrow, "basis": "b"}], ["events.0.basis"]),
        ([{**narrow, "counter": "c"}], ["events.0.counter"]),
        ([event("threshold_reached", "t", counter="c")], ["events.0.count"]),
        ([event("injunction", "i", until=START, scope={"regions": ["us"]})], ["events.0"]),
    ]
    for listed, expected in cases:
        try:
            EventsFile.model_validate({"events": listed, "clock_error_us": 0})
            told = []
        except ValidationError as error:
            told = [".".join(map(str, item["loc"])) for item in error.errors()]
        assert told == expected, listed
