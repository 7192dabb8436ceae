"""Failover groups in Envoy Gateway's routes: a rule with a fallback is in order where the configuration declares it.

A rule for a group has one backend for each of its regions, the first of them no fallback and all others fallbacks, and
each has just the endpoints of the backend in that region's own rule. Anything else is a route over several regions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from borderpost.manifests.objects import Object
from borderpost_base.names import CLUSTER_HEADER
from borderpost_istio.doctor.http_routes import Entry, Routes
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.routing import Routing

GROUP = "gateway.envoyproxy.io"


def is_declared_group(routes: Routes, entry: Entry, routing: Routing) -> bool:
    """Return True for a rule that leads to a failover group by the configuration's word, of just its regions."""
    regions = routing.mesh.setting.groups.get(_named(entry) or "")
    backends = list(_backends(routes, entry, routing.mesh))
    if regions is None or len(backends) != len(regions):
        return False
    if [_is_fallback(backend) for backend in backends] != [False] + [True] * (len(regions) - 1):
        return False
    own = _endpoints_of_regions(routing)
    return all(own.get(region) == [_endpoints(backend)] for region, backend in zip(regions, backends, strict=True))


def _endpoints_of_regions(routing: Routing) -> dict[str, list[Any]]:
    """Return what the rules of each region's own cluster lead to: one value where they agree."""
    found: dict[str, list[Any]] = {}
    for routes in routing.all:
        for entry in routes.entries:
            region = routing.mesh.setting.clusters.get(_named(entry) or "")
            if region is not None:
                told = found.setdefault(region, [])
                told += [
                    endpoints
                    for backend in _backends(routes, entry, routing.mesh)
                    if (endpoints := _endpoints(backend)) not in told
                ]
    return found


def _named(entry: Entry) -> str | None:
    """Return the one value of our header that a rule asks for; None if it does not, or asks for several."""
    values = {
        header.get("value").text
        for match in entry.node.below("matches")
        for header in match.below("headers")
        if (header.get("name").text or "").lower() == CLUSTER_HEADER
    }
    return values.pop() if entry.by_header and len(values) == 1 else None


def _backends(routes: Routes, entry: Entry, mesh: Mesh) -> Iterator[Object | None]:
    known = {(one.namespace, one.name): one for one in mesh.of(GROUP, "Backend")}
    for reference in entry.node.below("backendRefs"):
        namespace = reference.get("namespace").text or routes.owner.namespace
        is_backend = reference.get("kind").text == "Backend"
        yield known.get((namespace, reference.get("name").text or "")) if is_backend else None


def _is_fallback(backend: Object | None) -> bool:
    return backend is not None and backend.spec.get("fallback").value is True


def _endpoints(backend: Object | None) -> Any:
    """Return a backend's endpoints as they are written; None for what is no backend that is known."""
    return None if backend is None else backend.spec.get("endpoints").value
