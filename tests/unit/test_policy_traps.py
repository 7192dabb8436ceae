"""What people and attackers put into policies, packs and lists of events: each is one clear error.

Clear means: its code, the file, the line, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.policy_traps import (
    EVENT,
    EVENTS,
    KINDS,
    PACK,
    POLICY,
    REGIME,
    RESTRICTED,
    assert_clear,
    only_problem,
    problems_in,
)

# --- YAML


@pytest.mark.parametrize("kind", KINDS)
def test_norway_is_a_country(kind: str, tmp_path: Path) -> None:
    body = {
        "policy": "groups: {NORDIC: [NO, SE]}\n",
        "pack": "groups: {NORDIC: [NO, SE]}\n",
        "events": "events:\n" + EVENT % "type: sanctions_add, scope: {subjects: NO}",
    }[kind]
    path = tmp_path / "norway.yaml"
    path.write_text(KINDS[kind][1] + body, encoding="utf-8")
    KINDS[kind][0](path)


IN_FULL = {
    "policy": "groups:\n    G: [%s]\n",
    "pack": "groups:\n  G: [%s]\n",
    "events": "events:\n" + EVENT % "type: sanctions_add, scope: {subjects: [%s]}",
}
"""A list of places, two lines below the head (one for events)."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("code", "number", "mend"),
    [
        ("true", "BP0202", "Norway"),
        ("False", "BP0202", "Norway"),
        ("012", "BP0202", "COUNTRY"),
        ("0o14", "BP0202", "COUNTRY"),
        ("1e3", "BP0202", "COUNTRY"),
        ("null", "BP0202", "COUNTRY"),
        ("2027-01-01", "BP0202", "COUNTRY"),
        ("[DE]", "BP0202", "COUNTRY"),
        ("{DE: FR}", "BP0202", "COUNTRY"),
        ("ZX", "BP0201", "nearest known"),
        ("UK", "BP0201", "did you mean `GB`?"),
        ("de", "BP0202", "did you mean `DE`?"),
        ("DE-", "BP0202", "COUNTRY"),
        ("DE-TOOLONGXX", "BP0202", "COUNTRY"),
        ("FR-NC", "BP0202", "did you mean `NC`?"),
        ("AE_DIFC", "BP0202", "did you mean `AE-DIFC`?"),
        ('"DE\\u0000"', "BP0202", "COUNTRY"),
        ('"\\u0414E"', "BP0202", "COUNTRY"),  # a Cyrillic letter
    ],
)
def test_what_is_no_place(kind: str, code: str, number: str, mend: str, tmp_path: Path) -> None:
    error = only_problem(KINDS[kind], IN_FULL[kind] % code, tmp_path)
    assert error.code == number, str(error)
    assert mend in error.mend, str(error)
    assert error.place.line == KINDS[kind][1].count("\n") + 2, str(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("body", "number", "line", "mend"),
    [
        ("groups: {A: [DE]}\ngroups: {B: [DE]}\n", "BP0105", 1, "remove"),
        ("groups: {A: [DE], A: [FR]}\n", "BP0105", 0, "remove"),
        ("groups: &a {A: [DE]\n", "BP0101", None, "YAML"),
        ("groups: *nobody\n", "BP0101", 0, "YAML"),
        ("groups: !!python/object:os.system {A: [DE]}\n", "BP0101", 0, "YAML"),
        ("groups:\n\tA: [DE]\n", "BP0101", None, "YAML"),
        ("? [groups]\n: {A: [DE]}\n", "BP0101", None, "YAML"),
        ("groups: " + "[" * 100 + "]" * 100 + "\n", "BP0106", 0, "split"),
        ("groups: " + "{A: " * 100 + "1" + "}" * 100 + "\n", "BP0106", 0, "split"),
        ("groups: 9" + "9" * 60 + "\n", "BP0104", 0, "value"),
    ],
)
def test_what_is_no_yaml_of_ours(
    kind: str, body: str, number: str, line: int | None, mend: str, tmp_path: Path
) -> None:
    head = KINDS[kind][1]
    indented = body if kind != "policy" else body.replace("\ngroups", "\n  groups").replace("\n:", "\n  :")
    error = only_problem(KINDS[kind], indented, tmp_path)
    assert error.code == number, str(error)
    if line is not None:
        assert error.place.line == head.count("\n") + 1 + line, str(error)
    assert error.mend == error.spec.mend or mend in error.mend


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_of_anchors_goes_off_harmlessly(kind: str, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (error,) = problems_in(path, KINDS[kind])
    assert_clear(error, path)
    assert error.code == "BP0106"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_100_megabytes_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"# a comment\n" * 100)
    with path.open("r+b") as handle:
        handle.truncate(100 << 20)
    (error,) = problems_in(path, KINDS[kind])
    assert_clear(error, path)
    assert error.code == "BP0106"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a: \xc3\x28\n", b"a: \x00\n", b"\x80"])
