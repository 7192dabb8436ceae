"""Whether EnvoyFilters of ours arrive: context, selector, namespace, version, operation, and what they match.

istiod 1.29 says nothing of a patch that it skips (istio/istio, pilot/pkg/networking/core/envoyfilter). What it would
match is told from the Gateways and VirtualServices among the files; where there are none, that is said, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding
from borderpost_istio.doctor.mesh import ADDS, OPERATIONS, Mesh, Patch
from borderpost_istio.doctor.reading import GATEWAY_API, NETWORKING, field, finding, labels_of, present
from borderpost_istio.doctor.routing import Routing, matches_configuration, matches_route, matches_virtual_host
from borderpost_istio.doctor.rules import patches as rules
from borderpost_istio.doctor.rules.platform import NOT_EXAMINED
from borderpost_istio.versions import RELEASES

_FILTER_NEEDED: Final = {"NETWORK_FILTER": ("filter",), "HTTP_FILTER": ("filter", "sub_filter")}
"""Where REPLACE and REMOVE do nothing without the name of a filter."""
_NETWORK_FILTERS: Final = (
    "envoy.filters.network.http_connection_manager",
    "envoy.filters.network.tcp_proxy",
    "envoy.filters.network.rbac",
    "istio.metadata_exchange",
    "istio.stats",
)
_HTTP_FILTERS: Final = (
    "envoy.filters.http.router",
    "envoy.filters.http.cors",
    "envoy.filters.http.fault",
    "envoy.filters.http.rbac",
    "envoy.filters.http.ext_authz",
    "envoy.filters.http.ext_proc",
    "envoy.filters.http.jwt_authn",
    "envoy.filters.http.grpc_stats",
    "envoy.filters.http.grpc_web",
    "envoy.filters.http.health_check",
    "envoy.filters.http.stateful_session",
    "envoy.filters.http.wasm",
    "istio.alpn",
    "istio.metadata_exchange",
    "istio.stats",
    "istio_authn",
)
"""Filters that istiod puts into a gateway's chains (istio/istio, `listener_builder.go`)."""


