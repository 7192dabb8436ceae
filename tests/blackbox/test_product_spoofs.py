"""The whole product against clients that lie about the decision or about their address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost_envoy import RouteStyle, Via
from support.client import Header
from support.clients import AMERICAN, BRAZILIAN, GERMAN, GERMAN_V6, IRANIAN, STRANGER, UNION, Client
from support.gateway import Gateway, gateway

pytestmark = pytest.mark.blackbox

LIES = {
    "a cluster": [("x-borderpost-cluster", "us-east-1")],
    "oddly cased": [("X-BorderPost-CLUSTER", "us-east-1")],
    "twice": [("x-borderpost-cluster", "us-east-1"), ("x-borderpost-cluster", "eu-central-1")],
    "twice, oddly cased": [("x-borderpost-cluster", "us-east-1"), ("X-Borderpost-Cluster", "us-east-1")],
    "underscores": [("x_borderpost_cluster", "us-east-1"), ("x-borderpost_cluster", "us-east-1")],
    "joined by a comma": [("x-borderpost-cluster", "us-east-1,us-east-1")],
    "no UTF-8": [("x-borderpost-cluster", b"us-east-1\xff"), ("x-borderpost-cluster", "us-east-1")],
    "empty": [("x-borderpost-cluster", "")],
    "an unknown cluster": [("x-borderpost-cluster", "nowhere")],
    "our own cluster": [("x-borderpost-cluster", "borderpost")],
    "a client": [("x-borderpost-client", AMERICAN.address), ("X-BORDERPOST-CLIENT", AMERICAN.address)],
    "a purpose": [("x-purpose", "research")],
    "a purpose that makes no sense": [("x-purpose", "a b"), ("x-purpose", b"\xff")],
    "all our names": [
        *(("x-borderpost-decision", "f" * 32), ("x-borderpost-region", "us-east-1")),
        *(("x-borderpost-jurisdiction", "US"), ("x-borderpost-rule", "us-general"), ("x-borderpost-", "us-east-1")),
    ],
    "Envoy's names": [
        *(("x-envoy-external-address", AMERICAN.address), ("x-envoy-internal", "true")),
        *(("x-envoy-retry-on", "5xx"), ("x-envoy-original-path", "/"), ("x-envoy-decorator-operation", "us-east-1")),
    ],
    "other proxies' names": [
        *(("x-real-ip", AMERICAN.address), ("true-client-ip", AMERICAN.address), ("via", "1.1 us-east-1")),
        *(("forwarded", f"for={AMERICAN.address}"), ("cf-connecting-ip", AMERICAN.address)),
    ],
}
"""What a client in Germany might add to be served in the United States."""

CHAINS: dict[str, tuple[list[Header], int]] = {
    "an American address in front": ([("x-forwarded-for", f"{AMERICAN.address}, {GERMAN.address}")], 200),
    "many in front": ([("x-forwarded-for", ", ".join([AMERICAN.address] * 500 + [GERMAN.address]))], 200),
    "in two lines": ([("x-forwarded-for", AMERICAN.address), ("X-Forwarded-For", GERMAN.address)], 200),
    "garbage in front": ([("x-forwarded-for", f"<script>, \xff, 999.9.9.9, {GERMAN.address}")], 200),
    "garbage": ([("x-forwarded-for", "not-an-address")], 403),
    "garbage at the end": ([("x-forwarded-for", f"{AMERICAN.address}, garbage-at-the-end")], 403),
    "nothing but commas": ([("x-forwarded-for", ",,,")], 403),
    "an empty line": ([("x-forwarded-for", "")], 403),
    "no line": ([], 403),
    "an address with leading zeros": ([("x-forwarded-for", "012.000.000.001")], 403),
    "an address in hexadecimal": ([("x-forwarded-for", "0x0c000001")], 403),
    "a private address": ([("x-forwarded-for", f"{AMERICAN.address}, 10.1.2.3")], 403),
    "loopback": ([("x-forwarded-for", f"{AMERICAN.address}, ::1")], 403),
}
"""What follows or stands in x-forwarded-for, of which the last entry alone is the trusted hop's."""


@pytest.fixture(scope="module", params=list(Via))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("spoofs"), via=request.param) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    shared.reset()
    return shared


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lie_about_the_decision_changes_nothing(gate: Gateway, lie: list[Header]) -> None:
    plain, lied = gate.send(GERMAN), gate.send(GERMAN, lie)
    assert (lied.status, lied.region) == (plain.status, plain.region) == (200, "eu-central-1")
    assert lied.reply.all("x-borderpost-region") == ["eu-central-1"]
    assert gate.record(lied)["out"] == gate.record(plain)["out"]
    assert gate.record(lied)["jur"] == gate.record(plain)["jur"]
    assert "purpose" not in gate.record(lied), "nobody trusts that header here"
    refused = [gate.send(client, lie) for client in (IRANIAN, STRANGER)]
    assert [one.status for one in refused] == [451, 403]
    assert {gate.record(one)["out"]["action"] for one in refused} == {"refuse"}
    assert gate.served == {"eu-central-1": 2} == gate.routed()


@pytest.mark.parametrize(("chain", "status"), CHAINS.values(), ids=CHAINS.keys())
def test_only_the_trusted_hop_tells_the_address(gate: Gateway, chain: list[Header], status: int) -> None:
    asked = gate.send(None, chain, legal=UNION if status == 200 else ())
    assert asked.status == status
    places = [piece["val"] for piece in gate.record(asked)["jur"]["evidence"]]
    assert places == (["DE"] if status == 200 else [])
    assert gate.served == gate.routed() == ({"eu-central-1": 1} if status == 200 else {})


@pytest.mark.parametrize("client", [GERMAN_V6, BRAZILIAN, AMERICAN], ids=["IPv6", "Brazil", "United States"])
def test_who_does_not_lie_is_served(gate: Gateway, client: Client) -> None:
    asked = gate.send(client)
    assert asked.status == 200
    assert asked.region in client.legal
    assert gate.served == {asked.region: 1} == gate.routed()


def test_region_sees_nothing_of_the_decision(gate: Gateway) -> None:
    gate.send(GERMAN, [("x-borderpost-anything", "1")])
    (seen,) = gate.regions["eu-central-1"].seen
    assert [name for name, _ in seen.headers if "borderpost" in name] == []


def test_the_other_route_style_holds_too(tmp_path: Path) -> None:
    """With `cluster_header` Envoy knows more clusters than regions, ours among them; the client still has no say."""
    options = ("--route-style", RouteStyle.CLUSTER_HEADER.value)
    with gateway(tmp_path, options=options) as gate:
        for lie in LIES.values():
            assert (gate.send(GERMAN, lie).region, gate.send(IRANIAN, lie).status) == ("eu-central-1", 451)
        assert gate.served == {"eu-central-1": len(LIES)} == gate.routed()
