"""What policy files may say, and how their mistakes are told: with line, nearest known name, and mend."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from borderpost.policy import codes
from borderpost.policy.bundle import read_pack
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList, read_events
from borderpost.policy.fields import format_instant, parse_instant
from borderpost.policy.schema import EvidenceSpec, PolicyPack, PolicySection, RegionSpec
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.yaml_source import load_yaml

HEAD = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: test, version: 1.0.0, as_of: 2026-11-20, not_legal_advice: true}
"""
CLASSES = "data_classes: {public: {rank: 0}, personal: {}, health: {implies: [personal], rank: 3}}\n"
REGIME = "regimes: [{id: r, title: t, source: s, applies_when: {subject_in: DE, data: [personal]}, allow: ["


def problems_of(body: str) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        read_pack(load_yaml((HEAD + body).encode(), "pack.yaml"))
    return list(caught.value.errors)


def one_problem(body: str) -> BorderpostError:
    found = problems_of(body)
    assert len(found) == 1, [str(error) for error in found]
    return found[0]


@pytest.mark.parametrize(
    ("code", "number", "mend"),
    [
        ("de", "BP0202", "did you mean `DE`?"),
        ("UK", "BP0201", "did you mean `GB`?"),
        ("EL", "BP0201", "did you mean `GR`?"),
        ("uk", "BP0202", "did you mean `GB`?"),
        ("ca_qc", "BP0202", "did you mean `CA-QC`?"),
        ("UK-LND", "BP0201", "did you mean `GB-LND`?"),
        ("ZX", "BP0201", "nearest known"),
        ("DEU", "BP0202", "COUNTRY"),
        ("AE-", "BP0202", "COUNTRY"),
        ("AE-TOOLONGXX", "BP0202", "COUNTRY"),
        ("AE-DI FC", "BP0202", "COUNTRY"),
        ("FR-NC", "BP0202", "did you mean `NC`?"),
        ("CN-HK", "BP0202", "did you mean `HK`?"),
        ("DE\n", "BP0202", "did you mean"),
        ("", "BP0202", "COUNTRY"),
    ],
)
def test_codes_that_are_not(code: str, number: str, mend: str) -> None:
    assert codes.is_code(code) is (code in codes.OWN_CODE)  # evidence may say FR-NC, rules must not
    with pytest.raises(BorderpostError) as caught:
        codes.split_code(code)
    assert caught.value.code == number
    assert mend in caught.value.mend


@pytest.mark.parametrize("code", ["DE", "XK", "CA-QC", "UA-43", "AE-DIFC", "GB-ENG", "PT-20"])
def test_codes_that_are(code: str) -> None:
    assert codes.is_code(code)
    assert codes.split_code(code)[0] == code[:2]


def test_every_country_of_iso_3166_is_known() -> None:
    assert len(codes.ISO_3166_1) == 249
    assert codes.ISO_3166_1 | {"XK"} == codes.COUNTRIES
    assert all(code in codes.COUNTRIES for code in codes.RESERVED.values())
    assert all(code in codes.COUNTRIES and sub[:2] in codes.COUNTRIES for sub, code in codes.OWN_CODE.items())


@pytest.mark.parametrize("boolean", [True, False])
def test_a_boolean_where_norway_should_be(boolean: bool) -> None:
    with pytest.raises(BorderpostError, match="boolean") as caught:
        codes.split_code(boolean)  # type: ignore[arg-type]
    assert "Norway" in caught.value.mend


def test_norway_needs_no_quotes_and_true_is_told_with_its_line() -> None:
    pack = read_pack(load_yaml((HEAD + "groups: {NORDIC: [NO, SE]}").encode(), "pack.yaml"))
    assert pack.groups["NORDIC"] == ("NO", "SE")
    error = one_problem("groups:\n  NORDIC:\n    - SE\n    - true\n")
    assert (error.code, error.place.line, error.place.key) == ("BP0202", 7, "groups.NORDIC[1]")


