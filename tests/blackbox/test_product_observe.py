"""Observed routes on the real Envoy: whatever is wrong with us, their requests reach where they went before."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from borderpost.demo.stage import Asked
from borderpost_base.names import CLIENT_HEADER, CLUSTER_HEADER, REGION_HEADER
from borderpost_envoy import Via
from support.clients import ALL, GERMAN, IRANIAN
from support.gateway import Gateway, alive, eventually, gateway
from support.upstreams import Behaviour

pytestmark = pytest.mark.blackbox

OWN = "us-east-1"
"""Where the observed route leads, whatever the law says."""
ROUTES = ("--observe", "chat=/v1/chat/", "--route", "rest=/")
OBSERVING: dict[str, Any] = {
    "routes": {"chat": {}, "rest": {}},
    "observe": {"routes": {"chat": {"region": OWN}}},
}
QUICK_S = 2.0
"""A request that waited for us would take the message timeout, three seconds."""


@pytest.fixture(scope="module", params=[(Via.EXT_PROC, "wire"), (Via.EXT_AUTHZ, "grpcio")], ids=str)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    via, engine = request.param
    directory = tmp_path_factory.mktemp("observe")
    with gateway(directory, via=via, options=ROUTES, server={"engine": engine}, **OBSERVING) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    settled = -1
    while settled != (settled := len(shared.decisions())):
        time.sleep(0.1)  # records of the test before may still be on their way: nobody waited for them
    shared.reset()
    return shared


def watched(gate: Gateway, client: Any = GERMAN, **how: Any) -> tuple[Asked, float]:
    """Send a request on the observed route; return its answer and how long that took, seconds."""
    began_s = time.monotonic()
    asked = gate.send(client, legal=ALL, path="/v1/chat/completions", **how)
    return asked, time.monotonic() - began_s


def enforced(gate: Gateway, client: Any = GERMAN, **how: Any) -> Asked:
    return gate.send(client, path="/v1/embeddings", **how)


def observed(gate: Gateway) -> list[dict[str, Any]]:
    return [record for record in gate.decisions() if record["mode"] == "observe"]


def test_observed_requests_go_on_and_each_has_one_record(gate: Gateway) -> None:
    for client in (GERMAN, IRANIAN):
        for _ in range(3):
            asked, _ = watched(gate, client)
            assert (asked.reply.status, asked.region, asked.decision) == (200, OWN, None)
    assert enforced(gate).region == "eu-central-1"
    assert enforced(gate, IRANIAN).reply.status == 451
    eventually(lambda: len(observed(gate)) == 6, "one record a request")
    assert gate.served == {OWN: 6, "eu-central-1": 1}
    outs = [(record["out"]["action"], record["observed"]["r"]) for record in observed(gate)]
    assert sorted(outs) == [("refuse", OWN)] * 3 + [("route", OWN)] * 3
    assert all(record["via"] == "ext_proc" for record in observed(gate))
    assert {record["observed"]["cluster"] for record in observed(gate)} == {OWN}
    assert all("unlawful" in record["observed"] for record in observed(gate))
    assert gate.metric("borderpost_observed_routes") == 1
    eventually(lambda: gate.metric("borderpost_observed_total", outcome="moved_by_law") >= 3, "counted")
    assert gate.metric("borderpost_misplaced_total") == 0


def test_what_is_observed_is_said_where_people_look(gate: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.logged("BP1440") >= 1
    status, text = gate.service.admin("/readyz")
    assert (status, "warning: routes/enforced: no law is kept on `chat`" in text) == (200, True)
    assert main(["check-config", "--config", str(gate.config_file)]) == 0
    assert "BP1440" in capsys.readouterr().err
    watched(gate)
    eventually(lambda: bool(observed(gate)), "on record")
    record = observed(gate)[0]
    decision = f"{record['epoch']}{record['seq']:012x}"
    assert main(["explain", "--json", "--log", str(gate.audit), decision]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["observed"]["r"] == OWN
    assert "the route is observed" in told["notes"][0] and "DIFFERS" not in str(told["notes"])


SPOOFS = ((CLUSTER_HEADER, "eu-west-1"), (REGION_HEADER, "eu-west-1"), (CLIENT_HEADER, "203.0.113.77"))


@pytest.mark.parametrize("spoof", SPOOFS, ids=[name for name, _ in SPOOFS])
def test_spoofed_headers_move_nothing_and_reach_nobody(gate: Gateway, spoof: tuple[str, str]) -> None:
    asked, _ = watched(gate, headers=[spoof])
    assert asked.region == OWN
    (seen,) = gate.regions[OWN].seen
    assert not [name for name, _ in seen.headers if name.startswith("x-borderpost-")]


def test_bodies_and_slow_or_failing_upstreams_of_ones_own_pass_as_they_are(gate: Gateway) -> None:
    asked, _ = watched(gate, method="POST", body=b"x" * 300_000)
    assert (asked.reply.status, asked.region) == (200, OWN)
    gate.regions.behave(OWN, Behaviour(status=503))
    assert watched(gate)[0].reply.status == 503
    assert gate.served == {OWN: 2}, "no retry of ours"


def test_a_stopped_worker_holds_up_nobody_on_an_observed_route(gate: Gateway) -> None:
    watched(gate)
    eventually(lambda: len(observed(gate)) == 1, "recorded")
    pids = list(gate.worker_pids().values())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            asked, took_s = watched(gate)
            assert (asked.region, took_s < QUICK_S) == (OWN, True)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: len(observed(gate)) == 4, "recorded once it goes on")


@pytest.mark.full
def test_without_us_observed_requests_go_on_and_enforced_ones_are_refused(tmp_path: Path) -> None:
    with gateway(tmp_path, options=ROUTES, **OBSERVING) as gate:
        asked, _ = watched(gate)
        assert asked.region == OWN
        eventually(lambda: len(observed(gate)) == 1, "recorded")
        pids = list(gate.worker_pids().values())
        gate.kill_service()
        assert not any(map(alive, pids))
        for _ in range(2):
            asked, took_s = watched(gate)
            assert (asked.reply.status, asked.region, took_s < QUICK_S) == (200, OWN, True)
            assert enforced(gate).reply.status == 503
        for socket in (tmp_path / gate.config["server"]["directory"]).glob("*.sock"):
            socket.unlink()
        assert watched(gate)[0].region == OWN
        assert enforced(gate).reply.status == 503
        gate.start_service()
        eventually(lambda: watched(gate)[0].region == OWN and len(observed(gate)) > 1, "observed again")


@pytest.mark.full
def test_envoy_and_configuration_that_disagree_are_an_alarm(tmp_path: Path) -> None:
    with gateway(tmp_path, options=ROUTES, **OBSERVING) as gate:
        enforcing = {**gate.config, "observe": {"routes": {}}}
        gate.reload(enforcing)
        eventually(
            lambda: watched(gate)[0].region == OWN and gate.metric("borderpost_misplaced_total", how="unenforced") > 0,
            "an alarm",
        )
        assert gate.logged("BP1443") == 1
        assert any(record["observed"].get("unenforced") for record in observed(gate))
        gate.reload({**gate.config, "observe": {"routes": {"rest": {}}}})
        eventually(lambda: enforced(gate).reply.status == 503, "refused")
        assert gate.logged("BP1444") >= 1
        gate.reload(gate.config)
        eventually(lambda: enforced(gate).region == "eu-central-1", "in order again")
        assert gate.metric("borderpost_observed_routes") == 1
