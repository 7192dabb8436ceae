"""Assertions: what is read, what they are about, and that none holds where somebody gained a region."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from borderpost.policy.decide import decide
from borderpost.policy.fields import parse_instant, to_us
from borderpost.proof.assertions import PolicyAssertions, read_assertions
from borderpost.proof.grounds import Side
from borderpost.proof.leftovers import leftovers, scarcities
from borderpost.proof.prove import Proof, also_of, prove
from borderpost.proof.space import Space
from borderpost_base.errors import Problems
from borderpost_base.yaml_source import YamlDocument, load_yaml
from support import leaky_policies
from support.leaky_policies import POLICY
from support.policy_builder import Court, regime

NOW_US = to_us(parse_instant("2026-11-21"))


def space_of(court: Court, **also: Any) -> Space:
    return Space([Side(court.policy, court.events)], from_us=NOW_US, **also)


def proved(court: Court, *assertions: dict[str, Any]) -> list[Proof]:
    file = PolicyAssertions.model_validate(
        {
            "apiVersion": "residency/v1",
            "kind": "PolicyAssertions",
            "assertions": [{"id": f"a{number}", "says": "it", **one} for number, one in enumerate(assertions)],
        }
    )
    return prove(space_of(court, also=also_of(file.assertions)), file.assertions)


def union(**more: Any) -> Court:
    home = {"to": "EU", "basis": "home", "revocable": False}
    return Court(
        regime("r", "EU", data=["personal"], allow=[home, *more.pop("allow", ())], **more),
        groups={"EU": ["DE", "FR"]},
        regions={"de": {"country": "DE", "operator": {"entity": "A", "jurisdiction": "DE"}},
                 "us": {"country": "US", "operator": {"entity": "B", "jurisdiction": "US"}}},
        no_regime="refuse",
    )  # fmt: skip


STAYS: dict[str, Any] = {"when": {"subject_in": "EU"}, "never": {"outside": "EU"}}


def test_a_promise_that_is_kept_holds_for_atoms() -> None:
    (proof,) = proved(union(), STAYS)
    assert proof.holds
    assert proof.atoms > 0


def test_a_promise_that_is_broken_has_its_counterexample() -> None:
    court = union(allow=[{"to": "US", "basis": "deal", "from": "2027-01-01"}])
    (proof,) = proved(court, STAYS)
    assert not proof.holds
    breach = next(iter(proof.breaches.values()))
    assert (breach.region, breach.bases) == ("us", "r/deal")
    assert breach.span.from_us == to_us(parse_instant("2027-01-01"))
    facts = space_of(court, also=also_of([proof.assertion])).facts(breach.first)
    assert facts is not None
    assert "us" in decide(facts, court.policy, court.events, breach.span.from_us).legal


def test_a_promise_holds_only_for_its_own_time() -> None:
    court = union(allow=[{"to": "US", "basis": "deal", "from": "2027-01-01"}])
    (before, later) = proved(court, {**STAYS, "until": "2027-01-01"}, {**STAYS, "from": "2027-01-01"})
    assert before.holds
    assert not later.holds


def test_a_promise_about_nobody_does_not_hold() -> None:
    (proof,) = proved(union(), {"when": {"subject_in": "EU", "tenant": "acme"}, "never": {"outside": "EU"}})
    assert proof.atoms > 0, "any tenant may come by a token, so a promise about one is about somebody"
    (nobody,) = proved(union(), {"when": {"subject_in": []}, "never": {"outside": "EU"}})
    assert nobody.atoms == 0
    assert not nobody.holds


@pytest.mark.parametrize(
    ("never", "broken"),
    [
        ({"outside": ["DE", "US"]}, False),
        ({"outside": ["DE"]}, True),
        ({"inside": "US"}, True),
        ({"inside": "FR"}, False),
        ({"operator_in": "US"}, True),
        ({"operator_in": "CN"}, False),
        ({"operator_outside": ["US", "DE"]}, False),
        ({"operator_outside": ["DE"]}, True),
        ({"regions": "us"}, True),
        ({"regions": "us", "inside": "DE"}, False),
        ({"basis": "deal"}, True),
        ({"basis": "r/deal", "inside": "US"}, True),
        ({"basis": "home", "inside": "US"}, False),
    ],
)
def test_what_must_not_be_is_all_that_is_named(never: dict[str, Any], *, broken: bool) -> None:
    court = union(allow=[{"to": "US", "basis": "deal"}])
    (proof,) = proved(court, {"when": {"subject_in": "EU"}, "never": never})
    assert proof.atoms
    assert bool(proof.failed) is broken


@pytest.mark.parametrize(
    ("always", "broken"),
    [
        ({"regions": 1}, False),
        ({"regions": 2}, True),
        ({"operators": 1}, False),
        ({"operators": 2}, True),
        ({"reaches": "de"}, False),
        ({"reaches": ["de", "us"]}, True),
    ],
)
def test_what_must_be(always: dict[str, Any], *, broken: bool) -> None:
    (proof,) = proved(union(), {"when": {"subject_in": "EU", "data": "personal"}, "always": always})
    assert bool(proof.failed) is broken


def test_what_must_be_is_promised_for_the_data_named_and_no_other() -> None:
    """Nobody allows genomic data here: that is no breach of a promise about personal data."""
    court = union()
    plain, everything = proved(
        court, {"when": {"subject_in": "EU", "data": "personal"}, "always": {"regions": 1}},
        {"when": {"subject_in": "EU", "data": ["personal", "public"]}, "always": {"regions": 1}},
    )  # fmt: skip
    assert plain.holds
    assert everything.holds
    assert everything.atoms > plain.atoms


def test_stale_events_count_where_something_must_be_and_not_where_it_must_not() -> None:
    court = Court(
        regime("r", "DE", data=["personal"], allow=[{"to": "DE", "basis": "deal"}]), regions={"de": "DE"}
    )  # the basis can be revoked
    never, always = proved(
        court, {"when": {"subject_in": "DE"}, "never": {"outside": "DE"}},
        {"when": {"subject_in": "DE"}, "always": {"regions": 1}},
    )  # fmt: skip
    assert never.holds
    assert {breach.stale for breach in always.breaches.values()} == {True}


def test_data_in_doubt_is_promised_about_only_for_everybody() -> None:
    court = Court(
        regime("r", "*", default="allow", basis="b"), regions={"us": "US"}, evidence={"unknown": {"treat_as": ["FR"]}}
    )
    somewhere, anywhere = proved(
        court, {"when": {"subject_in": "DE", "data": "*"}, "never": {"inside": "US"}},
        {"when": {"data": "*"}, "never": {"inside": "US"}},
    )  # fmt: skip
    assert all(breach.first.where.doubt.name == "believed" for breach in somewhere.breaches.values())
    assert anywhere.atoms > somewhere.atoms


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_a_planted_leak_is_found_and_an_equivalent_change_is_not_called_one(block: int) -> None:
    base = leaky_policies.legal_by_hand(POLICY)
    kinds = {True: 0, False: 0}
    for verdict in itertools.islice(leaky_policies.verdicts(f"prove/{block}", base), 5):
        assert verdict.is_right(base), verdict.mutant.name
        kinds[bool(verdict.breaches)] += 1
    assert all(kinds.values()), "both kinds were drawn"


# Rules of no use


def test_rules_of_no_use_are_told() -> None:
    court = Court(
        regime(
            "r", "DE", allow=[
                {"to": ["DE", "FR"], "basis": "home"},
                {"to": "FR", "basis": "twice"},
                {"to": "US", "basis": "contract", "require": {"contract": "scc"}},
                {"to": "US", "basis": "old", "until": "2020-01-01"},
                {"to": "JP", "basis": "far"},
            ],
            deny=[{"to": "CN"}],
        ),
        regime("over", "FR", until="2020-01-01"),
        regime("nobody", "GONE"),
        groups={"GONE": {"plus": ["NO"], "minus": ["NO"]}},
        regions={"de": "DE", "us": {"country": "US", "contracts": ["scc"]}, "au": "AU"},
        here={"country": "DE"},
        no_regime="refuse",
    )  # fmt: skip
    found = {one.what: one.kind for one in leftovers(space_of(court))}
    assert found == {
        "r.allow[1]": "shadowed",
        "r.allow[3]": "dead",
        "r.allow[4]": "idle",
        "r.deny[0]": "shadowed",
        "over": "dead",
        "nobody": "dead",
        "au": "unreachable",
    }


def test_an_entry_that_is_needed_somewhere_is_not_shadowed() -> None:
    """Each entry matters for some region, kind of data, question or count."""
    allow = [
        {"to": "*", "basis": "a", "require": {"contract": "x"}},
        {"to": "*", "basis": "b", "require": {"contract": "y"}},
        {"to": "US", "basis": "c", "except_data": ["health"]},
        {"to": "JP", "basis": "d", "only_in": "hybrid"},
        {"to": "KR", "basis": "e", "revocable": False, "except_data": ["health"]},
        {"to": "KR", "basis": "f"},
        {"to": "BR", "basis": "g", "require": {"operator_in": "BR"}},
        {"to": "IN", "basis": "h", "below": {"counter": "c", "count": 5}},
    ]
    deny = [
        {"to": "US", "operator_in": "CN", "basis": "n"},
        {"to": "JP", "data": ["health"], "unless": {"tia": "approved"}},
    ]
    court = Court(
        regime("r", "DE", allow=allow, deny=deny, counters=[{"id": "c", "bases": ["h"]}]), regions={"us": "US"}
    )
    assert not [one for one in leftovers(space_of(court)) if one.kind in ("shadowed", "dead")]


def test_whose_data_has_no_choice_is_told() -> None:
    court = union(allow=[{"to": "US", "basis": "deal", "except_data": ["health"]}])
    found = {(one.kind, one.asking.declared): {g.code for g in one.grounds} for one in scarcities(space_of(court))}
    assert found["one-region", ("health",)] == {"DE"}
    assert ("one-region", ()) not in found
    assert "AD" in found["no-region", ()]


# The command


CONFIG = """
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions: {de: DE_SPEC, us: {country: US, operator: {certifications: [eu-us-dpf]}}}
policy: {packs: [starter]}
tenants: {clinic: {classes: [health]}}
""".replace("DE_SPEC", "{country: DE, operator: {entity: A, jurisdiction: DE}}")

ASSERTIONS = """
apiVersion: residency/v1
kind: PolicyAssertions
assertions:
  - id: home
    says: Health data of a subject in the EEA stays there.
    when: {subject_in: EEA, data: health}
    never: {outside: EEA}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "a.yaml").write_text(ASSERTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_tells_the_sentence_and_what_asks_it_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "prove", "a.yaml", "--from", "2026-11-21"]) == 1
    said = capsys.readouterr().out
    assert "FAILS  home" in said
    assert "may go to us, by `eu-gdpr/art45-dpf`, from 2026-11-21" in said
    line = next(line.strip() for line in said.splitlines() if "borderpost explain" in line)
    assert line == "borderpost explain --country AT --class health --at 2026-11-21"
    assert main([*line.split()[1:], "--json"]) == 0
    regions = {one["region"]: one for one in json.loads(capsys.readouterr().out)["regions"]}
    assert regions["us"]["legal"] is True


