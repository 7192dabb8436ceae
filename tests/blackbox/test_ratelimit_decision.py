"""The whole product with limits: Envoy asks Borderpost, then its limiter; both records name a request by one id."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from borderpost.demo.children import free_port
from borderpost_envoy import Via
from support.clients import AMERICAN, EMIRATI, GERMAN
from support.faults import log_lines
from support.gateway import Gateway, eventually, gateway
from support.upstreams import Behaviour

pytestmark = pytest.mark.blackbox

GERMANY, TOKENS_OF_ONE = "eu-central-1", 7
"""A region's completion says that it used 4 + 3 tokens."""
ASKED: dict[str, Any] = {
    "domain": "inference",
    "when_unreachable": "refuse",
    "timeout_ms": 3000,
    "descriptors": [
        {"keys": [{"key": "requests", "header": "x-test"}, {"key": "place", "fact": "jurisdiction"}]},
        {"keys": [{"key": "tokens", "header": "x-test"}], "charge": "usage.total_tokens"},
        {"keys": [{"key": "open", "header": "x-test"}, {"key": "to", "fact": "region"}], "release": True},
    ],
}
"""Each test names itself in `x-test`, and so has counters of its own."""


CROWD = "inference.requests_crowd.place"


def _rule(key: str, *, value: str = "", **limit: Any) -> dict[str, Any]:
    return {"key": key, **({"value": value} if value else {}), "limits": [limit]}


