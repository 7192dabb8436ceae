"""The rendered failover groups on the real Envoy: a retry goes on to the next region, by a group's cluster alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from borderpost_envoy import FailoverCluster, RouteStyle, Via
from support.client import region_of, run_load
from support.upstreams import Behaviour
from support.wiring import Wiring, wired

pytestmark = pytest.mark.blackbox

GROUPS = (FailoverCluster("pair", ("eu-1", "us-1")), FailoverCluster("all", ("us-1", "ae-1", "eu-1")))
FAULTS = {"503": Behaviour(status=503), "reset": Behaviour(reset=True), "gone": None}


@pytest.fixture(
    scope="module",
    params=[(Via.EXT_PROC, RouteStyle.MATCHER), (Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def wiring(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    via, style = request.param
    with wired(tmp_path_factory.mktemp("failover"), via=via, style=style, failover=GROUPS) as wiring:
        yield wiring


@pytest.fixture(autouse=True)
def _fresh(wiring: Wiring) -> None:
    wiring.reset()


def fail(wiring: Wiring, region: str, fault: str) -> None:
    behaviour = FAULTS[fault]
    if behaviour is None:
        wiring.regions.kill(region)
    else:
        wiring.regions.behave(region, behaviour)


def test_the_first_region_serves_while_it_can(wiring: Wiring) -> None:
    wiring.answer(wiring.route("pair", region="eu-1,us-1"))
    for _ in range(20):
        reply = wiring.send()
        assert (reply.status, region_of(reply), reply.all("x-borderpost-region")) == (200, "eu-1", ["eu-1"])
    assert wiring.served == {"eu-1": 20}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_region_serves_what_the_first_does_not(wiring: Wiring, fault: str) -> None:
    fail(wiring, "eu-1", fault)
    wiring.answer(wiring.route("pair", region="eu-1,us-1"))
    reply = wiring.send(body=b'{"prompt": "twice"}', method="POST")
    assert (reply.status, region_of(reply), reply.all("x-borderpost-region")) == (200, "us-1", ["us-1"])
    assert wiring.regions["us-1"].seen[-1].body == b'{"prompt": "twice"}'
    assert wiring.regions["ae-1"].count == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_region_s_own_cluster_is_never_left(wiring: Wiring, fault: str) -> None:
    fail(wiring, "eu-1", fault)
    wiring.answer(wiring.route("eu-1"))
    assert wiring.send().status == 503
    assert wiring.served.keys() <= {"eu-1"}


def test_each_region_of_a_group_is_tried_once_and_no_other(wiring: Wiring) -> None:
    for region in ("eu-1", "us-1", "ae-1"):
        fail(wiring, region, "503")
    wiring.answer(wiring.route("all"))
    assert wiring.send().status == 503
    assert wiring.served == {"us-1": 1, "ae-1": 1, "eu-1": 1}
    wiring.reset()
    fail(wiring, "eu-1", "503")
    fail(wiring, "us-1", "503")
    wiring.answer(wiring.route("pair"))
    assert wiring.send().status == 503
    assert wiring.served == {"eu-1": 1, "us-1": 1}


def test_other_answers_of_an_upstream_are_its_answers(wiring: Wiring) -> None:
    wiring.answer(wiring.route("pair"))
    for status in (400, 429, 500, 502, 504):
        wiring.regions.behave("eu-1", Behaviour(status=status))
        assert wiring.send().status == status
    assert wiring.served == {"eu-1": 5}


def test_a_region_that_falls_over_under_load_fails_over_for_all_at_once(wiring: Wiring) -> None:
    """Envoy's own bound of three retries at a time would refuse most."""
    wiring.regions.behave("eu-1", Behaviour(status=503, delay_s=0.05))
    wiring.answer(wiring.route("pair"))
    observed = run_load(wiring.envoy.port, count=60, concurrency=12, timeout_s=20.0)
    assert observed.statuses == {200: 60}
    assert observed.regions == {"us-1": 60}


def test_a_body_that_envoy_cannot_keep_is_not_sent_twice(wiring: Wiring) -> None:
    """Envoy keeps 1 MiB of a request for a retry; what is longer has one region to be answered by."""
    fail(wiring, "eu-1", "503")
    wiring.answer(wiring.route("pair"))
    assert wiring.send(body=b"x" * (1 << 19)).status == 200
    assert wiring.send(body=b"x" * (2 << 20)).status == 503
    assert wiring.served == {"eu-1": 2, "us-1": 1}


def test_a_client_cannot_ask_for_more_retries(wiring: Wiring) -> None:
    fail(wiring, "eu-1", "503")
    wiring.answer(wiring.route("eu-1"))
    asked = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9"), ("x-borderpost-cluster", "pair")]
    assert wiring.send(asked).status == 503
    assert wiring.served == {"eu-1": 1}
