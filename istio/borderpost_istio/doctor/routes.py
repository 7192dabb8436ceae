"""Routes that take a protected host, lead to a region undecided, copy requests, or send them on."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding, Level
from borderpost_base.names import HEADER_PREFIX
from borderpost_istio.doctor.groups import is_declared_group
from borderpost_istio.doctor.http_routes import Entry, Routes
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.reading import GATEWAY_API, covers, finding, present
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import traffic as rules
from borderpost_istio.doctor.rules.patches import HEADER_SET, SECOND_EXT_PROC


def examine_routes(mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    """Yield what is wrong with routes at protected gateways."""
    protecting = {id(routes) for routes in routing.protecting}
    for routes in routing.all:
        if not routes.gateways or not routing.at_our_gateways(routes):
            continue
        is_protecting = id(routes) in protecting
        if not is_protecting:
            yield from _caught(routes, routing)
        for entry in routes.entries:
            if id(entry) in routing.shielded:
                continue
            yield from _destinations(routes, entry, routing, is_protecting=is_protecting)
            if is_protecting or _leads_to_region(entry, mesh):
                yield from _of_protected(routes, entry, routing)
            yield from _headers(routes.owner, entry.node)
            yield from _inference(routes, entry, routing)
    yield from _served_models(mesh)


def _caught(routes: Routes, routing: Routing) -> Iterator[Finding]:
    """Yield that an object takes, or shares, hosts of what protects."""
    for protecting in routing.protecting:
        same = bool(routes.gateways & protecting.gateways)
        if not same and (routes.owner.kind != protecting.owner.kind or not routing.knows_gateways):
            continue  # pods of another gateway, for all that is known
        where = "at the same gateway" if same else "at another gateway of the same pods"
        for host, node in routes.hosts:
            for own, _ in protecting.hosts:
                if host == own and routes.owner.group == GATEWAY_API and _all_direct(routes):
                    continue  # rules of one host are put together there, and this one answers by itself
                if host == own:
                    detail = f"it routes `{host}` too, {where} as {protecting.owner.subject}."
                    yield finding(rules.HOST_CAUGHT, detail, node, routes.owner)
                elif covers(own, host):
                    detail = f"`{host}` is more exact than the protected `{own}` of {protecting.owner.subject}."
                    yield finding(rules.HOST_CAUGHT, detail, node, routes.owner)
                elif covers(host, own) and not _all_direct(routes):
                    said = "that is spelt otherwise" if same else "that comes there"
                    detail = f"`{host}` takes every name like the protected `{own}` {said}."
                    yield finding(rules.HOST_CAUGHT, detail, node, routes.owner, level=Level.WARNING)


def _all_direct(routes: Routes) -> bool:
    """Say whether no rule of it leads anywhere: answers of the gateway itself hurt nobody."""
    return not any(entry.destinations or entry.mirrors for entry in routes.entries)


def _leads_to_region(entry: Entry, mesh: Mesh) -> bool:
    return any(destination.host in mesh.region_hosts for destination in entry.destinations)


def _destinations(routes: Routes, entry: Entry, routing: Routing, *, is_protecting: bool) -> Iterator[Finding]:
    """Examine where a rule leads, and where copies go."""
    mesh = routing.mesh
    meets = is_protecting or _leads_to_region(entry, mesh)
    if id(entry) in routing.observed:
        return  # told where it is observed
    if not routing.is_asked(entry):
        for destination in entry.destinations:
            if is_protecting or destination.host in mesh.region_hosts:
                detail = f"requests go to `{destination.host}` whether they were decided or not."
                yield finding(rules.ROUTE_UNASKED, detail, destination.node, routes.owner)
                break
    elif meets:
        weighed = {
            destination.host
            for destination in entry.destinations
            if destination.weight > 0 and (destination.host in mesh.region_hosts or entry.by_header)
        }
        if len(weighed) > 1 and id(entry) not in routing.patched and not is_declared_group(routes, entry, routing):
            detail = f"one route spreads requests over {', '.join(f'`{host}`' for host in sorted(weighed))}."
            yield finding(rules.WEIGHTS_MIX, detail, entry.destinations[0].node, routes.owner)
    if meets:
        for mirror in entry.mirrors:
            detail = f"requests are copied to `{mirror.host}`."
            yield finding(rules.MIRRORED, detail, mirror.node, routes.owner)


def _of_protected(routes: Routes, entry: Entry, routing: Routing) -> Iterator[Finding]:
    node = entry.node
    remote = node.get("retries", "retryRemoteLocalities")
    if remote.value is True:
        yield finding(rules.RETRY_REMOTE, "`retryRemoteLocalities` is true.", remote, routes.owner)
    for at in _hosts_named(node):
        name = (at.text or "").lower()
        if not any(covers(own, name) for own in routing.hosts) and name not in routing.mesh.region_hosts:
            detail = f"it sends requests on to `{at.text}`, which is neither a protected host nor a region's."
            yield finding(rules.SENT_ELSEWHERE, detail, at, routes.owner)
    delegate = node.get("delegate", "name")
    if present(delegate):
        where = node.get("delegate", "namespace").text or routes.owner.namespace
        detail = f"its routes are those of the VirtualService {where}/{delegate.text}."
        yield finding(rules.DELEGATED, detail, delegate, routes.owner)


def _hosts_named(node: Node) -> Iterator[Node]:
    """Yield the hosts that redirects and rewrites of a rule name."""
    found = [node.get("redirect", "authority"), node.get("rewrite", "authority")]
    found.append(node.get("headers", "request", "set", ":authority"))
    for holder in (node, *node.below("backendRefs")):
        for item in holder.below("filters"):
            found += [item.get("requestRedirect", "hostname"), item.get("urlRewrite", "hostname")]
    yield from (one for one in found if one.text is not None)


def _headers(one: Object, node: Node) -> Iterator[Finding]:
    """Yield headers under our prefix that a rule sets or adds, on itself or on a destination."""
    holders = [node, *node.below("route"), *node.below("backendRefs")]
    for holder in holders:
        for verb in ("set", "add"):
            for name, value in holder.get("headers", "request", verb).items():
                if name.lower().startswith(HEADER_PREFIX):
                    yield finding(HEADER_SET, f"it sets `{name}`.", value, one)
        for item in holder.below("filters"):
            for verb in ("set", "add"):
                for header in item.get("requestHeaderModifier").below(verb):
                    if (header.get("name").text or "").lower().startswith(HEADER_PREFIX):
                        yield finding(HEADER_SET, f"it sets `{header.get('name').text}`.", header, one)


def _inference(routes: Routes, entry: Entry, routing: Routing) -> Iterator[Finding]:
    """Yield that Istio puts an endpoint picker's processor into the gateway's chain for an InferencePool."""
    for reference in entry.node.below("backendRefs"):
        if reference.get("kind").text == "InferencePool":
            detail = f"the InferencePool `{reference.get('name').text}` brings `envoy.filters.http.ext_proc` along."
            yield finding(SECOND_EXT_PROC, detail, reference.get("kind"), routes.owner)


def _served_models(mesh: Mesh) -> Iterator[Finding]:
    """Yield KServe's services whose scheduler brings an InferencePool, and a route for it at a gateway."""
    for one in mesh.of("serving.kserve.io", "LLMInferenceService"):
        scheduler = one.spec.get("router", "scheduler")
        if present(scheduler) and present(one.spec.get("router", "gateway")):
            detail = "its scheduler brings `envoy.filters.http.ext_proc` to the gateway that it is bound to."
            yield finding(SECOND_EXT_PROC, detail, scheduler, one)
