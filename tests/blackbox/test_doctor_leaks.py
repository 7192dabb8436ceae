"""What the doctor finds is real: each failing example leaks, or fails as its rule says; its mended twin does neither.

All examples live in one Envoy, each with a listener and clusters of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from borderpost_envoy import Via
from borderpost_envoy.doctor import RULES, examine, read_admin, read_configuration
from support import doctor_probes_routes
from support.doctor_cases import BASES, Case, Tree, rendered
from support.doctor_examples import CASES
from support.doctor_probes import SHOWN, tell_lb
from support.doctor_stage import Stage, staged, with_fallback

assert doctor_probes_routes  # it registers its probes in SHOWN
pytestmark = pytest.mark.blackbox

APART = {"BPD019", "BPD028", "BPD037", "BPD045", "BPD049"}
"""Rules that are shown in test_doctor_leaks_apart.py, on Envoys of their own."""


def twin_of(case: Case) -> str:
    """Return the name of the mended twin in the shared Envoy."""
    shown = SHOWN[case.id]
    return f"mended-{case.id}" if shown.twin is not None else f"mended-{case.base}{'-fallback' * shown.fallback}"


def trees() -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for case in CASES:
        shown = SHOWN.get(case.id)
        if shown is None:
            continue
        for name, tree in ((twin_of(case), rendered(case.base)), (case.id, case.spoiled())):
            if shown.fallback:
                with_fallback(tree)
            if shown.twin is not None and (name != case.id or shown.twin is tell_lb):
                shown.twin(tree)
            found[name] = tree
    return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("doctor"), trees()) as stage:
        yield stage


@pytest.mark.parametrize("case", [case for case in CASES if case.id in SHOWN], ids=lambda case: case.id)
def test_it_leaks_and_its_mended_twin_does_not(stage: Stage, case: Case) -> None:
    probe = SHOWN[case.id].probe
    via_authz = BASES[case.base].get("via") is Via.EXT_AUTHZ
    stage.begin(case.id, via_authz=via_authz)
    assert probe(stage)
    stage.begin(twin_of(case), via_authz=via_authz)
    assert not probe(stage)


def test_every_rule_is_shown() -> None:
    assert sorted({case.rule for case in CASES if case.id in SHOWN} | APART) == sorted(RULES)


def test_the_doctor_finds_the_same_in_what_runs(stage: Stage) -> None:
    """Every example is found in the dump of the running Envoy, and nothing in the mended twins."""
    findings = examine(read_configuration(read_admin(f"127.0.0.1:{stage.envoy.admin_port}")))
    found: dict[str, set[str]] = {}
    for finding in findings:
        for key in re.findall(r"(?:BPD\d+|mended)-[\w-]+", finding.subject or ""):
            found.setdefault(key, set()).add(finding.rule.id)
    alone = [case for case in CASES if case.id in SHOWN and case.rule != "BPD001" and not case.expected.known]
    assert [case.id for case in alone if case.rule not in found.get(case.id, ())] == []
    # All examples share the regions' endpoints, and a fallback is one that leads past the decision.
    twins = {twin_of(case) for case in alone if SHOWN[case.id].twin is None}
    told = {
        key: rules - {"BPD035"} - ({"BPD026"} if key.endswith("-fallback") else set()) for key, rules in found.items()
    }
    assert {key: rules for key, rules in told.items() if key in twins and rules} == {}