def test_bytes_that_are_no_text(kind: str, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "raw.yaml"
    path.write_bytes(b"# first line\n" + raw)
    (error,) = problems_in(path, KINDS[kind])
    assert error.code == "BP0101"
    assert_clear(error, path)


# --- rules


@pytest.mark.parametrize("kind", ["policy", "pack"])
@pytest.mark.parametrize(
    ("body", "number", "line", "mend"),
    [
        ("groups:\n  A: {all_of: [B]}\n  B: {all_of: [C]}\n  C: {all_of: [A]}\n", "BP0205", None, "circle"),
        ("groups:\n  A: {all_of: [A]}\n", "BP0205", 1, "circle"),
        ("groups:\n  A: {all_of: [EAA]}\n", "BP0203", 1, "did you mean"),
        ("groups:\n  GB: [DE]\n", "BP0209", 1, "name"),
        ("groups:\n  A: {plus: [DE], minus: [AE-]}\n", "BP0202", 1, "COUNTRY"),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, from: 2027-02-30}]", "BP0207", 1, "2031-12-27"),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, from: 2027-02-01, until: 2027-01-01}]", "BP0207", 1, ""),
        ("regimes:\n" + REGIME % "from: 2027-01-01, until: 2027-01-01", "BP0207", 1, "2031"),
        (
            "regimes:\n" + REGIME % "allow: [{to: DE, basis: b, until: 2028-01-01}, {to: DE, basis: b}]",
            "BP0208",
            1,
            "Keep one",
        ),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, below: {counter: n, count: 5}}]", "BP0219", 1, "counter"),
        (
            "regimes:\n"
            + REGIME % "counters: [{id: n, bases: [z]}], allow: [{to: DE, basis: b}]",
            "BP0219",
            1,
            "counter",
        ),
        (
            "regimes:\n"
            + REGIME % "counters: [{id: n, bases: [b]}], allow: [{to: DE, basis: b, below: {counter: n, count: 0}}]",
            "BP0104",
            1,
            "value",
        ),
        (
            "regimes:\n"
            + REGIME % "counters: [{id: n, bases: [b]}, {id: n, bases: [b]}], allow: [{to: DE, basis: b}]",
            "BP0206",
            1,
            "another id",
        ),
        (
            "regimes:\n" + REGIME % "counters: [{id: n, bases: [b], zone: +25:00}], allow: [{to: DE, basis: b}]",
            "BP0104",
            1,
            "value",
        ),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, only_in: fast}]", "BP0104", 1, "value"),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, require: {operator_in: []}}]", "BP0212", 1, "remove"),
        ("regimes:\n" + REGIME % "deny: [{to: DE, operator_in: ZX}]", "BP0201", 1, "nearest"),
        ("regimes:\n" + REGIME % "kind: embargo, deny: [{to: DE}]", "BP0212", 1, "Remove"),
        ("regimes:\n" + REGIME % "defualt: allow", "BP0102", 1, "did you mean `default`?"),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: 'a, b'}]", "BP0104", 1, "value"),
        ("regimes:\n" + REGIME % "allow: [{to: DE, basis: b, except_data: [persona]}]", "BP0204", 1, "personal"),
    ],
)  # fmt: skip
def test_mistakes_of_rules(kind: str, body: str, number: str, line: int | None, mend: str, tmp_path: Path) -> None:
    where = KINDS[kind]
    if kind == "pack":
        where = (where[0], where[1] + "data_classes: {personal: {}}\n")
    indented = body.replace("\n", "\n  ") if kind == "policy" else body
    error = only_problem(where, indented, tmp_path)
    assert error.code == number, str(error)
    if line is not None:
        assert error.place.line == where[1].count("\n") + 1 + line, str(error)
    assert error.mend == error.spec.mend or mend in error.mend, str(error)


@pytest.mark.parametrize(
    ("body", "number", "line", "told"),
    [
        ("data_classes:\n  a: {implies: [b]}\n  b: {implies: [c]}\n  c: {implies: [a]}\n", "BP0205", None, " → "),
        ("data_classes:\n  a: {implies: [a]}\n", "BP0205", 5, "a → a"),
        ("data_classes:\n  a: {rank: 10}\n", "BP0104", 5, "9"),
        ("data_classes:\n  a: {rank: 012}\n", "BP0104", 5, "9"),  # twelve, not ten
        ("data_classes:\n  a: {mode: fastest}\n", "BP0104", 5, "legal-first"),
        ("data_classes:\n  A: {}\n", "BP0104", 5, "pattern"),
    ],
)
def test_mistakes_of_data_classes(body: str, number: str, line: int | None, told: str, tmp_path: Path) -> None:
    error = only_problem(PACK, body, tmp_path)
    assert error.code == number, str(error)
    assert told in str(error)
    if line is not None:
        assert error.place.line == line, str(error)


