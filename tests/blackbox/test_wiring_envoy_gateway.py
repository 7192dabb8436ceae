"""What Envoy Gateway delivers of our objects, on the real Envoy: nothing is routed that was not answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from borderpost_base.names import CLUSTER_HEADER
from borderpost_envoy.doctor import Expected, examine, read_admin, read_configuration
from support.client import region_of, run_load
from support.envoy_gateway import gateway_wiring, recorded
from support.stub_processor import Act, Crash, EndCleanly, Fail, Hang, Say, refuse, route_to
from support.upstreams import Behaviour
from support.wiring import DECISION, HEADERS_READ, Wiring, address_told, headers_told

pytestmark = pytest.mark.blackbox

SPOOFS = {
    "plain": [("x-borderpost-cluster", "us-1")],
    "odd case": [("X-BorderPost-CLUSTER", "us-1")],
    "twice": [("x-borderpost-cluster", "us-1"), ("x-borderpost-cluster", "eu-1")],
    "underscores": [("x_borderpost_cluster", "us-1")],
    "Envoy's own": [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3"), ("x-envoy-internal", "true")],
}
FAILURES: dict[str, Act] = {
    "clean end": EndCleanly(),
    "internal": Fail(grpc.StatusCode.INTERNAL),
    "unavailable": Fail(grpc.StatusCode.UNAVAILABLE),
    "crash": Crash(),
    "no answer in time": Hang(),
}


@pytest.fixture(scope="module", params=["patched", "unpatched"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    with gateway_wiring(tmp_path_factory.mktemp("gateway"), request.param) as wiring:
        yield wiring


@pytest.fixture
def wiring(shared: Wiring) -> Wiring:
    shared.reset()
    return shared


@pytest.fixture(scope="module")
def patched_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    with gateway_wiring(tmp_path_factory.mktemp("gateway"), "patched") as wiring:
        yield wiring


def to(cluster: str, region: str = "") -> Say:
    """Return the answer that names a cluster, as a worker gives it."""
    return route_to(cluster, metadata={"decision": DECISION, "region": region or cluster}, clear=True)


def test_goes_where_the_answer_says_and_tells_it_to_the_caller_alone(wiring: Wiring) -> None:
    for region in ("eu-1", "us-1", "ae-1"):
        wiring.answer(to(region))
        reply = wiring.send([("x-borderpost-foo", "bar")])
        assert (reply.status, region_of(reply)) == (200, region)
        assert reply.all("x-borderpost-decision") == [DECISION]
        assert reply.all("x-borderpost-region") == [region]
        seen = wiring.regions[region].seen[-1]
        assert not [name for name, _ in seen.headers if name.startswith("x-borderpost-")]
    assert wiring.served == {"eu-1": 1, "us-1": 1, "ae-1": 1}


@pytest.mark.parametrize("spoof", SPOOFS.values(), ids=SPOOFS.keys())
def test_a_client_s_word_on_it_counts_for_nothing(wiring: Wiring, spoof: list[tuple[str, str]]) -> None:
    wiring.answer(to("eu-1"))
    assert region_of(wiring.send(spoof)) == "eu-1"
    wiring.answer(EndCleanly())
    assert wiring.send(spoof).status == 503
    assert wiring.served == {"eu-1": 1}


@pytest.mark.parametrize("act", FAILURES.values(), ids=FAILURES.keys())
def test_no_answer_no_route(wiring: Wiring, act: Act) -> None:
    wiring.answer(act)
    assert wiring.send(SPOOFS["plain"]).status in (503, 504)
    assert wiring.served == {}


@pytest.mark.parametrize("cluster", ["nowhere", "", "eu-1,us-1", "EU-1", "*", "borderpost-region-us-1"])
def test_a_name_without_a_rule_leads_nowhere(wiring: Wiring, cluster: str) -> None:
    wiring.answer(to(cluster))
    assert wiring.send().status == 503
    assert wiring.served == {}


def test_borderpost_gone(wiring: Wiring) -> None:
    wiring.stub.stop()
    try:
        assert wiring.send(SPOOFS["plain"]).status == 503
        assert wiring.served == {}
    finally:
        wiring.stub.start()


def test_a_refusal_is_the_answer(wiring: Wiring) -> None:
    wiring.answer(refuse(451))
    assert wiring.send().status == 451
    assert wiring.served == {}


def test_the_client_s_address_is_the_trusted_hop_s(wiring: Wiring) -> None:
    wiring.answer(to("eu-1"))
    wiring.send([("x-forwarded-for", "8.8.8.8, 9.9.9.9, 203.0.113.7")])
    wiring.send()
    assert [address_told(request) for request in wiring.stub.requests] == ["203.0.113.7", "127.0.0.1"]


@pytest.mark.parametrize(
    "behaviour", [Behaviour(status=503), Behaviour(reset=True), None], ids=["503", "reset", "gone"]
)
def test_a_retry_leaves_a_region_by_a_group_alone(wiring: Wiring, behaviour: Behaviour | None) -> None:
    if behaviour is None:
        wiring.regions.kill("eu-1")
    else:
        wiring.regions.behave("eu-1", behaviour)
    wiring.answer(to("eu-1"))
    assert wiring.send().status == 503
    assert wiring.served.keys() <= {"eu-1"}
    wiring.answer(to("pair", "eu-1,us-1"))
    reply = wiring.send(body=b"x" * 500_000)
    assert (reply.status, region_of(reply), wiring.regions["ae-1"].count) == (200, "us-1", 0)
    wiring.regions.behave("us-1", Behaviour(status=503))
    assert wiring.send().status == 503
    assert wiring.regions["ae-1"].count == 0


def test_a_group_under_load(wiring: Wiring) -> None:
    wiring.regions.behave("eu-1", Behaviour(status=503, delay_s=0.05))
    wiring.answer(to("pair"))
    observed = run_load(wiring.envoy.port, count=60, concurrency=12, timeout_s=20.0)
    assert (observed.statuses, observed.regions) == ({200: 60}, {"us-1": 60})


def test_with_the_patches_only_what_the_evidence_needs_is_sent(patched_gateway: Wiring) -> None:
    patched_gateway.reset()
    patched_gateway.answer(to("eu-1"))
    patched_gateway.send([("x-data-class", "health"), ("authorization", "Bearer secret"), ("cookie", "secret")])
    (request,) = patched_gateway.stub.requests
    assert set(headers_told(request)) <= set(HEADERS_READ)
    assert b"secret" not in request.SerializeToString()


@pytest.mark.parametrize("header", ["x-forwarded-for", ":path", "authorization", "x-cluster"])
def test_with_the_patches_an_answer_that_sets_another_header_is_an_error(patched_gateway: Wiring, header: str) -> None:
    patched_gateway.reset()
    answer = to("eu-1")
    option = answer.messages[0].request_headers.response.header_mutation.set_headers.add()
    option.header.key, option.header.raw_value = header, b"/x"
    patched_gateway.answer(answer)
    assert patched_gateway.send().status == 503
    assert patched_gateway.served == {}


def test_the_doctor_finds_nothing_on_what_runs(patched_gateway: Wiring) -> None:
    expected = Expected(
        regions={region: region for region in patched_gateway.regions.ports},
        groups={"pair": frozenset({"eu-1", "us-1"})},
        servers=frozenset({str(patched_gateway.stub.socket)}),
    )
    delivered = read_configuration(read_admin(f"127.0.0.1:{patched_gateway.envoy.admin_port}"))
    assert examine(delivered, expected) == []


def test_the_patches_change_what_they_say_and_nothing_else() -> None:
    found = {variant: recorded(variant) for variant in ("patched", "unpatched")}  # type: ignore[arg-type]
    changed = dict(_differences(found["unpatched"], found["patched"], ()))
    keys = {path[-1]: value for path, value in changed.items()}
    settings = {"disabled", "mutationRules", "forwardRules", "routeCacheAction", "statPrefix", "skipEnvoyHeaders"}
    assert keys.keys() == settings | {"upgradeConfigs"}
    assert (keys["disabled"], keys["upgradeConfigs"]) == (None, None)  # gone
    assert keys["mutationRules"]["disallowAll"] is keys["mutationRules"]["disallowIsError"] is True
    assert CLUSTER_HEADER.startswith("x-borderpost-") and "x-borderpost-.*" in json.dumps(keys["mutationRules"])


def _differences(before: Any, after: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            if key not in before or key not in after:
                yield (*path, key), after.get(key)
            else:
                yield from _differences(before[key], after[key], (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, (*path, index))
    elif before != after:
        yield path, after