@pytest.mark.parametrize(
    ("body", "number", "line", "told"),
    [
        ("groups: {UK: [GB]}", "BP0209", 4, "country's code"),
        ("groups: {'G-1': [GB]}", "BP0209", 4, "letters, digits"),
        ("groups:\n  A: {all_of: [B]}\n  B: {all_of: [A]}\n", "BP0205", 5, " → "),
        ("groups:\n  A: {all_of: [A]}\n", "BP0205", 5, "A → A"),
        ("groups:\n  EEA: [DE]\n  B: {all_of: [EAA]}\n", "BP0203", 6, "did you mean `EEA`?"),
        ("groups:\n  B: {minus: [DE]}\n", "BP0212", 5, "no places"),
        ("groups:\n  B: 12\n", "BP0104", 5, "a list of codes"),
        ("groups:\n  B: [012]\n", "BP0202", 5, "`12` is not text"),
        ("data_classes:\n  a: {implies: [b]}\n  b: {implies: [a]}\n", "BP0205", 5, " → "),
        ("data_classes:\n  personal: {}\n  health: {implies: [personnal]}\n", "BP0204", 6, "did you mean `personal`?"),
        ("data_classes:\n  personal: {rank: 2}\n  health: {implies: [personal]}\n", "BP0216", 6, "rank 1"),
        ("data_classes:\n  a: {rank: 0}\n  b: {rank: 0, implies: [a]}\n", "BP0216", 6, "rank 0"),
        (CLASSES + REGIME + "\n{to: EEA, basis: b}]}]", "BP0203", 6, "no group `EEA`"),
        (CLASSES + REGIME + "\n{to: [DE, uk], basis: b}]}]", "BP0202", 6, "did you mean `GB`?"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, from: 2027-01-01, until: 2027-01-01}]}]", "BP0207", 6, "come after"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, from: 2027-01-01T00:00:00}]}]", "BP0207", 6, "no zone"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, until: 2027-13-01}]}]", "BP0207", 6, "not an ISO 8601"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, until: 20270101}]}]", "BP0207", 6, "not a date"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, require: {}}]}]", "BP0212", 6, "requires nothing"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, except_data: [helth]}]}]", "BP0204", 6, "did you mean `health`?"),
        (
            CLASSES + REGIME + "\n{to: DE, basis: b},\n{to: [DE], basis: b, until: 2027-01-01}]}]",
            "BP0208",
            7,
            "allow[0]",
        ),
        (CLASSES + REGIME + "\n{to: [], basis: b}]}]", "BP0212", 6, "without destination"),
        (CLASSES + REGIME + "\n{to: DE, basis: b, untill: 2027-01-01}]}]", "BP0102", 6, "did you mean `until`?"),
        (CLASSES + REGIME + "\n{to: DE}]}]", "BP0103", 6, "`basis` is required"),
        (
            CLASSES + "regimes:\n- {id: e, title: t, source: s, kind: embargo, applies_when: {subject_in: '*'}}",
            "BP0212",
            6,
            "every request",
        ),
        (
            CLASSES + "regimes:\n- {id: e, title: t, source: s, kind: embargo, default: allow,"
            " applies_when: {subject_in: KP}}",
            "BP0212",
            6,
            "an embargo refuses",
        ),
        (
            CLASSES + "regimes:\n- {id: e, title: t, source: s, basis: x, applies_when: {subject_in: KP}}",
            "BP0212",
            6,
            "default: allow",
        ),
        (
            CLASSES + "regimes:\n- {id: e, title: t, source: s, applies_when: {subject_in: KP}}\n"
            "- {id: e, title: t, source: s, applies_when: {subject_in: KP}}",
            "BP0206",
            7,
            "`e` is defined already",
        ),
    ],
)
def test_mistakes_of_a_pack(body: str, number: str, line: int, told: str) -> None:
    error = one_problem(body)
    assert (error.code, error.place.file, error.place.line) == (number, "pack.yaml", line), str(error)
    assert told in str(error)


def test_every_mistake_is_told_in_one_pass() -> None:
    assert (
        len(problems_of(CLASSES + REGIME + "\n{to: [uk, zz], basis: b},\n{to: DE, basis: c, except_data: [x]}]}]")) == 3
    )


def test_the_same_key_twice_is_refused() -> None:
    with pytest.raises(BorderpostError, match="second time"):
        load_yaml((HEAD + "groups:\n  A: [DE]\n  A: [FR]\n").encode(), "pack.yaml")


def test_entries_that_follow_each_other_in_time_are_not_the_same() -> None:
    body = "{to: DE, basis: b, until: 2027-01-01}, {to: DE, basis: b, from: 2027-01-01}]}]"
    assert len(read_pack(load_yaml((HEAD + CLASSES + REGIME + body).encode(), "pack.yaml")).regimes[0].allow) == 2


