"""How failing examples are shown to leak, rule by rule: BPD026 to BPD048, routes, clusters, and what stands beside."""

from __future__ import annotations

from support.doctor_cases import Tree, before_ours
from support.doctor_probes import FIVE_HITS, TOKENS, TRUSTED, eventually, other_team, route_told, shows
from support.doctor_spoils_beside import ONE_EACH, limited, limiting
from support.doctor_stage import Stage
from support.stub_processor import OVER_LIMIT, EndCleanly
from support.upstreams import Behaviour

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
    return route_told(stage.stub.requests[0]) == ""


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
    stage.other.decide = lambda request: other_team(stage, request)
    return stage.served_by("us-1", stage.send())


@shows("BPD042-upstream")
def _(stage: Stage) -> bool:
    stage.answer(stage.to("eu-1"))
    stage.send()
    return bool(stage.other.requests)


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


@shows("BPD048-bare", "BPD048-route-done", "BPD048-numbered", "BPD048-by-request", twin=_charges)
def _(stage: Stage) -> bool:
    """A request that the limit refused is charged at its end."""
    stage.answer(stage.to("eu-1"))
    stage.stub.limit_answer = OVER_LIMIT
    assert stage.send([("x-tokens", "5")]).status == 429
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
