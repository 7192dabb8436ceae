"""Policy and catalogue changed while a real Envoy asks: nothing fails in the right order, nothing leaks otherwise."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import main
from borderpost.demo.scenery import REGIONS
from support.borderpost_process import merged
from support.client import Observed
from support.clients import AMERICAN, EMIRATI, GERMAN, IRANIAN
from support.envoy_process import find_all
from support.faults import acknowledged_in_log, log_lines, small_gate
from support.gateway import Gateway, eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
CLIENTS = [GERMAN, AMERICAN, EMIRATI, IRANIAN]
REGION = "eu-west-1"
NARROWER: dict[str, Any] = {
    "id": "house", "title": "Ours stay in Germany", "source": "Test", "applies_when": {"subject_in": ["EEA"]},
    "default": "allow", "deny": [{"to": ["IE"]}],
}  # fmt: skip
NEARER = {"ranking": {"latency_ms": {"DE": {REGION: 1}}}}
"""Germans go to Ireland while they may."""
SLOWLY: dict[str, Any] = {"pause_s": 0.005}


def without(config: dict[str, Any], region: str) -> dict[str, Any]:
    """Return the configuration without a region, wherever it is named."""
    changed = copy.deepcopy(config)
    ranking = changed["ranking"]
    for named in (changed["regions"], ranking["probes"], *ranking["latency_ms"].values()):
        named.pop(region, None)
    return changed


def all_answered(observed: Observed) -> None:
    assert observed.statuses.keys() == {200, 451}, observed.statuses


def taken(gate: Gateway, config: dict[str, Any]) -> None:
    """Put a configuration in place and wait until the worker decides by it."""
    before = len(log_lines(gate, event="snapshot taken"))
    gate.reload(config)
    eventually(lambda: len(log_lines(gate, event="snapshot taken")) > before, "the worker decides by it")


def test_a_policy_is_checked_compared_weighed_and_put_into_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_gate(tmp_path, **NEARER) as gate:
        candidate = merged(gate.config, {"policy": {"packs": ["starter"], "regimes": [NARROWER]}})
        file = tmp_path / "candidate.yaml"
        file.write_text(yaml.safe_dump(candidate, sort_keys=False))
        assert main(["check-config", "--config", str(file)]) == 0
        assert main(["policy", "diff", str(gate.config_file), str(file)]) == 0
        assert "Narrowed" in capsys.readouterr().out

        def during() -> None:
            eventually(lambda: gate.served.get(REGION, 0) > 20, "Germans go to Ireland")
            taken(gate, merged(gate.config, {"shadow": {"policy": candidate["policy"]}}))
            eventually(lambda: gate.metric("borderpost_shadow_divergence_total") > 5, "the shadow is weighed")
            gate.reload(merged(candidate, {"policy": {"regimes": [{**NARROWER, "deny": "nothing"}]}}))
            eventually(lambda: bool(log_lines(gate, event="reloaded", configuration="refused")), "a mistake is refused")
            gate.regions.forget()
            eventually(lambda: gate.served.get(REGION, 0) > 5, "the last good one is in force")
            taken(gate, candidate)
            gate.regions.forget()
            eventually(lambda: gate.served.get("eu-central-1", 0) > 20, "Germans stay in Germany")
            assert REGION not in gate.served
            taken(gate, gate.config)
            eventually(lambda: gate.served.get(REGION, 0) > 5, "and back again")

        observed = gate.load(CLIENTS, during=during, **SLOWLY)
        all_answered(observed)
        acknowledged_in_log(gate, observed)


def test_a_region_is_taken_out_and_brought_in_again(tmp_path: Path) -> None:
    """Out: configuration, then Envoy. In: Envoy, then configuration. Envoy knows the region all the while."""
    with small_gate(tmp_path, **NEARER) as gate:

        def during() -> None:
            eventually(lambda: gate.served.get(REGION, 0) > 20, "the region serves")
            taken(gate, without(gate.config, REGION))
            eventually(lambda: idle(gate), "the region has answered what it had")
            eventually(lambda: gate.served.get("eu-central-1", 0) > 20, "another serves")
            assert REGION not in gate.served
            taken(gate, gate.config)
            eventually(lambda: gate.served.get(REGION, 0) > 20, "the region serves again")

        observed = gate.load(CLIENTS, during=during, **SLOWLY)
        all_answered(observed)
        assert {"eu-central-1", REGION} <= observed.regions.keys()
        acknowledged_in_log(gate, observed)
        assert not log_lines(gate, level="error")


def idle(gate: Gateway) -> bool:
    """Return whether a region got nothing since the last look, and begin to look anew."""
    quiet = gate.served.get(REGION, 0) == 0
    gate.regions.forget()
    return quiet


def lacking(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Return what was rendered before the region was known: no cluster, no place in the allow-list."""
    clusters = bootstrap["static_resources"]["clusters"]
    bootstrap["static_resources"]["clusters"] = [each for each in clusters if each["name"] != REGION]
    for tree in find_all(bootstrap, "exact_match_map"):
        tree["exact_match_map"]["map"].pop(REGION, None)
    assert REGION not in yaml.safe_dump(bootstrap["static_resources"]["clusters"])
    return bootstrap


@pytest.mark.parametrize("style", ["matcher", "cluster_header"])
def test_in_the_wrong_order_requests_are_refused_and_none_goes_elsewhere(tmp_path: Path, style: str) -> None:
    """The configuration names a region that Envoy lacks, because it came first, or because Envoy's went first."""
    with small_gate(tmp_path, patch=lacking, options=["--route-style", style], **NEARER) as gate:
        refused = gate.load([GERMAN], count=20)
        assert refused.statuses.keys() == {503}, refused.statuses
        assert gate.served == {}
        others = gate.load([AMERICAN, EMIRATI], count=20)
        assert others.statuses.keys() == {200}
        taken(gate, without(gate.config, REGION))
        served = gate.load([GERMAN], count=20)
        assert served.statuses.keys() == {200}
        assert set(gate.served) <= REGIONS.keys() - {REGION}