LIMITS: dict[str, Any] = {
    "format": "borderpost/1",
    "domain": "inference",
    "descriptors": [
        {"key": "requests", "value": "by-place", "descriptors": [
            _rule("place", value="DE", algorithm="fixed_window", amount=2, every="day"),
            _rule("place", algorithm="fixed_window", amount=100, every="day"),
        ]},
        {"key": "requests", "value": "crowd", "descriptors": [
            _rule("place", algorithm="token_bucket", amount=1, every="day", burst=50),
        ]},
        {"key": "open", "value": "one-at-a-time", "descriptors": [
            _rule("to", algorithm="concurrency", amount=1, hold="10m"),
        ]},
        _rule("tokens", value="tokens*", algorithm="budget", amount=20, every="day", reserve=5),
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=[Via.EXT_PROC, pytest.param(Via.EXT_AUTHZ, marks=pytest.mark.full)], ids=str)
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a limiter, once for each door."""
    directory = tmp_path_factory.mktemp("limited")
    (directory / "limits.yaml").write_text(yaml.safe_dump(LIMITS, sort_keys=False))
    limiter = {
        "limits": ["limits.yaml"],
        "server": {"socket": "server/limiter.sock", "drain_s": 0.2},
        "admin": {"port": free_port()},
    }
    with gateway(directory, via=request.param, server={"workers": 1}, rate_limit=ASKED, limiter=limiter) as gate:
        yield gate


def status(gate: Gateway, test: str, client: Any = GERMAN) -> int:
    return gate.send(client, headers=[("x-test", test)]).status


def recorded(gate: Gateway, kind: str) -> list[dict[str, Any]]:
    """Return the records of a kind in the limiter's stream."""
    return [each for each in gate.records() if each["type"] == kind and each["log"].endswith("/limiter")]


def test_a_refusal_is_recorded_under_the_id_of_the_decision_that_let_it_pass(limited: Gateway) -> None:
    before = len(recorded(limited, "limit.refuse"))
    assert [status(limited, "by-place") for _ in range(3)] == [200, 200, 429]
    assert status(limited, "by-place", AMERICAN) == 200  # another jurisdiction, another limit
    eventually(lambda: len(recorded(limited, "limit.refuse")) > before, "its record is durable")
    (refused,) = recorded(limited, "limit.refuse")[before:]
    assert refused["rule"] == "inference.requests_by-place.place_DE"
    assert (refused["algorithm"], refused["amount"], refused["source"]) == ("fixed_window", 2, "store")
    decisions = {f"{each['epoch']}{each['seq']:012x}": each for each in limited.decisions()}
    decision = decisions[refused["req"]["decision"]]
    assert decision["out"]["action"] == "route" and decision["jur"]["effective"] == ["DE"]
    assert decision["ts"] <= refused["ts"]
    eventually(lambda: statuses(limited).get(refused["req"]["decision"]) == 429, "Envoy's own log names it too")
    (named,) = recorded(limited, "limits.activate")
    assert named["domains"] == 1 and named["seq"] < refused["seq"]


def test_of_many_at_once_exactly_the_limit_passes_and_each_refusal_is_accounted_for(limited: Gateway) -> None:
    seen = limited.load([GERMAN], count=300, concurrency=32, headers=lambda _number: [("x-test", "crowd")])
    assert seen.statuses == {200: 50, 429: 250}

    def accounted() -> int:
        singly: int = sum(each["rule"] == CROWD for each in recorded(limited, "limit.refuse"))
        several: int = sum(each["rules"].get(CROWD, 0) for each in recorded(limited, "limit.refusals"))
        return singly + several

    eventually(lambda: accounted() == 250, "each refusal is recorded, or counted in a record")
    named = [each["req"]["decision"] for each in recorded(limited, "limit.refuse") if each["rule"] == CROWD]
    routed = {f"{each['epoch']}{each['seq']:012x}" for each in limited.decisions() if each["out"]["action"] == "route"}
    assert len(set(named)) == len(named) and set(named) <= routed


def statuses(gate: Gateway) -> dict[str, int]:
    """Return the status of each decision by Envoy's access log."""
    lines = [json.loads(line) for line in gate.access_log.read_text().splitlines()]
    return {line["decision"]: line["status"] for line in lines}


def test_tokens_are_settled_by_what_the_response_says_and_refused_requests_use_none(limited: Gateway) -> None:
    for used in range(0, 14, TOKENS_OF_ONE):  # 5 are reserved and 7 settled, each time
        assert status(limited, "tokens-json") == 200, used
        eventually(lambda: left(limited, "tokens-json") == 20 - used - TOKENS_OF_ONE, "settled")  # noqa: B023
    assert status(limited, "tokens-json") == 200  # 14 + 5 fit, and 21 are used in the end
    eventually(lambda: left(limited, "tokens-json") == 0, "settled")
    assert [status(limited, "tokens-json") for _ in range(3)] == [429] * 3


def test_tokens_of_streamed_responses_are_settled_too(limited: Gateway) -> None:
    limited.regions.behave(GERMANY, Behaviour(events=True))
    try:
        assert status(limited, "tokens-streamed") == 200
        eventually(lambda: left(limited, "tokens-streamed") == 20 - TOKENS_OF_ONE, "settled")
    finally:
        limited.regions.behave(GERMANY, Behaviour())


def test_what_an_answer_does_not_say_stays_as_it_was_reserved(limited: Gateway) -> None:
    limited.regions.behave(GERMANY, Behaviour(reset=True))
    try:
        assert status(limited, "tokens-unsaid") == 503
    finally:
        limited.regions.behave(GERMANY, Behaviour())
    assert left(limited, "tokens-unsaid") == 20 - 5


def test_a_place_is_free_again_once_the_response_has_ended(limited: Gateway) -> None:
    limited.regions.behave(GERMANY, Behaviour(delay_s=1.0))
    first: list[int] = []
    slow = threading.Thread(target=lambda: first.append(status(limited, "one-at-a-time")))
    before = limited.regions[GERMANY].count
    slow.start()
    try:
        eventually(lambda: limited.regions[GERMANY].count > before, "the first is under way")
        assert status(limited, "one-at-a-time") == 429
    finally:
        limited.regions.behave(GERMANY, Behaviour())
        slow.join()
    assert first == [200]
    eventually(lambda: status(limited, "one-at-a-time") == 200, "its place is free")


@pytest.mark.full
def test_nobody_passes_a_limiter_that_does_not_answer_and_a_dead_one_is_started_anew(limited: Gateway) -> None:
    (*_, started) = log_lines(limited, event="limiter started")
    os.kill(started["pid"], signal.SIGSTOP)
    try:
        assert status(limited, "tokens-hung") == 500
    finally:
        os.kill(started["pid"], signal.SIGCONT)
    eventually(lambda: status(limited, "tokens-hung") == 200, "it answers again")
    os.kill(started["pid"], signal.SIGKILL)
    eventually(lambda: len(recorded(limited, "epoch.open")) == 2, "another one writes on in the stream")
    eventually(lambda: status(limited, "tokens-dead") == 200, "and answers")
    assert [status(limited, "by-place", EMIRATI), status(limited, "elsewhere")] == [200, 200]
    (*_, opened) = recorded(limited, "epoch.open")
    assert opened["previous"]["end"] == "unclean"


def left(gate: Gateway, test: str) -> int:
    """Return what is left of a budget, asked without charging anything."""
    descriptor = {"entries": [{"key": "tokens", "value": test}]}
    connection = http.client.HTTPConnection("127.0.0.1", gate.config["limiter"]["admin"]["port"], timeout=10)
    connection.request("POST", "/look", json.dumps({"domain": "inference", "descriptors": [descriptor]}))
    (told,) = json.loads(connection.getresponse().read())["descriptors"]
    connection.close()
    (limit,) = told["limits"]
    remaining: int = limit["remaining"]
    return remaining
