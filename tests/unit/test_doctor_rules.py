"""Each rule of the doctor: found where a rendered bootstrap is spoiled, silent where it is as rendered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from borderpost.reports.finding import Finding, Level
from borderpost_base.json_source import load_json
from borderpost_base.names import CLIENT_HEADER, CLUSTER_HEADER, STEERING_HEADERS
from borderpost_envoy.doctor import CHECKS, RULES, UNKNOWN, Expected, Source, examine, read_configuration, read_file
from support.doctor_cases import BASES, REGIONS, Case, manager, rendered
from support.doctor_examples import CASES

ROOT = Path(__file__).resolve().parents[2]
KNOWN = Expected(regions=REGIONS)


def examined(tree: Any, expected: Expected = UNKNOWN) -> list[Finding]:
    """Return what the doctor says of plain data."""
    document = load_json(json.dumps(tree, indent=1).encode(), "envoy.json")
    return examine(read_configuration(Source(document, "envoy.json")), expected)


def codes(findings: Iterable[Finding]) -> set[str]:
    return {finding.rule.id for finding in findings}


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_a_spoiled_bootstrap_is_found_out(one: Case) -> None:
    findings = examined(one.spoiled(), one.expected)
    assert codes(findings) == {one.rule, *one.also}
    for finding in findings:
        assert finding.line is not None
        assert finding.line > 0
        assert finding.subject
        assert finding.message.endswith(".") or "refused an update" in finding.message
        assert finding.message[0].isupper() or finding.message.startswith("`")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("expected", [UNKNOWN, KNOWN], ids=["alone", "known"])
def test_its_mended_twin_is_in_order(base: str, expected: Expected) -> None:
    known = (
        Expected(regions={name: name for name in ("eu-1", "us-1")}) if base == "far" and expected is KNOWN else expected
    )
    assert examined(rendered(base), known) == []


def test_every_rule_has_a_failing_example() -> None:
    assert sorted({one.rule for one in CASES}) == sorted(RULES)
    assert len({one.id for one in CASES}) == len(CASES)


def test_every_rule_has_its_texts_and_its_section() -> None:
    page = (ROOT / "docs/reference/doctor-rules.md").read_text(encoding="utf-8")
    for name, check in CHECKS.items():
        rule = check.rule
        assert name == rule.id
        assert rule.title[0].islower() or rule.title.startswith(("Envoy", "Borderpost"))
        assert not rule.title.endswith(".")
        assert rule.why.endswith(".")
        assert rule.mend.endswith(".")
        assert check.source.startswith("https://www.envoyproxy.io/docs/envoy/v1.40.0/")
        assert check.look.__doc__
        assert f"## {rule.id}\n" in page
    assert len({check.rule.title for check in CHECKS.values()}) == len(CHECKS)


@pytest.mark.parametrize("path", sorted((ROOT / "envoy/rendered").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_rendered_is_in_order(path: Path) -> None:
    regions = {name: name for name in ("eu-central-1", "us-east-1")}
    groups = {"atlantic": frozenset(regions)} if path.stem.endswith("failover") else {}
    known = Expected(regions=regions, groups=groups, observed=frozenset({"chat", "files"}))
    expected = known if path.stem.endswith(("failover", "observed")) else UNKNOWN
    findings = examine(read_configuration(read_file(path)), expected)
    assert {finding.level for finding in findings} <= {Level.NOTE}
    assert len(findings) == (2 if path.stem.endswith("observed") else 0)


def test_an_observed_route_is_an_error_where_it_should_be_decided() -> None:
    source = read_configuration(read_file(ROOT / "envoy/rendered/ext_proc-observed.yaml"))
    regions = {name: name for name in ("eu-central-1", "us-east-1")}
    decided = examine(source, Expected(regions=regions, observed=frozenset({"chat"})))
    assert [(one.rule.id, one.level, "route files" in (one.subject or "")) for one in decided] == [
        ("BPD005", Level.NOTE, False),
        ("BPD005", Level.ERROR, True),
    ]
    assert {one.level for one in examine(source)} == {Level.WARNING}


def test_headers_that_are_removed_one_by_one_are_removed() -> None:
    tree = rendered("authz")
    early = manager(tree)["early_header_mutation_extensions"][0]["typed_config"]
    names = [CLUSTER_HEADER, CLIENT_HEADER, *STEERING_HEADERS]
    early["mutations"] = [{"remove": name} for name in names]
    assert examined(tree) == []
    for left, rule in ((CLUSTER_HEADER, "BPD020"), (CLIENT_HEADER, "BPD020")):
        early["mutations"] = [{"remove": name} for name in names if name != left]
        assert codes(examined(tree)) == {rule}


@pytest.mark.parametrize(("path", "level"), [("/var/run/worker-0.sock", Level.WARNING), ("/run/x.sock", Level.ERROR)])
def test_a_socket_that_is_mounted_elsewhere_may_be_ours(path: str, level: Level) -> None:
    (finding,) = examined(rendered("proc"), Expected(regions=REGIONS, servers=frozenset({path})))
    assert (finding.rule.id, finding.level) == ("BPD017", level)
