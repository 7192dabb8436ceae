"""The rendered wiring of an observed route, against a processor that does whatever it should not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost_envoy import OwnRoute, RoutePlan, Via
from borderpost_proto import ext_proc_pb2 as proc
from support.stub_processor import Act, Crash, EndCleanly, Fail, Hang, Say, refuse, route_to
from support.wiring import Wiring, wired

pytestmark = pytest.mark.blackbox

OWN = "us-1"
QUICK_S = 2.0
"""Less than the message timeout, which a request that waited for an answer would take."""
ROUTES: dict[str, Any] = {
    "routes": (RoutePlan("rest"),), "observed": (OwnRoute("chat", "/chat", OWN),), "message_timeout_ms": 3000,
}  # fmt: skip
ACTS: dict[str, Act] = {
    "routes": route_to("eu-1"),
    "refuses": refuse(451),
    "says nothing": Say((proc.ProcessingResponse(),)),
    "says much": Say((proc.ProcessingResponse(),) * 3),
    "ends": EndCleanly(),
    "fails": Fail(),
    "crashes": Crash(),
    "hangs": Hang(),
}


@pytest.fixture(scope="module", params=list(Via), ids=str)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    with wired(tmp_path_factory.mktemp("wiring"), via=request.param, **ROUTES) as wiring:
        yield wiring


def quick(wiring: Wiring, **how: Any) -> bool:
    """Send a request on the observed route; say whether it was served where it always was, at once."""
    began_s = time.monotonic()
    reply = wiring.send(path="/chat/completions", **how)
    return reply.status == 200 and time.monotonic() - began_s < QUICK_S


@pytest.mark.parametrize("act", list(ACTS.values()), ids=list(ACTS))
def test_whatever_the_processor_does_an_observed_request_goes_on(shared: Wiring, act: Act) -> None:
    shared.reset()
    shared.answer(act)
    assert quick(shared)
    assert quick(shared, method="POST", body=b"x" * 100_000)
    assert shared.served == {OWN: 2}


def test_what_is_enforced_beside_it_stays_enforced(shared: Wiring) -> None:
    def decide(request: Any) -> Act:
        return EndCleanly() if getattr(request, "observability_mode", False) else shared.route("eu-1")

    shared.reset()
    shared.answer(decide)
    assert quick(shared)
    assert shared.send(path="/rest").status == 200
    assert shared.served == {OWN: 1, "eu-1": 1}
    shared.answer(Fail())
    assert shared.send(path="/rest").status == 503
    assert shared.served == {OWN: 1, "eu-1": 1}


def breaker_of_one(bootstrap: dict[str, Any]) -> dict[str, Any]:
    for cluster in bootstrap["static_resources"]["clusters"]:
        if cluster["name"] == "borderpost":
            cluster["circuit_breakers"]["thresholds"][0] |= {"max_requests": 1, "max_connections": 1}
    return bootstrap


def nobody_there(bootstrap: dict[str, Any]) -> dict[str, Any]:
    clusters = bootstrap["static_resources"]["clusters"]
    clusters[:] = [cluster for cluster in clusters if cluster["name"] != "borderpost"]
    return bootstrap


@pytest.mark.parametrize("spoil", [breaker_of_one, nobody_there])
def test_neither_a_full_breaker_nor_a_missing_cluster_of_ours_is_in_the_way(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with wired(tmp_path, patch=spoil, **ROUTES) as wiring:
        wiring.answer(Hang())
        assert [quick(wiring) for _ in range(4)] == [True] * 4
        assert wiring.send(path="/rest").status >= 500
