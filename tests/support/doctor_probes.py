"""How failing examples are shown to leak, rule by rule: BPD001 to BPD025, our filter and what clients bring.

A probe asks one example on the stage and returns True where it saw what the rule warns of.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from borderpost_base.names import CLIENT_HEADER
from borderpost_proto import ext_proc_pb2 as proc
from support.client import run_load
from support.doctor_cases import MESSAGE_TIMEOUT_MS, Tree, manager
from support.doctor_stage import Stage
from support.stub_processor import Crash, EndCleanly, Fail, Hang, Say
from support.upstreams import Behaviour
from support.wiring import address_told, headers_told

Probe = Callable[[Stage], bool]
TRUSTED = "203.0.113.9"
TOKENS = "%DYNAMIC_METADATA(llm:total_tokens)%"
FIVE_HITS = b"\x1a\x02\x08\x05"
"""`RateLimitDescriptor.hits_addend` (field 3 of the descriptor, a UInt64Value) of 5."""


@dataclass(frozen=True)
class Shown:
    """How an example is shown to leak."""

    probe: Probe
    fallback: bool = False
    """On routes that lead somewhere without a decision, so that it shows whether a request goes on."""
    twin: Callable[[Tree], None] | None = None
    """What the mended twin has besides, where it is not simply the rendered one."""


SHOWN: dict[str, Shown] = {}


def shows(*cases: str, fallback: bool = False, twin: Callable[[Tree], None] | None = None) -> Callable[[Probe], Probe]:
    """Register a probe for some examples."""

    def register(probe: Probe) -> Probe:
        for name in cases:
            SHOWN[name] = Shown(probe, fallback, twin)
        return probe

    return register


def eventually(condition: Callable[[], bool], within_s: float = 0.3) -> bool:
    """Wait for what happens beside a request; where it doesn't, all of the time passes."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# Asking


@shows("BPD001-patch-matched-nothing", "BPD001-off-on-every-route")
def _(stage: Stage) -> bool:
    stage.answer(stage.refusal())
    return stage.served_by("us-1", stage.send())


@shows("BPD002-second-listener-direct", "BPD002-second-listener-same-routes", "BPD002-tcp-proxy")
def _(stage: Stage) -> bool:
    if f"{stage.key}/side" not in stage.ports:
        return False
    stage.answer(stage.refusal())
    reply = stage.send([("x-borderpost-cluster", stage.cluster("us-1"))], listener="side")
    return stage.served_by("us-1", reply) and not stage.stub.requests


@shows("BPD002-second-chain", fallback=True)
@shows(
    *("BPD004-chain", "BPD004-route", "BPD004-host", "BPD004-table", "BPD004-generic", "BPD004-authz-route"),
    *("BPD005-observability", "BPD005-shadow", "BPD005-fraction", "BPD005-metadata"),
    *("BPD006-filter", "BPD006-route", "BPD041-generic-name-configured"),
    fallback=True,
)
def refused_and_served(stage: Stage) -> bool:
    """Borderpost refuses, and a region serves."""
    stage.answer(stage.refusal())
    return stage.served_by("us-1", stage.send())


@shows("BPD003-filter", "BPD003-authz", "BPD003-route", "BPD003-host", "BPD003-table", "BPD003-wrapped", fallback=True)
def _(stage: Stage) -> bool:
    stage.answer(Fail())
    return stage.served_by("us-1", stage.send())


@shows("BPD004-matcher", fallback=True)
def _(stage: Stage) -> bool:
    stage.answer(stage.refusal())
    return stage.served_by("us-1", stage.send([("x-skip", "yes")]))


@shows("BPD007-absent", "BPD007-response", "BPD007-body", "BPD007-route")
def _(stage: Stage) -> bool:
    def decide(request: Any) -> Any:
        return stage.to("eu-1") if request.HasField("request_headers") else Say((_empty(request),))

    stage.answer(decide)
    stage.send()
    return any(not request.HasField("request_headers") for request in stage.stub.requests)


def _empty(request: Any) -> Any:
    response = proc.ProcessingResponse()
    getattr(response, request.WhichOneof("request")).SetInParent()
    return response


@shows("BPD008-partial", "BPD008-partial-authz")
def _(stage: Stage) -> bool:
    seen = 0

    def decide(request: Any) -> Any:
        nonlocal seen
        if stage.via_authz:
            seen = len(request.attributes.request.http.raw_body)
        elif request.HasField("request_body"):
            seen += len(request.request_body.body)
            return Say((_empty(request),))
        return stage.to("eu-1")

    stage.answer(decide)
    body = b"x" * 2_000_000
    with contextlib.suppress(ConnectionError):  # a refusal may come before all of the body is sent
        stage.send(body=body, timeout_s=5.0)
    got = stage.regions["eu-1"].seen
    return bool(got) and len(got[-1].body) > seen


@shows("BPD009-proc", "BPD009-authz", "BPD042-processor", "BPD042-authz")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.other.decide = lambda request: other_team(stage, request)
    return stage.served_by("us-1", stage.send())


def other_team(stage: Stage, request: Any) -> Any:
    """Answer as another team's server that routes to another region, whichever its door."""
    asked_by = hasattr(request, "request_headers")
    before, stage.via_authz = stage.via_authz, not asked_by
    answer = stage.to("us-1")
    stage.via_authz = before
    return answer


# Answers


@shows("BPD010-retain", "BPD010-disabled", "BPD010-authz", fallback=True)
@shows(
    "BPD026-direct",
    "BPD026-weighted",
    "BPD026-renamed",
    "BPD027-renamed",
    "BPD035-shared",
    "BPD042-lua",
    "BPD021-filter-after",
)
def decided_elsewhere(stage: Stage) -> bool:
    """Borderpost decides for one region, and another one serves."""
    stage.answer(stage.to("eu-1"))
    return stage.served_by("us-1", stage.send())


