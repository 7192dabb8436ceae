"""Rules about routes: only an answer of ours names a cluster, and only one that is a region."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_base.names import CLUSTER_HEADER
from borderpost_envoy.doctor.checks import CLUSTERS, ROUTES, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Leads, Route, VirtualHost
from borderpost_envoy.doctor.routes import METADATA_INPUT
from borderpost_envoy.doctor.scene import MATCHER, Scene, is_law, named_in_match

_HEADER_INPUT = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_UNBOUND = ("ORIGINAL_DST", "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig")
"""Kinds of clusters whose endpoint the request names."""


@check(
    Rule(
        "BPD026",
        "a route passes the decision by",
        "The route names its cluster itself. Borderpost is asked and its answer changes nothing: the request goes "
        "there whatever the law says, and a missing answer is no refusal.",
        "Let the route's cluster be named by the decision (the matcher, or `cluster_header`); take catch-alls out.",
    ),
    source=ROUTES,
)
def obeys_the_decision(scene: Scene) -> Iterator[Hit]:
    """Look for routes of guarded managers that lead to a region, or beside one, on their own."""
    for manager, _, host, route in scene.guarded_routes():
        if scene.observed(manager, route):
            continue
        subject = f"virtual host {host.name}, route {route.label}"
        if route.leads is Leads.UNKNOWN:
            yield Hit(route.message, subject, "What it does with requests is none of what is known.")
        if is_law(route):
            value = named_in_match(route)
            other = [name for name in route.clusters if value is not None and not _same(value, name, scene)]
            if other:
                yield Hit(route.message, subject, f"The decision for `{value}` goes to `{other[0]}`.")
        elif direct := sorted(set(route.clusters) & scene.regions):
            yield Hit(route.message, subject, f"Requests go to `{direct[0]}` without a decision that names it.")
        elif route.clusters and (beside := _beside(route, host)):
            level = Level.ERROR if beside == "all" else Level.WARNING
            message = f"Requests that no decision leads elsewhere go to `{route.clusters[0]}`."
            yield Hit(route.message, subject, message, level)


def _same(value: str, cluster: str, scene: Scene) -> bool:
    """Return True if a name in the decision may stand for a cluster: they are equal, or nobody knows better."""
    known = scene.expected.regions
    return value == cluster or (value not in known and not any(value in (region,) for region in scene.clusters))


def _beside(route: Route, host: VirtualHost) -> str | None:
    """Return `all` for a route that takes what a law route of its host takes, `some` for a part, None for neither."""
    own = _path(route)
    taken = [path for other in host.routes if is_law(other) for path in [_path(other)]]
    if any(own is None or path is None or path.startswith(own) for path in taken):
        return "all"
    return "some" if any(own is not None and path is not None and own.startswith(path) for path in taken) else None


def _path(route: Route) -> str | None:
    """Return the prefix that a route takes, or the whole path; None where it is another kind of match."""
    match = route.message.get("match")
    return match.text("prefix") or match.text("path") or match.text("path_separated_prefix")


@check(
    Rule(
        "BPD027",
        "the allow-list has a way out",
        "What no decision names must lead nowhere. A fallback, another input than our header, or another kind of "
        "specifier leads somewhere.",
        f"Use the matcher specifier on the header `{CLUSTER_HEADER}` with an exact map and no `on_no_match`; take "
        "`route_specifiers` and other specifiers out.",
    ),
    source=ROUTES,
)
def allows_only_what_is_named(scene: Scene) -> Iterator[Hit]:
    """Look into the specifiers of law routes."""
    seen: set[int] = set()
    for _, table, host, route in scene.guarded_routes():
        subject = f"virtual host {host.name}, route {route.label}"
        for holder in (table.message, host.message, route.message, route.action):
            if holder.has("route_specifiers"):
                yield Hit(holder, subject, "`route_specifiers` may change the route after it was chosen.")
        specifier = route.specifier
        if route.leads is Leads.PLUGIN and specifier is None:
            yield Hit(route.message, subject, "Its cluster specifier is not there.")
        if specifier is None or id(specifier) in seen:
            continue
        seen.add(id(specifier))
        if specifier.type != MATCHER:
            yield Hit(specifier.message, subject, f"`{specifier.type}` names the cluster, not a matcher.")
        else:
            yield from _wayouts(specifier.config.get("cluster_matcher"), subject)


def _wayouts(matcher: Message, subject: str) -> Iterator[Hit]:
    tree = matcher.get("matcher_tree")
    if matcher.get("on_no_match").present:
        yield Hit(matcher.get("on_no_match"), subject, "`on_no_match` leads to a cluster without a decision.")
    if not tree.get("exact_match_map").present:
        yield Hit(matcher, subject, "It is no exact map of names to clusters.")
        return
    kind, config = tree.get("input").typed("typed_config")
    header = (config.text("header_name") or "").lower()
    if not kind.endswith(METADATA_INPUT) and (kind != _HEADER_INPUT or header != CLUSTER_HEADER):
        yield Hit(tree.get("input"), subject, f"Its input is `{header or kind}`, not the header `{CLUSTER_HEADER}`.")
    for name, entry in tree.get("exact_match_map").entries("map"):
        if entry.get("matcher").present:
            yield from _wayouts(entry.get("matcher"), subject)
        action = entry.get("action").typed("typed_config")[1]
        cluster = action.text("cluster")
        if cluster is not None and cluster != name:
            yield Hit(action, subject, f"The decision for `{name}` goes to `{cluster}`.")


@check(
    Rule(
        "BPD028",
        "a matcher reads metadata, which ends Envoy",
        "Envoy 1.40.0 crashes at the first request whose cluster a matcher chooses by dynamic metadata; everybody's "
        "requests go with it.",
        f"Let the matcher read the header `{CLUSTER_HEADER}`.",
    ),
    source=ROUTES,
)
def reads_no_metadata(scene: Scene) -> Iterator[Hit]:
    """Look for that input, on any route of any listener."""
    seen: set[int] = set()
    for _, chain in scene.chains():
        for _, host, route in chain.manager.routes() if chain.manager is not None else ():
            specifier = route.specifier
            if specifier is not None and specifier.reads_metadata and id(specifier) not in seen:
                seen.add(id(specifier))
                subject = f"virtual host {host.name}, route {route.label}"
                yield Hit(specifier.message, subject, "The matcher's input is dynamic metadata.")


@check(
    Rule(
        "BPD029",
        "a client's header names the cluster",
        f"Only `{CLUSTER_HEADER}` is stripped from clients and set by decisions; any other header is the client's "
        "choice of region.",
        f"Set `cluster_header: {CLUSTER_HEADER}`.",
    ),
    source=ROUTES,
)
def goes_by_our_header(scene: Scene) -> Iterator[Hit]:
    """Look at which header names the cluster."""
    for _, _, host, route in scene.guarded_routes():
        if route.leads is Leads.HEADER and route.header != CLUSTER_HEADER:
            subject = f"virtual host {host.name}, route {route.label}"
            yield Hit(route.message, subject, f"`cluster_header` is `{route.header}`.")


@check(
    Rule(
        "BPD030",
        "a decision could lead out of every region",
        "A cluster that takes its endpoint from the request (original destination, dynamic forward proxy) is "
        "everywhere. Behind `cluster_header` its name is enough.",
        "Take the cluster out, or route by the matcher, which lists the clusters that may be named.",
        Level.WARNING,
    ),
    source=CLUSTERS,
)
def leads_to_regions_only(scene: Scene) -> Iterator[Hit]:
    """Look for clusters without an address of their own that law routes can reach."""
    by_header = any(route.leads is Leads.HEADER for _, _, _, route in scene.guarded_routes())
    for cluster in scene.clusters.values():
        if cluster.kind in _UNBOUND and (by_header or cluster.name in scene.regions):
            level = Level.ERROR if cluster.name in scene.regions else None
            message = (
                f"It is {cluster.kind.rpartition('.v3.')[0].rpartition('.')[2] or cluster.kind}, and can be named."
            )
            yield Hit(cluster.message, f"cluster {cluster.name}", message, level)


@check(
    Rule(
        "BPD031",
        "the policy does not know the route",
        "The policy's `routes` section goes by the route's name. A route without one, or with another, is judged by "
        "what holds for none in particular, and the record does not say which it was.",
        "Name the route as the policy does (on Istio: `http[].name` of the VirtualService).",
        Level.WARNING,
    ),
    source=ROUTES,
)
def has_a_name(scene: Scene) -> Iterator[Hit]:
    """Look at the names of law routes."""
    known = scene.expected.routes
    for _, _, host, route in scene.guarded_routes():
        if not is_law(route):
            continue
        subject = f"virtual host {host.name}, route {route.label}"
        if not route.name:
            yield Hit(route.message, subject, "It has no name.")
        elif known and route.name not in known:
            yield Hit(route.message, subject, f"`{route.name}` is not in the configuration's `routes`.")


@check(
    Rule(
        "BPD032",
        "the decision travels on to the region",
        "The upstream sees headers that are between Envoy and Borderpost, and may pass them on; a second Envoy behind "
        "this one would obey them.",
        f"Add `{CLUSTER_HEADER}` to `request_headers_to_remove` of the routes.",
        Level.WARNING,
    ),
    source=ROUTES,
)
def keeps_the_decision(scene: Scene) -> Iterator[Hit]:
    """Look for the removal of our header toward upstreams."""
    for _, table, host, route in scene.guarded_routes():
        if is_law(route):
            holders = (table.message, host.message, route.message)
            removed = {name.lower() for holder in holders for name in holder.texts("request_headers_to_remove")}
            if CLUSTER_HEADER not in removed:
                subject = f"virtual host {host.name}, route {route.label}"
                yield Hit(route.message, subject, f"`{CLUSTER_HEADER}` is not removed.")
