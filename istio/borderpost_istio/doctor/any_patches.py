"""What no patch on a protected gateway may do, whoever wrote it: let pass, switch off, send elsewhere, take out."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding, Level
from borderpost_base.names import EXT_PROC_FILTER, HEADER_PREFIX, OBSERVE_FILTER
from borderpost_envoy.doctor.charges import bare_charges, ignored_charges
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.plan import SERVER_CLUSTER
from borderpost_istio.doctor.mesh import ADDS, OUR_FILTERS, Mesh, Patch
from borderpost_istio.doctor.reading import everything, field, finding, present, texts_of
from borderpost_istio.doctor.routing import Routing, observes
from borderpost_istio.doctor.rules import patches as rules
from borderpost_istio.doctor.rules.traffic import MIRRORED, RETRY_REMOTE

_EXT_PROC = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
_EXT_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_RATE_LIMIT = "envoy.extensions.filters.http.ratelimit.v3.RateLimit"
_LIMITS = "envoy.extensions.filters.http.ratelimit.v3."
"""Of the messages whose `rate_limits` Envoy takes `hits_addend` from."""
_DEFAULT_NAME = "envoy.filters.http.ext_proc"
_MANAGER = "envoy.filters.network.http_connection_manager"
_REMOVALS = frozenset(
    {"remove", "remove_on_match", "request_headers_to_remove", "requestHeadersToRemove", "response_headers_to_remove"}
    | {"responseHeadersToRemove", "removeOnMatch"}
)
"""Keys below which a header's name is taken away, which never hurts."""
_PER_ROUTE = ("typed_per_filter_config", "typedPerFilterConfig")