def test_a_pack_must_say_that_it_is_no_legal_advice() -> None:
    for head in (HEAD.replace("true", "false"), HEAD.replace(", not_legal_advice: true", "")):
        with pytest.raises(Problems, match="not_legal_advice"):
            read_pack(load_yaml(head.encode(), "pack.yaml"))


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2031-12-27", "2031-12-27T00:00:00.000000Z"),
        (date(2031, 12, 27), "2031-12-27T00:00:00.000000Z"),
        ("2031-12-27T01:00:00+01:00", "2031-12-27T00:00:00.000000Z"),
        ("2031-12-27T00:00:00.000001Z", "2031-12-27T00:00:00.000001Z"),
        (datetime(2031, 12, 27, tzinfo=UTC), "2031-12-27T00:00:00.000000Z"),
    ],
)
def test_instants_have_one_form(written: Any, instant: str) -> None:
    assert format_instant(parse_instant(written)) == instant


@pytest.mark.parametrize(
    "written", ["yesterday", "2031-02-30", "2031-12-27T00:00:00", 3, None, True, "0001-01-01T00:00:00+23:00"]
)
def test_what_is_not_an_instant(written: Any) -> None:
    with pytest.raises(BorderpostError) as caught:
        parse_instant(written)
    assert caught.value.code == "BP0207"


@pytest.mark.parametrize(
    "spec",
    [
        {"country": "DE", "subdivision": "FR-IDF"},
        {"country": "CA-QC"},
        {"country": "DE", "processing_scope": "zone"},
        {"country": "DE", "processing_scope": "zone:"},
        {"country": "DE", "processing_scope": "everywhere"},
        {"country": "DE", "contract": ["scc"]},
        {"country": "DE", "tia": "pending"},
        {"country": "DE", "cluster": "a b"},
        {"country": "DE", "retention": "somewhere"},
        {"country": "DE", "telemetry": "DE-he"},
        {"country": "DE", "retention": {"country": "XX"}},
        {"country": "DE", "retention": "zone:"},
        {"country": "DE", "telemetry": 3},
    ],
)
def test_regions_that_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RegionSpec.model_validate(spec)


def test_defaults_are_the_closed_ones() -> None:
    evidence, section = EvidenceSpec(), PolicySection()
    assert (evidence.unknown, evidence.default_classes, evidence.trust_model_header) == ("refuse", ("personal",), False)
    assert (section.packs, section.no_regime) == (("starter",), "refuse")


def test_every_field_of_every_model_is_documented() -> None:
    def undocumented(schema: dict[str, Any]) -> list[str]:
        parts = {"": schema, **schema.get("$defs", {})}
        return [
            f"{name}.{field}"
            for name, part in parts.items()
            for field, spec in part.get("properties", {}).items()
            if not spec.get("description")
        ]

    for model in (PolicyPack, PolicySection, RegionSpec, EvidenceSpec, EventsFile):
        assert undocumented(model.model_json_schema()) == []


EVENT = (
    "{id: %s, type: region_suspend, scope: {regions: [%s]}, effective_from: 2027-01-01, effective_until: null, "
    "recorded_at: %s, source: s, reason: r}"
)


def events_problems(*events: str) -> list[BorderpostError]:
    text = "events:\n" + "".join(f"- {event}\n" for event in events)
    with pytest.raises(Problems) as caught:
        read_events(load_yaml(text.encode(), "events.yaml"), ["eu-1", "us-1"])
    return list(caught.value.errors)


def test_events_are_append_only() -> None:
    found = events_problems(
        EVENT % ("a", "eu-1", "2027-01-02"), EVENT % ("a", "eu-1", "2027-01-02"), EVENT % ("b", "eu-1", "2027-01-01")
    )
    assert [(error.code, error.place.line) for error in found] == [("BP0210", 3), ("BP0210", 4)]


def test_an_event_for_a_region_that_does_not_exist() -> None:
    (error,) = events_problems(EVENT % ("a", "eu-11", "2027-01-02"))
    assert (error.code, error.place.line, error.mend) == ("BP0211", 2, "did you mean `eu-1`?")


def test_an_event_of_another_kind_or_without_duration() -> None:
    assert events_problems((EVENT % ("a", "eu-1", "2027-01-02")).replace("region_suspend", "region_restore"))
    (error,) = events_problems((EVENT % ("a", "eu-1", "2027-01-02")).replace("null", "2027-01-01"))
    assert error.code == "BP0207"


def test_events_keep_their_digest_through_bytes() -> None:
    text = "events:\n- " + EVENT % ("a", "eu-1", "2027-01-02T00:00:00.000001Z")
    events = read_events(load_yaml(text.encode(), "events.yaml"), ["eu-1"])
    assert EventList.from_canonical(events.canonical()) == events
    assert EventList.from_canonical(events.canonical()).digest == events.digest
    with pytest.raises(BorderpostError, match="BP0215"):
        EventList.from_canonical(events.canonical().replace(b"000001Z", b"000001+00:00"))
