"""The rendered wiring: what is asked, what is routed, and what nobody can steer."""

from __future__ import annotations

import pytest

from borderpost_base.names import CLIENT_HEADER
from borderpost_envoy import RouteStyle, Via
from support.client import region_of
from support.stub_processor import EndCleanly, Say
from support.upstreams import Behaviour
from support.wiring import DECISION, HEADERS_READ, Wiring, address_told, headers_told

pytestmark = pytest.mark.blackbox

SPOOFS = {
    "plain": [("x-borderpost-cluster", "us-1")],
    "odd case": [("X-BorderPost-CLUSTER", "us-1")],
    "twice": [("x-borderpost-cluster", "us-1"), ("x-borderpost-cluster", "eu-1")],
    "twice, odd case": [("x-borderpost-cluster", "us-1"), ("X-Borderpost-Cluster", "us-1")],
    "underscores": [("x_borderpost_cluster", "us-1"), ("x-borderpost_cluster", "us-1")],
    "folded by comma": [("x-borderpost-cluster", "us-1,us-1")],
    "not UTF-8": [("x-borderpost-cluster", b"us-1"), (b"x-borderpost-cluster", b"\xff\xfe")],
    "all our headers": [("x-borderpost-decision", DECISION), ("x-borderpost-region", "us-1")],
}


def test_goes_where_we_said(wiring: Wiring) -> None:
    wiring.answer(wiring.route("us-1"))
    reply = wiring.send()
    assert (reply.status, region_of(reply)) == (200, "us-1")
    assert wiring.served == {"us-1": 1}
    assert reply.all("x-borderpost-decision") == [DECISION]
    assert reply.all("x-borderpost-region") == ["us-1"]