def examine_any_patch(mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    """Yield what patches on protected gateways do that lets requests leak."""
    for patch in mesh.patches:
        if mesh.touches(patch):
            yield from _filter(patch, mesh)
            yield from _within(patch, is_ours=mesh.is_ours(patch))
            if not mesh.is_ours(patch):
                yield from _header(patch)
                yield from _taken_out(patch, routing)


def _filter(patch: Patch, mesh: Mesh) -> Iterator[Finding]:
    """Examine an HTTP filter that a patch brings in or changes."""
    if patch.apply_to != "HTTP_FILTER" or patch.operation == "REMOVE":
        return
    wanted = field(patch.match, "listener", "filter_chain", "filter", "sub_filter", "name").text
    name = patch.value.get("name").text or (wanted if patch.operation == "MERGE" else None)
    kind, config = Message(patch.value).typed("typed_config")
    asks = config.get("grpc_service", "envoy_grpc").text("cluster_name")
    if name == OBSERVE_FILTER:
        return  # it decides nothing; where it stands in place of the one that does is told there
    if name in OUR_FILTERS or (kind in (_EXT_PROC, _EXT_AUTHZ) and asks == SERVER_CLUSTER):
        yield from _our_filter(patch, config, mesh)
    elif kind == _EXT_PROC or (name == _DEFAULT_NAME and patch.operation in ADDS):
        detail = f"the filter `{name}` is a second processor in the chain of a protected gateway."
        yield finding(rules.SECOND_EXT_PROC, detail, _named(patch.value), patch.owner)
    if kind == _RATE_LIMIT and not config.flag("failure_mode_deny"):
        node = field(config.node, "failure_mode_deny")
        detail = f"the rate limit `{name}` lets requests pass where its service does not answer."
        yield finding(rules.RATE_LIMIT_OPEN, detail, node, patch.owner)


def _named(node: Node) -> Node:
    return node.get("name") if present(node.get("name")) else node


def _our_filter(patch: Patch, config: Message, mesh: Mesh) -> Iterator[Finding]:
    if config.flag("failure_mode_allow"):
        node = field(config.node, "failure_mode_allow")
        detail = "`failure_mode_allow` is true on the filter of Borderpost."
        yield finding(rules.FAILURE_ALLOWED, detail, node, patch.owner)
    modes = config.get("processing_mode")
    skipped = modes.text("request_header_mode") == "SKIP"
    for node, wrong in (
        (patch.value.get("disabled"), Message(patch.value).flag("disabled") and not _turned_on(mesh)),
        (field(config.node, "observability_mode"), config.flag("observability_mode")),
        (field(config.node, "processing_mode", "request_header_mode"), skipped),
    ):
        if wrong:
            detail = f"`{node.path[-1]}: {node.text}` keeps the filter of Borderpost from deciding."
            yield finding(rules.ASKING_DISABLED, detail, node, patch.owner)


def _turned_on(mesh: Mesh) -> bool:
    """Say whether each route of ours turns the filter on, which is off for the other hosts of a shared gateway."""
    routes = [
        Message(patch.value).get("typed_per_filter_config")
        for patch in mesh.patches
        if mesh.is_ours(patch)
        and patch.apply_to == "HTTP_ROUTE"
        and present(patch.value.get("route"))
        and not observes(patch.value)
    ]
    if any(entry.by_header for one in mesh.routes for entry in one.entries):
        return False  # a VirtualService cannot turn it on
    on = [any(own.get(name).present and not own.get(name).flag("disabled") for name in OUR_FILTERS) for own in routes]
    return bool(on) and all(on)


def _within(patch: Patch, *, is_ours: bool) -> Iterator[Finding]:
    """Examine everything in a patch's value, at whatever depth."""
    for node in everything(patch.value):
        if not isinstance(node.value, dict):
            continue
        for name in _PER_ROUTE:
            for key, own in node.get(name).items():
                if key in OUR_FILTERS and is_ours and observes(node):
                    detail = "requests of a route are observed, and no law is kept on it."
                    yield finding(rules.ASKING_DISABLED, detail, own, patch.owner, level=Level.WARNING)
                elif key in OUR_FILTERS:
                    yield from _per_route(patch, key, own, is_ours=is_ours)
        message = Message(node)
        wrong = bare_charges if message.type_name.startswith(_LIMITS) else ignored_charges
        for charge, detail in wrong(message.content):
            yield finding(rules.CHARGED_BARE, detail, charge.node, patch.owner)
        for mirror in message.each("request_mirror_policies"):
            detail = f"the patch of {patch.subject} mirrors requests."
            yield finding(MIRRORED, detail, mirror.node, patch.owner)
        redirect = field(node, "internal_redirect_policy")
        if present(redirect):
            detail = f"the patch of {patch.subject} has Envoy follow redirects."
            yield finding(rules.INTERNAL_REDIRECT, detail, redirect, patch.owner)
        for upgrade in message.each("upgrade_configs"):
            if upgrade.flag("enabled", default=True):
                detail = f"the patch of {patch.subject} lets `{upgrade.text('upgrade_type')}` through."
                yield finding(rules.UPGRADES, detail, upgrade.node, patch.owner)
        connect = field(node, "allow_connect")
        if connect.value is True:
            yield finding(rules.UPGRADES, "`allow_connect` lets CONNECT through.", connect, patch.owner)
        priority = field(node, "retry_priority")
        if present(priority) and not (is_ours and _is_aggregate(patch)):
            detail = f"the patch of {patch.subject} sends retries to further priorities."
            yield finding(RETRY_REMOTE, detail, priority, patch.owner)


def _is_aggregate(patch: Patch) -> bool:
    """Say whether a patch brings an aggregate: of ours, it is named only for requests that each member is legal for."""
    return field(patch.value, "cluster_type", "name").text == "envoy.clusters.aggregate"


def _per_route(patch: Patch, name: str, own: Node, *, is_ours: bool) -> Iterator[Finding]:
    """Examine what a route or host sets for our filter; own routes may leave bodies unread, and nothing else."""
    config = Message(own).content
    if config.type_name.endswith(".FilterConfig"):
        if config.flag("disabled"):
            yield _disabled(patch, name, config.node.get("disabled"))
        config = config.get("config").content
    if config.flag("disabled"):
        yield _disabled(patch, name, config.node.get("disabled"))
    settings = "overrides" if name == EXT_PROC_FILTER else "check_settings"
    overrides = config.get(settings)
    if not overrides.present:
        return
    if overrides.flag("failure_mode_allow"):
        node = field(overrides.node, "failure_mode_allow")
        detail = f"an override of `{name}` lets requests pass where Borderpost does not answer."
        yield finding(rules.FAILURE_ALLOWED, detail, node, patch.owner)
    allowed = {"processing_mode", "processingMode"} if name == EXT_PROC_FILTER else {"disable_request_body_buffering"}
    headers = overrides.get("processing_mode").text("request_header_mode")
    others = [key for key, _ in overrides.node.items() if key not in allowed | {"failure_mode_allow"}]
    if others or headers == "SKIP" or not is_ours:
        node = overrides.node.get(others[0]) if others else overrides.node
        detail = f"settings of `{name}` are overridden for some requests."
        yield finding(rules.ASKING_OVERRIDDEN, detail, node, patch.owner)


def _disabled(patch: Patch, name: str, node: Node) -> Finding:
    return finding(rules.ASKING_DISABLED, f"`{name}` is disabled for some requests.", node, patch.owner)


def _header(patch: Patch) -> Iterator[Finding]:
    """Yield each text in somebody else's patch that names one of our headers other than to remove it."""
    for node in everything(patch.value):
        names_ours = isinstance(node.value, str) and HEADER_PREFIX in node.value.lower()
        if names_ours and not any(key in _REMOVALS for key in node.path if isinstance(key, str)):
            detail = f"the patch of {patch.subject} names a header under `{HEADER_PREFIX}`."
            yield finding(rules.HEADER_SET, detail, node, patch.owner)


def _taken_out(patch: Patch, routing: Routing) -> Iterator[Finding]:
    """Examine somebody else's patch that removes, replaces or brings in a destination."""
    if not patch.has_effect:
        return
    if patch.operation in ("REMOVE", "REPLACE") and _hits_ours(patch, routing):
        detail = f"{patch.operation} on {patch.apply_to} takes out what protects the gateway."
        yield finding(rules.FILTER_TAKEN_OUT, detail, patch.node.get("patch", "operation"), patch.owner)
    elif patch.apply_to == "CLUSTER" and _changes_cluster(patch, routing):
        detail = "a patch changes the cluster that Borderpost is asked by, or a region's."
        yield finding(rules.ROUTE_ELSEWHERE, detail, patch.value, patch.owner)
    elif patch.apply_to in ("HTTP_ROUTE", "VIRTUAL_HOST", "ROUTE_CONFIGURATION"):
        action = _destination(patch)
        if action is not None and _protected(patch, routing):
            detail = f"the patch of {patch.subject} gives requests of a protected host a destination of its own."
            yield finding(rules.ROUTE_ELSEWHERE, detail, action, patch.owner)


def _hits_ours(patch: Patch, routing: Routing) -> bool:
    chain = field(patch.match, "listener", "filter_chain")
    if patch.apply_to == "HTTP_FILTER":
        return field(chain, "filter", "sub_filter", "name").text in OUR_FILTERS
    if patch.apply_to == "NETWORK_FILTER":
        return chain.get("filter", "name").text == _MANAGER
    if patch.apply_to == "CLUSTER":
        name = patch.match.get("cluster", "name").text
        service = patch.match.get("cluster", "service").text
        return name in (None, SERVER_CLUSTER, *routing.mesh.region_clusters) and (
            service is None or service.lower() in routing.mesh.region_hosts
        )
    if patch.apply_to in ("LISTENER", "FILTER_CHAIN"):
        return patch.operation == "REMOVE" and not present(patch.match.get("listener"))
    return _protected(patch, routing)


def _changes_cluster(patch: Patch, routing: Routing) -> bool:
    """Say whether a patch gives one of the clusters that matter other endpoints or another transport."""
    if patch.operation != "MERGE":
        return patch.value.get("name").text in (SERVER_CLUSTER, *routing.mesh.region_clusters)
    named = patch.match.get("cluster", "name").text
    service = patch.match.get("cluster", "service").text
    reaches = named in (None, SERVER_CLUSTER, *routing.mesh.region_clusters)
    reaches = reaches and (service is None or service.lower() in routing.mesh.region_hosts)
    changes = ("load_assignment", "type", "cluster_type", "transport_socket", "eds_cluster_config", "lb_policy")
    return reaches and any(present(field(patch.value, key)) for key in changes)


def _destination(patch: Patch) -> Node | None:
    """Return where a patch says that requests go; None where it does not."""
    places = (
        "cluster",
        "weighted_clusters",
        "cluster_header",
        "cluster_specifier_plugin",
        "inline_cluster_specifier_plugin",
    )
    for node in everything(patch.value):
        if isinstance(node.value, dict) and node.path[-1] == "route":
            for name in places:
                if present(field(node, name)):
                    return field(node, name)
    return None


def _protected(patch: Patch, routing: Routing) -> bool:
    """Say whether a patch of routes may reach a protected host."""
    wanted = field(patch.match, "route_configuration", "vhost")
    named = wanted.get("name").text
    asked = [field(wanted, "domain_name").text, named.rpartition(":")[0] if named else None]
    if patch.apply_to == "VIRTUAL_HOST" and patch.operation in ADDS | {"REPLACE"}:
        asked = [*texts_of(patch.value.get("domains"))] or asked
    hosts = [host for host in asked if host]
    return not hosts or any(routing.meets_protected(host) for host in hosts)
