"""The whole product when regions fail: a retry stays in its region, failover stays in the law, else it is refused."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.children import free_port
from borderpost_envoy import Via
from support.borderpost_process import merged
from support.certificates import CertificateAuthority
from support.clients import AMERICAN, EMIRATI, GERMAN, NOWHERE, UNION
from support.envoy_process import patched
from support.gateway import Gateway, eventually, gateway
from support.upstreams import Behaviour

pytestmark = pytest.mark.blackbox


@pytest.fixture(scope="module", params=list(Via))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one worker, in which the first region has a second endpoint, and nobody listens there."""
    options = ("--upstream", f"eu-central-1=127.0.0.1:{free_port()}")
    directory = tmp_path_factory.mktemp("regions")
    with gateway(directory, via=request.param, options=options, server={"workers": 1}) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    shared.reset()
    return shared


def test_retry_stays_in_the_region(gate: Gateway) -> None:
    assert {gate.send(GERMAN).region for _ in range(20)} == {"eu-central-1"}
    assert gate.served == {"eu-central-1": 20} == gate.routed()
    assert sum(gate.envoy.stats("cluster.eu-central-1.upstream_rq_retry$").values()) > 0


@pytest.mark.parametrize(
    "behaviour", [Behaviour(status=503), Behaviour(status=500), Behaviour(reset=True)], ids=["503", "500", "reset"]
)
def test_failing_region_is_not_replaced(gate: Gateway, behaviour: Behaviour) -> None:
    """The client is told; by what a region answers, nothing is sent to another one."""
    gate.regions.behave("eu-central-1", behaviour)
    steering = [
        ("x-envoy-retry-on", "5xx,reset"),
        ("x-envoy-max-retries", "5"),
        ("x-envoy-hedge-on-per-try-timeout", "1"),
    ]
    asked = gate.send(GERMAN, steering)
    assert asked.status == (behaviour.status if behaviour.status != 200 else 503)
    assert gate.served == {"eu-central-1": 1} == gate.routed()


def test_redirect_is_passed_on_not_followed(gate: Gateway) -> None:
    elsewhere = f"http://127.0.0.1:{gate.regions.ports['us-east-1']}/v1/chat/completions"
    gate.regions.behave("eu-central-1", Behaviour(status=307, headers=(("location", elsewhere),)))
    asked = gate.send(GERMAN)
    assert (asked.status, asked.reply.header("location")) == (307, elsewhere)
    assert gate.served == {"eu-central-1": 1} == gate.routed()


def test_cluster_that_envoy_does_not_know(gate: Gateway) -> None:
    """Borderpost and Envoy disagree after a change on one side: refused, not sent to whatever is left."""
    for name in ("nowhere", "borderpost", "eu-central-1,us-east-1", "EU-CENTRAL-1", "*"):
        clusters = {"eu-central-1": {"cluster": name}, "eu-west-1": {"cluster": f"{name}-2"}}
        gate.reload(merged(gate.config, {"regions": clusters}))
        eventually(lambda name=name: _cluster_told(gate) == name, f"cluster `{name}`")  # type: ignore[misc]
        gate.reset()
        asked = gate.send(GERMAN, legal=NOWHERE)
        assert asked.status == 503
        assert [record["out"]["cluster"] for record in gate.decisions()] == [name]
        assert gate.served == {}
    gate.reload(gate.config)
    eventually(lambda: gate.send(GERMAN).region == "eu-central-1", "both agree again")


def _cluster_told(gate: Gateway) -> Any:
    """Return the cluster that Borderpost names to Envoy just now, from the log."""
    gate.reset()
    gate.send(GERMAN)
    (record,) = gate.decisions()
    return record["out"]["cluster"]


@pytest.mark.parametrize("via", list(Via))
def test_internal_redirect_where_someone_allows_it_asks_again(tmp_path: Path, via: Via) -> None:
    """An operator's mistake: each hop is a decision of its own.

    Envoy 1.40 has by then appended the trusted hop to x-forwarded-for, so the hop counts as the client from the
    second decision on. Here it has no place and is refused; a certificate still proves what it proved before.
    """
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("gateway", dns=("localhost",))
    plain = ssl.create_default_context(cafile=str(authority.path))
    proven = ssl.create_default_context(cafile=str(authority.path))
    proven.load_cert_chain(*authority.issue("client", uris=("spiffe://example/residency/DE",)))

    def spoil(rendered: dict[str, Any]) -> dict[str, Any]:
        policy = {"max_internal_redirects": 2, "redirect_response_codes": [302]}
        return patched(rendered, internal_redirect_policy=policy)

    options = ("--tls", str(certificate), str(key), "--client-ca", str(authority.path))
    evidence = {"mtls": {"san_prefix": "spiffe://example/residency/"}}
    with gateway(tmp_path, via=via, patch=spoil, evidence=evidence, options=options) as gate:
        again = Behaviour(status=302, headers=(("location", "https://any.example/again"),))
        gate.regions.behave("eu-central-1", again)
        assert gate.send(GERMAN, method="GET", body=b"", tls=plain).status == 403
        assert gate.served == {"eu-central-1": 1} == gate.routed()
        assert len(gate.decisions()) == 2
        gate.reset()
        gate.regions.behave("eu-central-1", again)
        assert gate.send(GERMAN, method="GET", body=b"", tls=proven).status == 302
        assert gate.served == {"eu-central-1": 3} == gate.routed()


@pytest.mark.parametrize("via", list(Via))
def test_failover_stays_inside_the_law(tmp_path: Path, via: Via) -> None:
    probe = {"interval_s": 0.3, "timeout_s": 0.3, "unhealthy_after": 2}
    regions = ("eu-central-1", "eu-west-1", "me-central-1")
    with gateway(tmp_path, via=via, ranking={"probes": dict.fromkeys(regions, probe)}) as gate:
        assert (gate.send(GERMAN).region, gate.send(EMIRATI).region) == ("eu-central-1", "me-central-1")
        gate.regions.kill("eu-central-1")
        eventually(lambda: gate.send(GERMAN).region == "eu-west-1", "the next legal region serves")
        # A region that answers and says of itself that it is not well counts as down, too.
        gate.regions.behave("eu-west-1", Behaviour(healthy=False))
        gate.regions.kill("me-central-1")
        for client in (GERMAN, EMIRATI):
            eventually(lambda client=client: gate.send(client).decision is not None, "refused by us")  # type: ignore[misc]
            eventually(lambda client=client: _nothing_is_up(gate, client), "no legal region is up")  # type: ignore[misc]
        assert gate.send(AMERICAN).region == "us-east-1"
        assert gate.metric("borderpost_region_up", region="eu-west-1") == 0
        gate.regions.revive("eu-central-1")
        gate.regions.behave("eu-west-1", Behaviour())
        gate.regions.revive("me-central-1")
        eventually(lambda: gate.send(GERMAN).region == "eu-central-1", "the first region serves again")
        eventually(lambda: gate.send(EMIRATI).region == "me-central-1", "the only region serves again")
        assert gate.served.keys() == UNION | EMIRATI.legal | {"us-east-1"}


def _nothing_is_up(gate: Gateway, client: Any) -> bool:
    """Say whether a request is refused because all its legal regions are down, and check how that is said."""
    asked = gate.send(client)
    if asked.decision is None or gate.record(asked)["out"].get("code") != "BP0806":
        return False
    assert asked.status == 503
    assert asked.reply.all("retry-after") == ["5"]
    assert {row.get("why") for row in gate.record(asked)["cand"]} == {"down"}
    return True