def examine_our_patches(mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    """Yield what keeps patches of ours from arriving."""
    for one in mesh.of(NETWORKING, "EnvoyFilter"):
        if id(one) in mesh.our_filters:
            yield from _selection(mesh, routing, one)
    missing: set[int] = set()
    for patch in mesh.patches:
        if not mesh.is_ours(patch):
            continue
        skipped = [*_context(patch), *_version(patch), *_operation(patch)]
        yield from skipped
        if skipped:
            continue
        if _unknowable(patch, routing):
            if id(patch.owner) not in missing:
                missing.add(id(patch.owner))
                detail = "no Gateway and VirtualService of its gateway are among the files, so what its patches match "
                yield finding(NOT_EXAMINED, f"{detail}was not examined.", patch.match, patch.owner)
            continue
        for found in _matching(patch, mesh, routing):
            yield found if routing.knows_gateways else _unsure(found)
    yield from _names(routing)


def _unsure(found: Finding) -> Finding:
    """Return what is said where files without a Gateway are no whole mesh: what is missing may stand elsewhere."""
    return replace(found, rule=NOT_EXAMINED, level=NOT_EXAMINED.level, help=NOT_EXAMINED.mend)


def _selection(mesh: Mesh, routing: Routing, one: Object) -> Iterator[Finding]:
    """Yield that an EnvoyFilter selects nothing, or stands where nobody looks."""
    targets = [*one.spec.below("targetRefs")]
    for target in targets:
        name = target.get("name").text
        known = list(mesh.of(GATEWAY_API, "Gateway"))
        found = any(gateway.name == name and gateway.namespace == one.namespace for gateway in known)
        if target.get("kind").text == "Gateway" and known and not found:
            detail = f"`targetRefs` names the Gateway {name}, which is not in the namespace {one.namespace}."
            yield finding(rules.SELECTS_NOTHING, detail, target.get("name"), one)
    if targets:
        return
    selector = one.spec.get("workloadSelector", "labels")
    labels = labels_of(selector)
    at = selector if labels else one.node.get("metadata", "name")
    elsewhere = [*_elsewhere(mesh, one, labels, at)]
    if elsewhere:
        yield from elsewhere
        return
    pods = [(owner, labels_of(metadata.get("labels"))) for owner, metadata, _ in mesh.pods]
    selected = [owner for owner, own in pods if labels.items() <= own.items()]
    gateways = list(mesh.of(NETWORKING, "Gateway"))
    wanted = [labels_of(gateway.spec.get("selector")) for gateway in gateways]
    if one.namespace == mesh.setting.root_namespace:
        near = selected
    else:
        near = [owner for owner in selected if owner.namespace == one.namespace]
    if selected and not near:
        there = ", ".join(sorted({owner.namespace for owner in selected}))
        detail = f"it stands in {one.namespace}, the gateway's pods in {there}."
        yield finding(rules.WRONG_NAMESPACE, detail, one.node.get("metadata", "namespace"), one)
    elif labels and pods and not near and _has_gateway_pods(pods, wanted):
        detail = f"no pods have the labels {_shown(labels)}."
        yield finding(rules.SELECTS_NOTHING, detail, at, one)
    elif labels and not pods and wanted and not any(_agree(labels, other) for other in wanted):
        detail = f"no Gateway selects the labels {_shown(labels)}; they select {_shown(wanted[0])}."
        yield finding(rules.SELECTS_NOTHING, detail, at, one)


def _elsewhere(mesh: Mesh, one: Object, labels: Mapping[str, str], at: Node) -> Iterator[Finding]:
    """Yield that an EnvoyFilter is about another gateway than the configuration."""
    namespace, workload = mesh.setting.gateway_namespace, mesh.setting.workload
    if namespace is not None and one.namespace not in (namespace, mesh.setting.root_namespace):
        detail = f"it stands in {one.namespace}, and the configuration's gateway in {namespace}."
        yield finding(rules.WRONG_NAMESPACE, detail, one.node.get("metadata", "namespace"), one)
    elif any(workload.get(key, value) != value for key, value in labels.items()):
        detail = f"it selects {_shown(labels)}; the configuration's gateway has {_shown(workload)}."
        yield finding(rules.SELECTS_NOTHING, detail, at, one)


def _has_gateway_pods(pods: Iterable[tuple[Object, dict[str, str]]], wanted: Iterable[dict[str, str]]) -> bool:
    """Say whether the pods of some gateway are among the files, so that a missing one is missing."""
    selectors = list(wanted)
    return any(selector.items() <= labels.items() for _, labels in pods for selector in selectors if selector)


def _agree(one: dict[str, str], other: dict[str, str]) -> bool:
    shared = one.keys() & other.keys()
    return bool(shared) and all(one[key] == other[key] for key in shared)


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "(none)"


def _context(patch: Patch) -> Iterator[Finding]:
    if patch.context.startswith("SIDECAR") or patch.context == "WAYPOINT":
        detail = f"the patch of {patch.subject} is for {patch.context}; a gateway never takes it."
        yield finding(rules.WRONG_CONTEXT, detail, patch.match.get("context"), patch.owner)


def _version(patch: Patch) -> Iterator[Finding]:
    node = field(patch.match, "proxy", "proxy_version")
    if node.text is None:
        return
    try:
        pattern = re.compile(node.text)
    except re.error as error:
        yield finding(rules.PROXY_VERSION, f"`{node.text}` is no regular expression: {error}.", node, patch.owner)
        return
    lost = [release for release in RELEASES if not pattern.search(f"{release}.0")]
    if lost:
        detail = f"`{node.text}` does not match the supported versions {', '.join(lost)}."
        yield finding(rules.PROXY_VERSION, detail, node, patch.owner)


def _operation(patch: Patch) -> Iterator[Finding]:
    possible = OPERATIONS.get(patch.apply_to)
    node = patch.node.get("patch", "operation")
    if possible is None or patch.operation not in possible:
        what = f"{patch.operation or 'no operation'} on {patch.apply_to or 'nothing'}"
        near = f"; {', '.join(sorted(possible))} work" if possible else ""
        yield finding(rules.PATCH_WITHOUT_EFFECT, f"istiod passes over {what}{near}.", node, patch.owner)
    elif patch.operation in ("REPLACE", "REMOVE") and patch.apply_to in _FILTER_NEEDED:
        wanted = field(patch.match, "listener", "filter_chain", *_FILTER_NEEDED[patch.apply_to], "name")
        if wanted.text is None:
            detail = f"{patch.operation} on {patch.apply_to} does nothing unless the match names a filter."
            yield finding(rules.PATCH_WITHOUT_EFFECT, detail, node, patch.owner)


def _unknowable(patch: Patch, routing: Routing) -> bool:
    """Say whether what the patch would match is not among the files."""
    if routing.knows_gateways:
        return patch.apply_to in ("VIRTUAL_HOST", "HTTP_ROUTE") and not routing.virtual_hosts
    routes, listener = field(patch.match, "route_configuration"), patch.match.get("listener")
    specific = [field(routes, name) for name in ("name", "port_number", "gateway", "port_name")]
    specific += [field(listener, name) for name in ("name", "port_number")]
    return any(present(node) for node in specific) or (present(routes.get("vhost")) and not routing.virtual_hosts)


def _matching(patch: Patch, mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    if patch.apply_to in ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"):
        yield from _route_matching(patch, routing)
    elif patch.apply_to in ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"):
        yield from _listener_matching(patch, mesh, routing)
    elif patch.apply_to == "CLUSTER" and patch.operation in ("MERGE", "REMOVE"):
        yield from _cluster_matching(patch, mesh)


def _nothing(patch: Patch, node: Node, what: str, name: str, known: Iterable[str]) -> Finding:
    """Return that something is named which is not there, with the nearest that is."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    there = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(f'`{one}`' for one in names[:5])}."
    detail = f"no {what} `{name}` comes of the Gateways and VirtualServices: the patch of {patch.subject} is skipped"
    return finding(rules.PATCH_MATCHES_NOTHING, f"{detail}; {there}" if names else f"{detail}.", node, patch.owner)


def _route_matching(patch: Patch, routing: Routing) -> Iterator[Finding]:
    wanted = field(patch.match, "route_configuration")
    servers = [server for server in routing.servers if matches_configuration(wanted, server)]
    if not servers and routing.knows_gateways:
        key, node = _said(wanted, "name", "port_number", "gateway", "port_name")
        known = {
            "name": [server.route_configuration for server in routing.servers],
            "port_number": [str(server.port) for server in routing.servers],
            "gateway": [server.key for server in routing.servers if server.tls],
            "port_name": [server.port_name for server in routing.servers if server.tls],
        }
        yield _nothing(patch, node, f"route configuration with {key}", node.text or "", known[key])
        return
    if patch.apply_to == "ROUTE_CONFIGURATION":
        return
    hosts = [host for host in routing.virtual_hosts if matches_configuration(wanted, host.server)]
    if patch.apply_to == "VIRTUAL_HOST" and patch.operation in ADDS:
        return
    reached = [host for host in hosts if matches_virtual_host(wanted, host)]
    if not reached and routing.virtual_hosts:
        key, node = _said(wanted.get("vhost"), "name", "domain_name")
        names = [host.name for host in hosts] if key == "name" else [name for host in hosts for name in host.domains]
        yield _nothing(patch, node, "virtual host", node.text or "", names)
        return
    route = wanted.get("vhost", "route")
    if not reached or patch.apply_to != "HTTP_ROUTE" or not present(route) or patch.operation == "ADD":
        return
    routes = [(host, entry, name) for host in reached for _, entry in host.routes for name in entry.names]
    if not any(matches_route(patch, *one) for one in routes):
        key, node = _said(route, "name", "action")
        yield _nothing(patch, node, f"route with {key}", node.text or "", [name for _, _, name in routes if name])


def _said(wanted: Node, *names: str) -> tuple[str, Node]:
    """Return the first of some fields that is said, with its name."""
    for name in names:
        if field(wanted, name).text is not None:
            return name, field(wanted, name)
    return names[0], wanted


def _listener_matching(patch: Patch, mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    wanted = field(patch.match, "listener")
    port = field(wanted, "port_number")
    ports = {str(server.port) for server in routing.servers} | _target_ports(mesh)
    if port.text not in (None, "0") and port.text not in ports and routing.knows_gateways:
        yield _nothing(patch, port, "listener on port", port.text or "", ports)
        return
    name = wanted.get("name")
    names = {f"0.0.0.0_{number}" for number in ports} | {f"[::]_{number}" for number in ports}
    if name.text is not None and name.text not in names and routing.knows_gateways:
        yield _nothing(patch, name, "listener", name.text, names)
        return
    chain = field(wanted, "filter_chain")
    added = {other.value.get("name").text or "" for other in mesh.patches if other.operation in ADDS}
    filters = chain.get("filter", "name")
    if filters.text is not None and filters.text not in {*_NETWORK_FILTERS, *added}:
        yield _nothing(patch, filters, "network filter", filters.text, _NETWORK_FILTERS)
        return
    below = field(chain, "filter", "sub_filter", "name")
    own = patch.value.get("name").text
    if below.text is not None and below.text not in {*_HTTP_FILTERS, *(added - {own or ""})}:
        yield _nothing(patch, below, "HTTP filter", below.text, _HTTP_FILTERS)


def _target_ports(mesh: Mesh) -> set[str]:
    """Return the ports of pods behind Services, which a gateway listens on in place of the Gateway's."""
    return {
        port.get("targetPort").text or "" for service in mesh.of("", "Service") for port in service.spec.below("ports")
    } - {""}


def _cluster_matching(patch: Patch, mesh: Mesh) -> Iterator[Finding]:
    wanted = patch.match.get("cluster")
    service = wanted.get("service")
    hosts = _known_hosts(mesh)
    if service.text is not None and hosts and service.text.lower() not in hosts:
        yield _nothing(patch, service, "cluster of the service", service.text, hosts)


def _known_hosts(mesh: Mesh) -> set[str]:
    hosts = {
        (host.text or "").lower() for entry in mesh.of(NETWORKING, "ServiceEntry") for host in entry.spec.below("hosts")
    }
    return hosts | {f"{one.name}.{one.namespace}.svc.cluster.local" for one in mesh.of("", "Service")}


def _names(routing: Routing) -> Iterator[Finding]:
    """Yield the routes of protected hosts that have no name."""
    for routes in routing.protecting:
        if routes.owner.kind == "VirtualService":
            for entry in routes.entries:
                if entry.name is None:
                    detail = "this entry of `http` has no `name`."
                    yield finding(rules.ROUTE_UNNAMED, detail, entry.node, routes.owner)
