"""Rules about second sendings: retries, mirrors and redirects that leave the region or go undecided."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.reports.finding import Rule
from borderpost_envoy.doctor.checks import MANAGEMENT, PRIORITIES, ROUTES, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Cluster, Manager, Route, VirtualHost
from borderpost_envoy.doctor.scene import Scene

_MIRRORS = ("request_mirror_policies", "request_mirror_policy")


@check(
    Rule(
        "BPD038",
        "a retry may leave the region",
        "`retry_priority` takes a retry to another priority of the cluster, `refresh_cluster_on_retry` chooses the "
        "cluster again, and a cluster's own retry policy replaces the route's. Istio's `retryRemoteLocalities` is the "
        "first.",
        "Keep retries to `previous_hosts` in the route's policy; take the rest out.",
    ),
    source=PRIORITIES,
)
def retries_in_the_region(scene: Scene) -> Iterator[Hit]:
    """Look at the retry policies of routes, virtual hosts and clusters."""
    for subject, policy, of_group in _policies(scene):
        if policy.get("retry_priority").present and not of_group:
            yield Hit(policy, subject, f"`retry_priority` is `{policy.get('retry_priority').text('name')}`.")
        if policy.flag("refresh_cluster_on_retry"):
            yield Hit(policy, subject, "`refresh_cluster_on_retry` is set.")
    for cluster in _leaves(scene):
        policy = cluster.http_options.get("retry_policy")
        if policy.present:
            yield Hit(policy, f"cluster {cluster.name}", "It has a retry policy of its own.")


def _leaves(scene: Scene) -> Iterator[Cluster]:
    """Yield clusters but for groups by the configuration's word: retries inside those are what was decided."""
    yield from (one for one in scene.reachable if scene.expected.groups.get(one.name) != frozenset(one.members))


def _policies(scene: Scene) -> Iterator[tuple[str, Message, bool]]:
    """Yield each policy with where it stands, and whether it is of a route to a declared group alone."""
    for manager in scene.guarded:
        to_groups = {
            _subject(host, route)
            for _, host, route in manager.routes()
            if route.clusters and all(_is_group(scene, name) for name in route.clusters)
        }
        for subject, holder in _levels(scene, manager):
            for one in (holder.get("retry_policy"), holder.get("retry_policy_typed_config")):
                if one.present:
                    yield subject, one.content, subject in to_groups
    for cluster in _leaves(scene):
        policy = cluster.http_options.get("retry_policy")
        if policy.present:
            yield f"cluster {cluster.name}", policy, False


def _is_group(scene: Scene, name: str) -> bool:
    """Return True for a cluster that is a group by the configuration's word, of just those regions."""
    cluster = scene.clusters.get(name)
    return cluster is not None and scene.expected.groups.get(name) == frozenset(cluster.members)


def _levels(scene: Scene, manager: Manager) -> Iterator[tuple[str, Message]]:
    """Yield what may hold policies of routes that Borderpost decides about: their actions, hosts and tables."""
    told: set[int] = set()
    for table, host, route in scene.asking(manager):
        yield _subject(host, route), route.action
        for subject, holder in ((f"routes {table.name}", table), (f"virtual host {host.name}", host)):
            if id(holder) not in told:
                told.add(id(holder))
                yield subject, holder.message


def _subject(host: VirtualHost, route: Route) -> str:
    return f"virtual host {host.name}, route {route.label}"


@check(
    Rule(
        "BPD039",
        "requests are mirrored",
        "A mirror gets the whole request, prompt included, and nobody decided that it may. A MERGE patch cannot take "
        "it out again.",
        "Take `request_mirror_policies` out of route configuration, virtual host, route and cluster.",
    ),
    source=ROUTES,
)
def mirrors_nothing(scene: Scene) -> Iterator[Hit]:
    """Look for mirrors at all four levels."""
    levels = [level for manager in scene.guarded for level in _levels(scene, manager)]
    levels += [(f"cluster {cluster.name}", cluster.http_options) for cluster in scene.reachable]
    for subject, holder in levels:
        for name in _MIRRORS:
            for mirror in (*holder.each(name), *([holder.get(name)] if holder.get(name).present else [])):
                target = mirror.text("cluster") or mirror.text("cluster_header") or "?"
                yield Hit(mirror, subject, f"Requests are copied to `{target}`.")


@check(
    Rule(
        "BPD040",
        "an upstream may send a request elsewhere",
        "With internal redirects Envoy follows an upstream's 3xx: the prompt is sent a second time, to a host and a "
        "path that the upstream chose, and so perhaps under another route's law.",
        "Take `internal_redirect_policy` and `internal_redirect_action` out.",
    ),
    source=MANAGEMENT,
)
def follows_no_redirects(scene: Scene) -> Iterator[Hit]:
    """Look for internal redirects."""
    for manager in scene.guarded:
        for _, host, route in scene.asking(manager):
            action = route.action
            followed = action.choice("internal_redirect_action", ("PASS_THROUGH_INTERNAL_REDIRECT", "HANDLE"))
            if action.get("internal_redirect_policy").present or followed.startswith("HANDLE"):
                yield Hit(route.message, _subject(host, route), "Redirects of the upstream are followed.")
