"""What the doctor finds is real: each failing example leaks, or fails as its rule says; its mended twin does neither.

All examples live in one Envoy, each with a listener and clusters of its own. A probe returns True where it saw what the
rule warns of.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from borderpost_base.names import CLIENT_HEADER
from borderpost_envoy import Via
from borderpost_envoy.doctor import RULES, examine, read_admin, read_configuration
from borderpost_proto import ext_proc_pb2 as proc
from support import doctor_spoils, doctor_spoils_beyond
from support.client import run_load
from support.doctor_cases import BASES, CASES, Case, Tree, before_ours, manager, rendered
from support.doctor_spoils_beyond import ONE_EACH, limited, limiting
from support.doctor_stage import Stage, staged, with_fallback
from support.stub_processor import OVER_LIMIT, Crash, EndCleanly, Fail, Hang, Say
from support.upstreams import Behaviour
from support.wiring import address_told, headers_told

assert doctor_spoils, doctor_spoils_beyond
pytestmark = pytest.mark.blackbox

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


# Asking


@shows("BPD001-patch-matched-nothing")
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
    stage.other.decide = lambda request: _other(stage, request)
    return stage.served_by("us-1", stage.send())


def _other(stage: Stage, request: Any) -> Any:
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


def _tell_lb(tree: Tree) -> None:
    told = {"header": {"key": "x-lb", "value": "%DYNAMIC_METADATA(envoy.lb:steer)%"}}
    manager(tree)["route_config"]["response_headers_to_add"].append(told)


@shows("BPD012-wide", "BPD012-route", twin=_tell_lb)
def _(stage: Stage) -> bool:
    (message,) = stage.to("eu-1").messages
    message.dynamic_metadata.update({"envoy.lb": {"steer": "us"}})
    stage.answer(Say((message,)))
    return stage.send().header("x-lb") == "us"


@shows("BPD013-authz-zero", "BPD013-long")
def _(stage: Stage) -> bool:
    stage.answer(Hang())
    try:
        stage.send(timeout_s=1.5)
    except TimeoutError:
        return True
    return False


@shows("BPD013-zero")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
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
    return http.headers.get("x-data-class") == "health,public"


# The way to Borderpost


@shows("BPD018-small")
def _(stage: Stage) -> bool:
    def slowly(_request: Any) -> Any:
        time.sleep(0.03)
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
    return [_route_told(request) for request in stage.stub.requests] == ["rest"]


def _route_told(request: Any) -> str:
    name: str = request.attributes["envoy.filters.http.ext_proc"].fields["xds.route_name"].string_value
    return name


# Routes


@shows("BPD026-beside")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    return stage.served_by("us-1", stage.send(path="/v1/models"))


@shows("BPD027-other-header", "BPD029-other-header")
def _(stage: Stage) -> bool:
    stage.answer(EndCleanly())
    return stage.served_by("us-1", stage.send([("x-region", stage.cluster("us-1"))]))


@shows("BPD027-prefix-map")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("us-1-and-more"))
    return stage.served_by("us-1", stage.send())


@shows("BPD030-original-destination")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("PassthroughCluster"))
    anywhere = f"127.0.0.1:{stage.regions.ports['us-1']}"
    return stage.served_by("us-1", stage.send([("x-target", anywhere)]))


@shows("BPD031-unnamed")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    return _route_told(stage.stub.requests[0]) == ""


# Clusters and second sendings


@shows("BPD033-aggregate", "BPD034-priorities")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.regions.behave("eu-1", Behaviour(status=503))
    return any(stage.served_by("us-1", stage.send()) for _ in range(5))


@shows("BPD034-localities")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    return any(stage.served_by("us-1", stage.send()) for _ in range(20))


@shows("BPD038-priorities")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.regions.behave("eu-1", Behaviour(status=503))
    return stage.served_by("us-1", stage.send())


@shows("BPD038-cluster")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.regions.behave("eu-1", Behaviour(status=503))
    stage.send()
    return stage.served["eu-1"] > 1


@shows("BPD039-route", "BPD039-host", "BPD039-table", "BPD039-cluster")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    return eventually(lambda: "us-1" in stage.served)


@shows("BPD040-policy")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.regions.behave("eu-1", Behaviour(302, headers=(("location", "http://inference.example/elsewhere"),)))
    stage.send()
    return [seen.path for seen in stage.regions["eu-1"].seen][1:] == ["/elsewhere"]


# Beside our filter


@shows("BPD041-second")
def _(stage: Stage) -> bool:
    stage.answer(EndCleanly())
    stage.other.decide = lambda request: _other(stage, request)
    return stage.served_by("us-1", stage.send())


def _rbac_for_all(tree: Tree) -> None:
    """Deny what the failing example denies for one route, for all of them."""
    everybody = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "DENY", "policies": {"all": everybody}},
    }
    before_ours(tree, "envoy.filters.http.rbac", config)


@shows("BPD043-rbac", twin=_rbac_for_all)
def _(stage: Stage) -> bool:
    stage.answer(stage.to("us-1"))
    return stage.served_by("us-1", stage.send())


@shows("BPD044-own-chain", fallback=True)
def _(stage: Stage) -> bool:
    stage.answer(stage.refusal())
    reply = stage.send([("connection", "upgrade"), ("upgrade", "websocket")], method="GET", body=b"")
    return stage.served_by("us-1", reply) or bool(stage.served)


@shows("BPD044-websocket")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("connection", "upgrade"), ("upgrade", "websocket")], method="GET", body=b"")
    return bool(stage.served)


# Running it


@shows("BPD046-default", "BPD046-address", "BPD046-token")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send([("x-forwarded-for", TRUSTED), ("authorization", "Bearer secret")])
    text = stage.logged("\n")
    return any(word in text for word in (TRUSTED, "secret", "127.0.0.1"))


def _limits(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH)(tree)


@shows("BPD047-open", twin=_limits)
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.stub.limit_answer = None
    return stage.served_by("eu-1", stage.send())


@shows("BPD047-too-early", twin=_limits)
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.stub.limit_answer = OVER_LIMIT
    return stage.served_by("eu-1", stage.send())


def _charges(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH, {**ONE_EACH, "apply_on_stream_done": True, "hits_addend": {"format": TOKENS}})(tree)


@shows("BPD048-bare", "BPD048-route-done", twin=_charges)
def _(stage: Stage) -> bool:
    """A request that the limit refused is charged at its end."""
    stage.answer(stage.to("eu-1"))
    stage.stub.limit_answer = OVER_LIMIT
    assert stage.send().status == 429
    return eventually(lambda: len(stage.stub.limits) > 1)


def _counts_five(tree: Tree) -> None:
    limiting(tree)
    limited({**ONE_EACH, "hits_addend": {"number": 5}})(tree)


@shows("BPD048-ignored", twin=_counts_five)
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    (asked,) = stage.stub.limits
    return FIVE_HITS not in asked


def eventually(condition: Callable[[], bool], within_s: float = 0.3) -> bool:
    """Wait for what happens beside a request; where it doesn't, all of the time passes."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