@pytest.mark.parametrize(
    ("text", "number", "line", "told"),
    [
        ("policy: {packs: [], data_classes: {personal: {}}, mode: fastest}\n", "BP0104", 3, "legal-first"),
        (
            "policy:\n  packs: []\n  data_classes: {personal: {}}\n  mode: performance-first\n" + RESTRICTED,
            "BP0221",
            6,
            "restricts",
        ),
        (
            "tenants:\n  acme: {mode: performance-first}\n"
            + ("policy:\n  packs: []\n  data_classes: {personal: {}}\n" + RESTRICTED),
            "BP0221",
            4,
            "restricts",
        ),
        ("sinks: {logs: {country: DE, subdivision: FR-IDF}}\n", "BP0202", 3, "not a subdivision of DE"),
        ("sinks: {logs: {country: CA-QC}}\n", "BP0202", 3, "a country is expected"),
        ("region_defaults: {retention: FR-NC}\n", "BP0202", 3, "did you mean `NC`?"),
        ("region_defaults: {telemetry: zone:EAA}\n", "BP0203", 3, "EAA"),
        ("evidence: {unknown: {treat_as: [UK]}}\n", "BP0201", 3, "did you mean `GB`?"),
        ("evidence: {unknown: {treat_as: []}}\n", "BP0104", 3, "at least 1"),
    ],
)
def test_mistakes_of_sections(text: str, number: str, line: int | None, told: str, tmp_path: Path) -> None:
    head = "here: {country: DE}\nregions: {eu: {country: DE}}\n"
    words = "" if "policy:" in text else "policy: {packs: [], data_classes: {personal: {}}}\n"
    path = tmp_path / "borderpost.yaml"
    path.write_text(head + text + words, encoding="utf-8")
    found = problems_in(path, POLICY)
    assert [error.code for error in found] == [number], [str(error) for error in found]
    assert_clear(found[0], path)
    assert told in str(found[0])
    if line is not None:
        assert found[0].place.line == line, str(found[0])


# --- events


@pytest.mark.parametrize(
    ("event", "number", "told"),
    [
        ("type: region_suspend, scope: {regions: [eu1]}", "BP0211", "did you mean `eu`?"),
        ("type: region_suspend, scope: {}", "BP0220", "names its `regions`"),
        ("type: region_suspend", "BP0220", "names its `regions`"),
        ("type: region_suspend, scope: {regions: [eu], subjects: [DE]}", "BP0220", "means nothing"),
        ("type: region_stop, scope: {regions: [eu]}", "BP0104", "region_suspend"),
        ("type: injunction", "BP0220", "without scope"),
        ("type: injunction, scope: {subjects: [NORDIK]}", "BP0203", "did you mean `NORDIC`?"),
        ("type: injunction, scope: {subjects: [DE], data: [helth]}", "BP0204", "did you mean `health`?"),
        ("type: injunction, scope: {regimes: [lwa]}", "BP0222", "did you mean `law`?"),
        ("type: injunction, scope: {countries: [DE], untill: x}", "BP0102", "did you mean"),
        ("type: sanctions_add, scope: {subjects: [UK]}", "BP0201", "did you mean `GB`?"),
        ("type: adequacy_revoke, scope: {regimes: [law]}", "BP0220", "names its `bases`"),
        ("type: threshold_reached, counter: n", "BP0220", "names its `count`"),
        ("type: threshold_reached, counter: n, count: 0", "BP0104", "greater than or equal to 1"),
        ("type: injunction, scope: {regions: [eu]}, mode: rehearsal", "BP0104", "drill"),
        ("type: injunction, scope: {regions: [eu]}, effective_until: 2026-12-31", "BP0207", "come after"),
        ("type: injunction, scope: {regions: [eu]}, ends: e", "BP0220", "has no `ends`"),
        ("type: region_restore, scope: {regions: [eu]}", "BP0224", "signed"),
    ],
)
def test_mistakes_of_events(event: str, number: str, told: str, tmp_path: Path) -> None:
    error = only_problem(EVENTS, "events:\n" + EVENT % event, tmp_path)
    assert error.code == number, str(error)
    assert told in str(error), str(error)
    assert error.place.line == 4


@pytest.mark.parametrize(
    ("second", "number", "told"),
    [
        ("id: a, recorded_at: 2027-01-01", "BP0210", "already that of events[0]"),
        ("id: b, recorded_at: 2026-12-31T23:59:59.999999Z", "BP0210", "recorded before"),
    ],
)
def test_events_out_of_order(second: str, number: str, told: str, tmp_path: Path) -> None:
    shared = "type: region_suspend, scope: {regions: [eu]}, effective_from: 2027-01-01, source: s, reason: r"
    body = f"events:\n- {{id: a, recorded_at: 2027-01-01, {shared}}}\n- {{{second}, {shared}}}\n"
    error = only_problem(EVENTS, body, tmp_path)
    assert (error.code, error.place.line) == (number, 5)
    assert told in str(error)


def test_a_lift_of_nothing(tmp_path: Path) -> None:
    body = "events:\n" + EVENT % "type: lift, ends: nobody, approvals: []"
    error = only_problem(EVENTS, body, tmp_path)
    assert (error.code, error.place.line) == ("BP0210", 4)
    assert "no narrowing event" in str(error)
