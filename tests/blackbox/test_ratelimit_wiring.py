"""What the rendered Envoy asks a rate-limit service and tells it at a request's end, by what became of the request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from borderpost.config.rate_limit import RateLimitSpec
from borderpost_envoy import HostPort, OwnRoute, RoutePlan, Via
from borderpost_proto.rate_limit_pb2 import RateLimitRequest
from support.gateway import eventually
from support.stub_processor import OVER_LIMIT, WITHIN_LIMIT
from support.upstreams import Behaviour, RegionServers
from support.wiring import DECISION, Wiring, wired

pytestmark = pytest.mark.blackbox

LIMITS: dict[str, Any] = {
    "domain": "inference",
    "service": "borderpost",
    "when_unreachable": "refuse",
    "timeout_ms": 3000,
    "descriptors": [
        {"keys": [{"key": "tenant", "fact": "tenant"}, {"key": "gateway", "value": "one"}]},
        {"keys": [{"key": "tokens", "fact": "region"}], "charge": "usage.total_tokens"},
        {"keys": [{"key": "open", "fact": "region"}], "release": True},
    ],
}
NAME = ("borderpost.request", DECISION)
DONE = ("borderpost.phase", "done")
ASKED = [
    ((("tenant", "-"), ("gateway", "one"), NAME), None),
    ((("tokens", "eu-1"), NAME), None),
    ((("open", "eu-1"), NAME), None),
]
CHARGED = ((("tokens", "eu-1"), NAME, DONE), 7)
"""The region's completion says that it used 7 tokens."""
RELEASED = ((("open", "eu-1"), NAME, DONE), 0)

Told = list[tuple[tuple[tuple[str, str], ...], int | None]]


@pytest.fixture(scope="module", params=[Via.EXT_PROC, pytest.param(Via.EXT_AUTHZ, marks=pytest.mark.full)], ids=str)
def limiting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    directory = tmp_path_factory.mktemp("limiting")
    limits = RateLimitSpec.model_validate({**LIMITS, "socket": str(directory / "stub.sock")})
    with RegionServers(["own"]) as own:
        files = OwnRoute("files", "/files", "own", (HostPort("127.0.0.1", own.ports["own"]),))
        with wired(
            directory, via=request.param, rate_limit=limits, observed=(files,), routes=(RoutePlan("chat"),),
            message_timeout_ms=3000,
        ) as wiring:  # fmt: skip
            yield wiring


@pytest.fixture
def wiring(limiting: Wiring) -> Wiring:
    limiting.reset()
    limiting.stub.limits.clear()
    limiting.stub.limit_answer = WITHIN_LIMIT
    limiting.answer(limiting.route("eu-1"))
    return limiting


def told(wiring: Wiring, questions: int) -> list[Told]:
    """Return what the service was told in so many calls, each descriptor with its entries and hits."""
    eventually(lambda: len(wiring.stub.limits) == questions, f"{questions} calls: {wiring.stub.limits}")
    found = []
    for message in wiring.stub.limits:
        question = RateLimitRequest.FromString(message)
        assert question.domain == "inference" and not question.hits_addend
        found.append(
            [
                (
                    tuple((entry.key, entry.value.decode()) for entry in each.entries),
                    each.hits_addend.value if each.HasField("hits_addend") else None,
                )
                for each in question.descriptors
            ]
        )
    return found


def test_a_request_is_asked_about_by_name_and_its_end_told_with_what_it_used(wiring: Wiring) -> None:
    assert wiring.send().status == 200
    assert told(wiring, 2) == [ASKED, [CHARGED, RELEASED]]


def test_a_streamed_response_says_what_was_used_too(wiring: Wiring) -> None:
    wiring.regions.behave("eu-1", Behaviour(events=True))
    reply = wiring.send()
    assert reply.status == 200 and reply.body.endswith(b"data: [DONE]\n\n")
    assert told(wiring, 2) == [ASKED, [CHARGED, RELEASED]]


def test_what_is_read_comes_uncompressed(wiring: Wiring) -> None:
    assert wiring.send([("accept-encoding", "gzip")]).status == 200
    (seen,) = wiring.regions["eu-1"].seen
    assert "accept-encoding" not in dict(seen.headers)
    told(wiring, 2)


def test_of_a_request_over_its_limit_the_end_charges_nothing(wiring: Wiring) -> None:
    wiring.stub.limit_answer = OVER_LIMIT
    assert wiring.send().status == 429
    assert told(wiring, 2) == [ASKED, [RELEASED]]
    assert wiring.served == {}


def test_of_a_request_without_an_answer_the_end_charges_nothing(wiring: Wiring) -> None:
    wiring.regions.behave("eu-1", Behaviour(reset=True))
    assert wiring.send().status == 503
    assert told(wiring, 2) == [ASKED, [RELEASED]]


def test_a_service_that_fails_refuses(wiring: Wiring) -> None:
    wiring.stub.limit_answer = None
    assert wiring.send().status == 500
    assert told(wiring, 2) == [ASKED, [RELEASED]]
    assert wiring.served == {}


def test_of_a_request_that_we_refuse_nobody_is_asked_or_told(wiring: Wiring) -> None:
    wiring.answer(wiring.refuse(451))
    assert wiring.send().status == 451
    wiring.answer(wiring.route("eu-1"))
    assert wiring.send().status == 200
    assert told(wiring, 2) == [ASKED, [CHARGED, RELEASED]]


def test_an_observed_route_has_no_limits_and_its_answers_are_not_read(wiring: Wiring) -> None:
    assert wiring.send(path="/files/a").status == 200
    assert wiring.send().status == 200
    told(wiring, 2)
    read = wiring.envoy.stats("json_to_metadata.resp.success")
    assert wiring.send(path="/files/a").status == 200
    assert wiring.envoy.stats("json_to_metadata.resp.success") == read