APART = {"BPD019", "BPD028", "BPD037", "BPD045", "BPD049"}
"""Rules that are shown in test_doctor_leaks_apart.py, on Envoys of their own."""


def twin_of(case: Case) -> str:
    """Return the name of the mended twin in the shared Envoy."""
    shown = SHOWN[case.id]
    return f"mended-{case.id}" if shown.twin is not None else f"mended-{case.base}{'-fallback' * shown.fallback}"


def trees() -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for case in CASES:
        shown = SHOWN.get(case.id)
        if shown is None:
            continue
        for name, tree in ((twin_of(case), rendered(case.base)), (case.id, case.spoiled())):
            if shown.fallback:
                with_fallback(tree)
            if shown.twin is not None and (name != case.id or shown.twin is _tell_lb):
                shown.twin(tree)
            found[name] = tree
    return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("doctor"), trees()) as stage:
        yield stage


@pytest.mark.parametrize("case", [case for case in CASES if case.id in SHOWN], ids=lambda case: case.id)
def test_it_leaks_and_its_mended_twin_does_not(stage: Stage, case: Case) -> None:
    probe = SHOWN[case.id].probe
    via_authz = BASES[case.base].get("via") is Via.EXT_AUTHZ
    stage.begin(case.id, via_authz=via_authz)
    assert probe(stage)
    stage.begin(twin_of(case), via_authz=via_authz)
    assert not probe(stage)


def test_every_rule_is_shown() -> None:
    assert sorted({case.rule for case in CASES if case.id in SHOWN} | APART) == sorted(RULES)


def test_the_doctor_finds_the_same_in_what_runs(stage: Stage) -> None:
    """Every example is found in the dump of the running Envoy, and nothing in the mended twins."""
    findings = examine(read_configuration(read_admin(f"127.0.0.1:{stage.envoy.admin_port}")))
    found: dict[str, set[str]] = {}
    for finding in findings:
        for key in re.findall(r"(?:BPD\d+|mended)-[\w-]+", finding.subject or ""):
            found.setdefault(key, set()).add(finding.rule.id)
    alone = [case for case in CASES if case.id in SHOWN and case.rule != "BPD001" and not case.expected.known]
    assert [case.id for case in alone if case.rule not in found.get(case.id, ())] == []
    # All examples share the regions' endpoints, and a fallback is one that leads past the decision.
    twins = {twin_of(case) for case in alone if SHOWN[case.id].twin is None}
    told = {
        key: rules - {"BPD035"} - ({"BPD026"} if key.endswith("-fallback") else set()) for key, rules in found.items()
    }
    assert {key: rules for key, rules in told.items() if key in twins and rules} == {}