def test_upstream_sees_nothing_of_the_decision(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.send([("x-borderpost-foo", "bar")])
    seen = wiring.regions["eu-1"].seen[-1]
    assert not [name for name, _ in seen.headers if name.startswith("x-borderpost-")]


def test_asks_with_no_more_than_the_evidence_needs(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.send(
        [
            ("x-data-class", "health"),
            ("X-Data-Class", "personal"),
            ("x-data-residency", b"caf\xc3\xa9\xff"),
            ("authorization", "Bearer secret"),
            ("cookie", "session=secret"),
        ]
    )
    (request,) = wiring.stub.requests
    told = headers_told(request)
    assert told["x-data-class"] == [b"health", b"personal"]
    assert told["x-data-residency"] == [b"caf\xc3\xa9\xff"]
    assert set(told) <= {*HEADERS_READ, CLIENT_HEADER}
    assert b"secret" not in request.SerializeToString()


def test_tells_the_route(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.send()
    (request,) = wiring.stub.requests
    if wiring.via is Via.EXT_PROC:
        attributes = request.attributes["envoy.filters.http.ext_proc"].fields
        assert attributes["xds.route_name"].string_value == "inference"
    else:
        metadata = request.attributes.route_metadata_context.filter_metadata["borderpost"]
        assert metadata.fields["route"].string_value == "inference"


@pytest.mark.parametrize("spoof", SPOOFS.values(), ids=SPOOFS.keys())
def test_spoofed_decision_loses_to_ours(wiring: Wiring, spoof: list[tuple[str, str]]) -> None:
    wiring.answer(wiring.route("eu-1"))
    reply = wiring.send(spoof)
    assert (reply.status, region_of(reply)) == (200, "eu-1")
    assert reply.all("x-borderpost-decision") == [DECISION]
    assert wiring.served == {"eu-1": 1}


@pytest.mark.parametrize("spoof", SPOOFS.values(), ids=SPOOFS.keys())
def test_spoofed_decision_leads_nowhere_without_ours(wiring: Wiring, spoof: list[tuple[str, str]]) -> None:
    """The clean end, after which Envoy goes on as if nobody had been asked, meets a route without a default."""
    wiring.answer(EndCleanly())
    reply = wiring.send(spoof)
    assert reply.status == 503
    assert wiring.served == {}


@pytest.mark.parametrize(
    "cluster", ["nowhere", "", "eu-1,us-1", "EU-1", "eu-1 ", "*", "inference", "borderpost.regions"]
)
def test_unknown_cluster_is_refused(wiring: Wiring, cluster: str) -> None:
    wiring.answer(wiring.route(cluster))
    reply = wiring.send()
    if cluster == "eu-1 ":  # header values lose their outer spaces on the way, where the door trims them
        assert (reply.status, wiring.served) in ((503, {}), (200, {"eu-1": 1}))
        return
    assert reply.status == 503
    assert wiring.served == {}


def test_our_own_cluster_is_no_region(wiring: Wiring) -> None:
    wiring.answer(wiring.route("borderpost"))
    reply = wiring.send()
    assert wiring.served == {}
    if wiring.style is RouteStyle.MATCHER:
        assert reply.status == 503
    else:
        assert region_of(reply) is None


def test_client_address_is_the_trusted_hop_s(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.send([("x-forwarded-for", "203.0.113.7")])
    wiring.send([("x-forwarded-for", "8.8.8.8, 9.9.9.9, 203.0.113.7")])
    wiring.send([("x-forwarded-for", "8.8.8.8"), ("X-Forwarded-For", "203.0.113.7")])
    wiring.send([("x-forwarded-for", "8.8.8.8"), ("x-real-ip", "9.9.9.9"), ("forwarded", "for=9.9.9.9")])
    wiring.send([("x-forwarded-for", "2001:db8::1")])
    wiring.send([("x-forwarded-for", "not an address")])
    wiring.send([("x-borderpost-client", "9.9.9.9"), ("X-Borderpost-Client", "8.8.8.8")])
    assert [address_told(request) for request in wiring.stub.requests] == [
        "203.0.113.7",
        "203.0.113.7",
        "203.0.113.7",
        "8.8.8.8",
        "2001:db8::1",
        "127.0.0.1",
        "127.0.0.1",
    ]
    seen = wiring.regions["eu-1"].seen[-1]
    assert not [name for name, _ in seen.headers if name.startswith("x-borderpost-")]


def test_client_cannot_steer_retries_or_timeouts(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.regions.behave("eu-1", Behaviour(status=503))
    reply = wiring.send([("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3"), ("x-envoy-internal", "true")])
    assert reply.status == 503
    assert wiring.served == {"eu-1": 1}
    assert not [name for name, _ in wiring.regions["eu-1"].seen[-1].headers if name.startswith("x-envoy-retry")]


def test_redirect_is_passed_on_not_followed(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    elsewhere = f"http://127.0.0.1:{wiring.regions.ports['us-1']}/v1/chat/completions"
    wiring.regions.behave("eu-1", Behaviour(status=307, headers=(("location", elsewhere),)))
    reply = wiring.send()
    assert (reply.status, reply.header("location")) == (307, elsewhere)
    assert wiring.served == {"eu-1": 1}


def test_upstream_cannot_forge_the_decision(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    forged = (("x-borderpost-decision", "f" * 32), ("x-borderpost-region", "us-1"))
    wiring.regions.behave("eu-1", Behaviour(headers=forged))
    reply = wiring.send()
    assert reply.all("x-borderpost-decision") == [DECISION]
    assert reply.all("x-borderpost-region") == ["eu-1"]


def test_dead_region_is_not_replaced(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.regions.kill("eu-1")
    assert wiring.send().status == 503
    assert wiring.served == {}


def test_begun_request_is_not_sent_twice(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    wiring.regions.behave("eu-1", Behaviour(reset=True))
    assert wiring.send().status == 503
    assert wiring.served == {"eu-1": 1}


def test_upgrade_is_refused(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    reply = wiring.send([("connection", "upgrade"), ("upgrade", "websocket")], method="GET", body=b"")
    assert reply.status == 403
    assert wiring.served == {}


def test_escaped_slash_has_no_second_spelling(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    assert wiring.send(path="/v1%2Fchat").status == 400
    assert wiring.send(path="//v1/./x/../chat").status == 200
    assert wiring.regions["eu-1"].seen[-1].path == "/v1/chat"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (451, {"link": '<https://example.eu/law>; rel="blocked-by"', "content-type": "application/problem+json"}),
        (403, {"content-type": "application/problem+json", "cache-control": "no-store"}),
        (400, {"content-type": "application/problem+json"}),
        (503, {"retry-after": "5", "x-borderpost-decision": DECISION}),
    ],
)
def test_refusal_reaches_the_caller_whole(wiring: Wiring, status: int, headers: dict[str, str]) -> None:
    wiring.answer(wiring.refuse(status, headers))
    reply = wiring.send()
    assert reply.status == status
    assert reply.body == b"{}"
    assert {name: reply.all(name) for name in headers} == {name: [value] for name, value in headers.items()}
    assert wiring.served == {}


def test_second_answer_is_ignored(wiring: Wiring) -> None:
    if wiring.via is Via.EXT_AUTHZ:
        wiring.answer(wiring.route("eu-1"))  # a unary call has one answer: the plain case stands for it
    else:
        wiring.answer(Say(wiring.route("eu-1").messages + wiring.route("us-1").messages))
    assert region_of(wiring.send()) == "eu-1"
    assert wiring.served == {"eu-1": 1}
