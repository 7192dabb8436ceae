"""The export in the real OPA, which is what it is for: its own checks, its tests, and its answers. Conftest too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.policy.decide import decide
from borderpost.policy.events import EventList
from borderpost.rego.cases import Questions
from borderpost.rego.export import MODULES, Source
from borderpost.rego.questions import answer_of, question_of
from support.go_tools import go_tool
from support.policy_builder import Court, starter
from support.rego import Comparison, ask_opa, questions, run, world, written

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

REGIONS: dict[str, Any] = {
    "eu-1": {"country": "DE"},
    "eu-2": {"country": "FR", "retention": "none", "telemetry": "US"},
    "us-1": {"country": "US", "operator": {"certifications": ["eu-us-dpf"], "jurisdiction": "US"}},
    "sg-1": {"country": "SG", "contracts": ["scc-2021"], "tia": "approved"},
    **{f"many-{number:03}": {"country": "DE"} for number in range(60)},
}


@pytest.fixture(scope="module")
def opa() -> Path:
    return go_tool("opa")


def starter_source(**more: Any) -> Source:
    court = Court(packs=starter(), regions=REGIONS, no_regime="refuse", **more)
    return Source(court.policy, court.events, EventList())


def test_opa_has_nothing_to_say_of_the_modules(opa: Path, tmp_path: Path) -> None:
    folders = [written(starter_source(), tmp_path / "starter")]
    folders += [written(world(seed), tmp_path / f"world-{seed}") for seed in range(30)]
    empty = Court(regions={"de": "DE"})
    folders.append(written(Source(empty.policy, empty.events, EventList()), tmp_path / "empty"))
    for folder in folders:
        run(opa, "check", "--strict", folder)
    assert run(opa, "fmt", "--diff", tmp_path) == ""
    assert {path.stem for path in folders[0].glob("*.rego")} == {*MODULES, "law", "decision_test"}


def test_opa_passes_the_export_s_tests_and_fails_them_over_another_law(opa: Path, tmp_path: Path) -> None:
    folder = written(starter_source(), tmp_path / "starter", cases=60)
    assert "PASS: 3/3" in run(opa, "test", folder)
    assert "PASS: 3/3" in run(opa, "test", "--bundle", folder)
    law = folder / "law.rego"
    law.write_text(law.read_text().replace('live contains "eu-gdpr"', 'live contains "uk-gdpr"'))
    run(opa, "test", folder, code=2)


def test_opa_gives_the_gateway_s_answers(opa: Path, tmp_path: Path) -> None:
    found = Comparison()
    for seed in range(2000, 2030):
        source = world(seed)
        asked = questions(source, seed, 200)
        folder = written(source, tmp_path / f"world-{seed}")
        found.add(f"world {seed}", asked, ask_opa(opa, folder, asked, tmp_path / "asked.json"))
    assert not found.apart, "\n".join(found.apart)
    assert found.asked == 6000
    assert len(found.reasons) == 11, found.reasons


def test_opa_gives_the_gateway_s_answers_on_the_starter_packs(opa: Path, tmp_path: Path) -> None:
    source = starter_source()
    drawn = Questions(source.events)
    asked = [
        (question_of(one.facts, one.now_us, stale=one.stale),
         answer_of(decide(one.facts, source.policy, source.events, one.now_us, stale=one.stale)))
        for one in [*drawn.at_boundaries(100), *drawn.seeded(1000)]
    ]  # fmt: skip
    found = Comparison()
    found.add("starter", asked, ask_opa(opa, written(source, tmp_path / "starter"), asked, tmp_path / "asked.json"))
    assert not found.apart, "\n".join(found.apart)


def said(opa: Path, folder: Path, asked: Any, scratch: Path, query: str) -> Any:
    scratch.write_text(json.dumps(asked))
    done = run(opa, "eval", "--format", "json", "--data", folder, "--input", scratch, query)
    return json.loads(done)["result"][0]["expressions"][0]["value"]


FACTS = {"evidence": [{"source": "token", "code": "DE"}], "classes": ["personal"]}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"at": "2026-11-20T12:00:00Z"}, "ok"),
        ({"at": "2026-11-20T13:00:00.000001+01:00"}, "ok"),
        ({"at": "yesterday"}, "invalid-input"),
        ({"at": 5}, "invalid-input"),
        ({"at": "2026-11-20T12:00:00Z", "now_us": 5}, "invalid-input"),
        ({}, "ok"),
    ],
)
def test_instants_are_read_as_in_rfc_3339(opa: Path, tmp_path: Path, given: dict[str, Any], reason: str) -> None:
    folder = written(starter_source(), tmp_path / "law")
    answer = said(opa, folder, {"facts": FACTS, **given}, tmp_path / "in.json", "data.borderpost.decision")
    assert answer["reason"] == reason


def deployment(**labels: Any) -> dict[str, Any]:
    """Return a Deployment whose pods bear labels (`_` for `-`), bound to a region if `node` says one."""
    node = labels.pop("node", None)
    keys = {f"borderpost.dev/{name.replace('_', '-')}": value for name, value in labels.items()}
    pods: dict[str, Any] = {"metadata": {"labels": keys}, "spec": {}}
    if node is not None:
        pods["spec"]["nodeSelector"] = {"topology.kubernetes.io/region": node}
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": pods}}


@pytest.mark.parametrize(
    ("asked", "allowed", "sentence"),
    [
        ({}, False, "nothing to judge"),
        ({"workload": {}}, False, "it names no data class"),
        ({"workload": {"classes": ["personal"], "subjects": ["DE"], "region": "eu-1"}}, True, ""),
        ({"workload": {"classes": ["personal"], "subjects": ["SG"], "region": "eu-1"}}, False, "a subject in SG"),
        ({"workload": {"classes": ["personal"], "subjects": ["EEA"], "region": "us-1"}}, True, ""),
        ({"workload": {"classes": ["personal"], "subjects": ["EEA", "IN"], "region": "eu-2"}}, False, "telemetry"),
        ({"workload": {"classes": ["personal"], "subjects": ["Atlantis"], "region": "eu-1"}}, False, "neither a place"),
        ({"workload": {"classes": ["secret"], "subjects": ["DE"], "region": "eu-1"}}, False, "unknown-class"),
        ({"workload": {"classes": ["personal"], "subjects": ["DE"], "region": "mars"}}, False, "no such region"),
        ({"workload": {"classes": ["personal"], "subjects": ["DE"], "regin": "eu-1"}}, False, "is no part"),
        ({"workload": {"classes": "personal", "subjects": ["DE"], "region": "eu-1"}}, False, "lists of text"),
        (deployment(data_class="personal", subjects="DE", node="eu-1"), True, ""),
        (deployment(data_class="health_personal", subjects="DE.FR", region="eu-1"), True, ""),
        (deployment(data_class="personal", subjects="SG", node="eu-1"), False, "Deployment web: personal data"),
        (deployment(data_class="personal", subjects="DE"), False, "it may stand anywhere"),
        (deployment(data_class="personal", node="eu-1"), False, "whose data"),
        (deployment(data_class="personal", subjects="DE", region="eu-2", node="eu-1"), False, "it may stand anywhere"),
        ({"request": {"object": deployment(data_class="personal", subjects="SG", node="eu-1")}}, False, "in SG"),
        ({"review": {"object": deployment(data_class="personal", subjects="DE", node="eu-1")}}, True, ""),
        ({"facts": FACTS}, True, ""),
        ({"facts": FACTS, "region": "eu-1"}, True, ""),
        ({"facts": FACTS, "region": "eu-2"}, False, "may not go to region `eu-2`"),
        ({"facts": {**FACTS, "evidence": []}}, False, "the law refuses this request: unknown-subject"),
        ({"facts": {"evidence": []}}, False, "invalid-input"),
        ({"facts": FACTS, "regoin": "eu-2"}, False, "`regoin` is no part of a question"),
        ({"facts": FACTS, "region": None}, False, "may not go"),
        ({"workload": 5}, False, "nothing to judge"),
        ([], False, "nothing to judge"),
        (deployment(data_class=5, subjects="DE", node="eu-1"), False, "is no text"),
    ],
)  # fmt: skip
def test_admission_says_what_may_not_run_and_why(
    opa: Path, tmp_path: Path, law: Path, asked: Any, allowed: bool, sentence: str
) -> None:
    answer = said(
        opa, law, asked, tmp_path / "in.json", '{"allow": data.borderpost.allow_region, "deny": data.borderpost.deny}'
    )
    assert answer["allow"] is allowed, answer
    assert bool(answer["deny"]) is not allowed
    if sentence:
        assert any(sentence in one for one in answer["deny"]), answer


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(starter_source(), tmp_path_factory.mktemp("law") / "law")


def test_what_names_no_data_class_is_let_be(opa: Path, tmp_path: Path, law: Path) -> None:
    asked = deployment(node="us-1")
    assert said(opa, law, asked, tmp_path / "in.json", "data.borderpost.deny") == []
