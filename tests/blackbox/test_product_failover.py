"""The whole product with failover groups: a retry leaves a region only where the law lets this request go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import parse_stamp
from borderpost.audit.reader import read_log
from borderpost.foresight.rederivation import Rederivation
from borderpost.recorded_decision import facts_of
from borderpost_base.world import World
from borderpost_envoy import Via
from support.clients import AMERICAN, FRENCH, GERMAN
from support.gateway import Gateway, eventually, gateway
from support.upstreams import Behaviour

pytestmark = pytest.mark.blackbox

GROUPS = {
    "union": {"regions": ["eu-central-1", "eu-west-1"]},
    "french": {"regions": ["eu-west-1", "eu-central-1"]},
    "atlantic": {"regions": ["us-east-1", "eu-west-1"], "cluster": "us-then-eu"},
    "narrow": {"regions": ["eu-central-1", "us-east-1"]},
}
"""A German may be in both regions of `union` and never in the second of `narrow`."""
AHEAD_S = 2.0
AFTER_S = 1.0


def suspension(name: str, region: str, starts: datetime) -> dict[str, Any]:
    return {
        "id": name, "type": "region_suspend", "scope": {"regions": [region]}, "effective_from": stamp(starts),
        "recorded_at": stamp(datetime.now(UTC)), "source": "Test authority", "reason": "No such order exists",
    }  # fmt: skip


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture(scope="module", params=[Via.EXT_PROC, pytest.param(Via.EXT_AUTHZ, marks=pytest.mark.slow)])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("failover"), via=request.param, failover=GROUPS) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    shared.reset()
    return shared


@pytest.mark.parametrize("behaviour", [Behaviour(status=503), Behaviour(reset=True)], ids=["503", "reset"])
def test_a_request_goes_on_where_it_may_and_nowhere_else(gate: Gateway, behaviour: Behaviour) -> None:
    for region in ("eu-central-1", "us-east-1"):
        gate.regions.behave(region, behaviour)
    german, american, french = gate.send(GERMAN), gate.send(AMERICAN), gate.send(FRENCH)
    assert [asked.region for asked in (german, american, french)] == ["eu-west-1"] * 3
    outs = [gate.record(asked)["out"] for asked in (german, american, french)]
    assert [out["cluster"] for out in outs] == ["union", "us-then-eu", "french"]
    assert [out["r"] for out in outs] == ["eu-central-1", "us-east-1", "eu-west-1"]
    assert [leaf["r"] for out in outs for leaf in out["then"]] == ["eu-west-1", "eu-west-1", "eu-central-1"]
    assert gate.served == {"eu-central-1": 1, "us-east-1": 1, "eu-west-1": 3}


def test_a_retry_stays_out_of_a_region_that_the_law_closed_under_load(gate: Gateway) -> None:
    """The second region is suspended while the first fails; what counts is the instant that each record names."""
    gate.regions.behave("eu-central-1", Behaviour(status=503))
    starts = datetime.now(UTC) + timedelta(seconds=AHEAD_S)
    gate.write_events(suspension("order-1", "eu-west-1", starts))
    observed = gate.load([GERMAN], seconds=AHEAD_S + AFTER_S, concurrency=4)
    assert observed.statuses.keys() == {200, 503}
    told = [(record["ts"], record["out"]) for record in gate.decisions()]
    assert {(out["r"], out["cluster"]) for at, out in told if at < stamp(starts)} == {("eu-central-1", "union")}
    after = [out for at, out in told if at >= stamp(starts)]
    assert {(out["r"], out["cluster"], "then" in out) for out in after} == {("eu-central-1", "eu-central-1", False)}
    before = len(told) - len(after)
    assert min(before, len(after)) > 20
    # Each retry belongs to a decision of before; at most those under way at the instant came after it.
    assert gate.regions.counts["eu-west-1"] == before == observed.statuses[200]
    asked = gate.send(GERMAN)
    assert (asked.status, gate.served.keys()) == (503, {"eu-central-1", "eu-west-1"})
    assert gate.regions.counts["eu-west-1"] == before


def test_a_region_that_is_down_takes_its_groups_with_it(gate: Gateway) -> None:
    assert gate.record(gate.send(AMERICAN))["out"]["cluster"] == "us-east-1"  # its second region was suspended above


def test_every_decision_comes_out_again_as_recorded(gate: Gateway) -> None:
    check = Rederivation(InputStore(gate.audit, World()))
    for located in read_log(gate.audit):
        if located.record["type"] == "decision":
            check.check(located.record, facts_of(located.record), parse_stamp(located.record["ts"]))
    assert (check.differed, check.underivable) == (0, 0)
    assert check.matched > 40


@pytest.mark.full
def test_a_dead_region_is_left_at_once_and_by_the_next_decision_when_its_probe_says_so(tmp_path: Path) -> None:
    with gateway(tmp_path, failover=GROUPS, ranking={"probes": {"eu-central-1": {"unhealthy_after": 1}}}) as gate:
        assert gate.send(GERMAN).region == "eu-central-1"
        gate.regions.kill("eu-central-1")
        asked = gate.send(GERMAN)
        assert (asked.status, asked.region) == (200, "eu-west-1")
        eventually(lambda: gate.record(gate.send(GERMAN))["out"]["cluster"] == "eu-west-1", "the probe saw it")


@pytest.mark.full
def test_groups_come_and_go_by_reload_under_load(tmp_path: Path) -> None:
    """Envoy has their clusters first and loses them last; in between no request fails."""
    with gateway(tmp_path, failover=GROUPS) as gate:
        without = {key: value for key, value in gate.config.items() if key != "failover"}

        def cluster() -> str:
            told: str = gate.record(gate.send(GERMAN))["out"]["cluster"]
            return told

        def change() -> None:
            for config, wanted in ((without, "eu-central-1"), (gate.config, "union")):
                gate.reload(config)
                eventually(lambda wanted=wanted: cluster() == wanted, wanted)  # type: ignore[misc]

        assert cluster() == "union"
        observed = gate.load([GERMAN], concurrency=2, during=change, pause_s=0.02)
        assert observed.statuses.keys() == {200}
        assert {record["out"]["cluster"] for record in gate.decisions()} == {"union", "eu-central-1"}