@shows("BPD011-absent", "BPD011-authz", "BPD011-no-disallow", "BPD011-wide")
def _(stage: Stage) -> bool:
    stage.answer(_with_header(stage, "authorization", "stolen"))
    stage.send()
    return any(("authorization", "stolen") in seen.headers for seen in stage.regions["eu-1"].seen)


def _with_header(stage: Stage, name: str, value: str) -> Say:
    (message,) = stage.to("eu-1").messages
    if stage.via_authz:
        option = message.ok_response.headers.add()
        option.header.value = value
    else:
        option = message.request_headers.response.header_mutation.set_headers.add()
        option.header.raw_value = value.encode()
    option.header.key = name
    return Say((message,))


@shows("BPD011-silent")
def _(stage: Stage) -> bool:
    stage.answer(_with_header(stage, "authorization", "stolen"))
    return stage.served_by("eu-1", stage.send())


@shows("BPD011-too-narrow", "BPD017-no-cluster", "BPD017-no-endpoint", "BPD036-pruned", "BPD036-pruned-known")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("ae-1"))
    return stage.send().status != 200


@shows("BPD012-absent")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    return stage.send().header("x-borderpost-region") is None


def tell_lb(tree: Tree) -> None:
    told = {"header": {"key": "x-lb", "value": "%DYNAMIC_METADATA(envoy.lb:steer)%"}}
    manager(tree)["route_config"]["response_headers_to_add"].append(told)


@shows("BPD012-wide", "BPD012-route", twin=tell_lb)
def _(stage: Stage) -> bool:
    (message,) = stage.to("eu-1").messages
    message.dynamic_metadata.update({"envoy.lb": {"steer": "us"}})
    stage.answer(Say((message,)))
    return stage.send().header("x-lb") == "us"


@shows("BPD013-authz-zero", "BPD013-long")
def _(stage: Stage) -> bool:
    stage.answer(Hang())
    try:
        stage.send(timeout_s=MESSAGE_TIMEOUT_MS / 500)
    except TimeoutError:
        return True
    return False


@shows("BPD013-zero")
def _(stage: Stage) -> bool:
    def soon(_request: Any) -> Any:
        time.sleep(0.05)
        return stage.to("eu-1")

    stage.answer(soon)
    return stage.send().status != 200


@shows("BPD014-proc", "BPD014-authz", "BPD014-ok")
def _(stage: Stage) -> bool:
    stage.answer(Crash())
    return stage.send().status != 503


@shows("BPD015-proc", "BPD015-authz", "BPD015-all")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("authorization", "Bearer secret")])
    return "authorization" in headers_told(stage.stub.requests[0])


@shows("BPD016-joined")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("x-data-class", "health"), ("x-data-class", "public")])
    http = stage.stub.requests[0].attributes.request.http
    told: str = http.headers.get("x-data-class")
    return told == "health,public"


# The way to Borderpost


@shows("BPD018-small")
def _(stage: Stage) -> bool:
    def slowly(_request: Any) -> Any:
        time.sleep(0.015)
        return stage.to("eu-1")

    stage.answer(slowly)
    observed = run_load(stage.ports[stage.key], concurrency=6, count=6)
    return observed.statuses[200] < 6


# What clients bring


@shows("BPD020-absent", "BPD020-one-header", "BPD020-internal-only", "BPD021-filter-before")
@shows("BPD026-catch-all", "BPD026-default-cluster", "BPD027-no-match", "BPD027-lua")
def clean_end(stage: Stage) -> bool:
    """The question ends without an answer, and the region of the client's own header serves."""
    stage.answer(EndCleanly())
    return stage.served_by("us-1", stage.send([("x-borderpost-cluster", stage.cluster("us-1"))]))


@shows("BPD021-route", "BPD021-host", "BPD021-table", "BPD032-kept")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    (seen,) = stage.regions["eu-1"].seen
    return any(name == "x-borderpost-cluster" for name, _ in seen.headers)


@shows("BPD022-believed", "BPD022-xff-of-nobody")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("x-forwarded-for", TRUSTED)])
    return address_told(stage.stub.requests[0]) == TRUSTED


@shows("BPD022-custom-header")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("x-real-ip", TRUSTED)])
    return address_told(stage.stub.requests[0]) == TRUSTED


@shows("BPD022-authz-untold")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    return CLIENT_HEADER not in headers_told(stage.stub.requests[0])


@shows("BPD023-loopback-internal", "BPD023-empty")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.regions.behave("eu-1", Behaviour(status=500))
    stage.send([("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "2")])
    return stage.served["eu-1"] > 1


@shows("BPD024-absent")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("x_borderpost_cluster", "us-1")])
    return any(name == "x_borderpost_cluster" for name, _ in stage.regions["eu-1"].seen[0].headers)


@shows("BPD025-kept")
def _(stage: Stage) -> bool:
    return _other_route(stage, "/v1%2Fchat/completions")


@shows("BPD025-slashes")
def _(stage: Stage) -> bool:
    return _other_route(stage, "/v1//chat/completions")


@shows("BPD025-dots")
def _(stage: Stage) -> bool:
    return _other_route(stage, "/x/../v1/chat/completions")


def _other_route(stage: Stage, path: str) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send(path=path)
    return [route_told(request) for request in stage.stub.requests] == ["rest"]


def route_told(request: Any) -> str:
    name: str = request.attributes["envoy.filters.http.ext_proc"].fields["xds.route_name"].string_value
    return name
