"""What is shown in the mesh beside the acts of every stage: the delivery, and another team that interferes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from borderpost.demo.istio.gateway_node import LABELS
from borderpost.demo.istio.scenery import GATEWAY, region_host, resource
from borderpost.demo.istio.stage import MeshStage
from borderpost.demo.stage import Asked
from borderpost.demo.telling import Story
from borderpost.demo.travellers import DE, EU
from borderpost_base.names import CLUSTER_HEADER, EXT_PROC_FILTER
from borderpost_envoy import SERVER_CLUSTER

_SETTLE_S = 15.0
_OUTSIDER = "us-east-1"


def delivery(stage: MeshStage, story: Story) -> None:
    """Show what was rendered, and that the control plane has delivered it."""
    story.act("Istio's control plane delivers what we render")
    kinds = Counter(str(one["kind"]) for one in stage.rendered)
    story.table(("rendered", "objects"), [(kind, str(count)) for kind, count in sorted(kinds.items())])
    warnings = stage.warnings()
    story.claim("istioctl validate has nothing to say", not warnings, warnings)
    delivered = stage.delivered()
    story.claim(
        f"Envoy has taken all that istiod {stage.tools.version} sent it",
        not delivered.refused and not stage.istiod.troubles(),
        [*delivered.refused, *stage.istiod.troubles()],
    )
    filters = _filters(stage)
    story.claim(
        f"{EXT_PROC_FILTER} stands in the gateway's listener, before the router",
        EXT_PROC_FILTER in filters[:-1] and filters[-1] == "envoy.filters.http.router",
        filters,
    )
    story.claim(
        "what clients say in our headers is taken away before any filter",
        "early_header_mutation_extensions" in (manager := delivered.manager(stage.envoy.port)),
        sorted(manager),
    )
    regions = {name for name in delivered.clusters if name.endswith(tuple(map(region_host, stage.regions.ports)))}
    story.claim(
        f"a cluster for each of {len(stage.regions.ports)} regions, and one for Borderpost",
        len(regions) == len(stage.regions.ports) and SERVER_CLUSTER in delivered.clusters,
        sorted(delivered.clusters),
    )


def interference(stage: MeshStage, story: Story) -> None:
    """Have another team add what leaks elsewhere; what is not decided still goes nowhere."""
    story.act("Another team interferes")
    outside = stage.regions.counts[_OUTSIDER]
    everything = [{"route": [{"destination": {"host": region_host(_OUTSIDER)}}]}]
    spec = {"hosts": ["*"], "gateways": [GATEWAY], "http": everything}
    stage.others([resource("VirtualService", "everything", spec)])
    arrived = _eventually(lambda: region_host(_OUTSIDER) in str(_routes_of_any_host(stage)))
    answer = stage.ask(DE)
    story.claim(
        f"its VirtualService sends every host to {_OUTSIDER}: a German request still goes to {answer.region}",
        arrived and answer.region in EU,
        _seen(answer),
    )
    stage.others([_taken_out()])
    arrived = _eventually(lambda: EXT_PROC_FILTER not in _filters(stage))
    refused = stage.ask(DE, ((CLUSTER_HEADER, stage.cluster_of(_OUTSIDER)),))
    story.claim(
        "its EnvoyFilter takes our filter out of the gateway: nothing is served, whatever the client says",
        arrived and refused.region is None and refused.status in (404, 503),
        _seen(refused),
    )
    stage.others([])
    back = stage.ask_until(DE, lambda one: one.region in EU, within_s=_SETTLE_S)
    story.claim("taken away again: the gateway serves as before", back[-1].region in EU, _seen(back[-1]))
    unasked = {id(one) for one in (refused, *back) if one.decision is None}
    stage.asked[:] = [one for one in stage.asked if id(one) not in unasked]  # the record cannot hold them
    story.claim(
        f"{_OUTSIDER} saw none of it", stage.regions.counts[_OUTSIDER] == outside, stage.regions.counts[_OUTSIDER]
    )


def _routes_of_any_host(stage: MeshStage) -> Sequence[Mapping[str, Any]]:
    hosts = stage.delivered().routes[f"http.{stage.envoy.port}"]["virtual_hosts"]
    return [host for host in hosts if "*" in host["domains"]]


def _filters(stage: MeshStage) -> list[str]:
    return [str(one["name"]) for one in stage.delivered().manager(stage.envoy.port)["http_filters"]]


def _taken_out() -> dict[str, Any]:
    """Return an EnvoyFilter that removes our filter, after ours has added it."""
    manager = {"name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": EXT_PROC_FILTER}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": manager}}},
        "patch": {"operation": "REMOVE"},
    }
    spec = {"workloadSelector": {"labels": dict(LABELS)}, "configPatches": [patch], "priority": 9000}
    return resource("EnvoyFilter", "out", spec, api="networking.istio.io/v1alpha3")


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SETTLE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _seen(one: Asked) -> str:
    return f"{one.status} {one.region or '-'}"