def test_the_command_prints_json_and_annotations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "prove", "a.yaml", "--json", "--from", "2026-11-21"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["atoms"] > 500
    (told,) = result["assertions"]
    assert told["holds"] is False
    assert told["counterexamples"][0]["region"] == "us"
    assert "DE" in told["counterexamples"][0]["subjects"]
    assert main(["policy", "prove", "a.yaml", "--format", "github", "--from", "2026-11-21"]) == 1
    assert capsys.readouterr().out.startswith("::error file=a.yaml,line=5")
    assert main(["policy", "prove", "a.yaml", "--format", "sarif", "--from", "2026-11-21"]) == 1
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"][0]["ruleId"] == "home"


def test_leftovers_fail_only_where_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(ASSERTIONS.replace("EEA}", "[EEA, US]}"))
    assert main(["policy", "prove", "a.yaml"]) == 0
    assert main(["policy", "prove", "--fail-on", "dead", "--format", "github"]) == 1
    assert "ofac-syria" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "hint"),
    [
        ("subject_in: EEA", "subject_in: EAE", "BP0203", 7, "EEA"),
        ("data: health", "data: helth", "BP0204", 7, "health"),
        ("outside: EEA", "regions: usa", "BP0211", 8, "us"),
        ("outside: EEA", "basis: eu-gdpr/art45dpf", "BP0222", 8, "eu-gdpr/art45-dpf"),
        ("data: health", "tenant: clinik", "BP0214", 7, "clinic"),
        ("data: health", "model: x", "BP1201", 7, "trust_model_header"),
        ("never: {outside: EEA}", "never: {}", "BP1201", 8, "`never`"),
        ("never: {outside: EEA}", "always: {}", "BP1201", 8, "regions: 1"),
        ("never: {outside: EEA}", "never: {outsid: EEA}", "BP0102", 8, "outside"),
        ("    never: {outside: EEA}\n", "", "BP1201", 5, "neither"),
    ],
)
def test_a_wrong_assertion_is_told_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: str, line: int, hint: str
) -> None:
    (folder / "a.yaml").write_text(ASSERTIONS.replace(old, new, 1))
    assert main(["policy", "prove", "a.yaml", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["code"] == code
    assert error["place"]["line"] == line
    assert hint in json.dumps(error)


def test_two_assertions_of_one_id_are_one_too_many() -> None:
    text = ASSERTIONS + ASSERTIONS.partition("assertions:\n")[2]
    document: YamlDocument = load_yaml(text.encode(), "a.yaml")
    with pytest.raises(Problems, match="home"):
        read_assertions(document, union().bundle, ["de"])
