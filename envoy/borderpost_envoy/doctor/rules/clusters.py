"""Rules about clusters: one is one region, all of it, and the way there is nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_envoy.doctor.addresses import is_loopback, is_private
from borderpost_envoy.doctor.checks import AGGREGATES, CLUSTERS, LOCALITIES, TLS, Hit, check
from borderpost_envoy.doctor.model import Cluster
from borderpost_envoy.doctor.scene import Scene
from borderpost_envoy.doctor.transport import weakness

_LIST = "the allow-list"


@check(
    Rule(
        "BPD033",
        "one cluster stands for several regions",
        "An aggregate goes on to its next member when one is unhealthy, whatever was decided: the request is in "
        "another region, and the record says the first.",
        "Route to the regions' own clusters. Groups that Borderpost may choose are said in its configuration "
        "(`failover`); give it by --config.",
    ),
    source=AGGREGATES,
)
def has_no_aggregates(scene: Scene) -> Iterator[Hit]:
    """Look for aggregates that are not a group by the configuration's word."""
    for cluster in scene.reachable:
        members = frozenset(cluster.members)
        if len(members) > 1 and scene.expected.groups.get(cluster.name) != members:
            said = ", ".join(f"`{name}`" for name in cluster.members)
            yield Hit(cluster.message, f"cluster {cluster.name}", f"It is an aggregate of {said}.")


@check(
    Rule(
        "BPD034",
        "one cluster has endpoints in several places",
        "Envoy goes to the next priority when one is unhealthy, and spreads over localities: that is Istio's locality "
        "failover, which an outlier detection turns on by itself.",
        "Give each region a cluster of its own, with one priority and one locality; on Istio a host of its own and "
        "`localityLbSetting: {enabled: false}`.",
    ),
    source=LOCALITIES,
)
def stays_in_one_place(scene: Scene) -> Iterator[Hit]:
    """Look at priorities and localities of regions."""
    for cluster in scene.reachable:
        places = sorted({endpoint.region for endpoint in cluster.endpoints if endpoint.region})
        priorities = sorted({endpoint.priority for endpoint in cluster.endpoints})
        if len(places) > 1:
            said = ", ".join(f"`{place}`" for place in places)
            yield Hit(cluster.message, f"cluster {cluster.name}", f"Its endpoints are in {said}.")
        elif len(priorities) > 1:
            said = " and ".join(map(str, priorities))
            yield Hit(cluster.message, f"cluster {cluster.name}", f"Its endpoints have the priorities {said}.")


@check(
    Rule(
        "BPD035",
        "two regions have one endpoint",
        "One of the two names is wrong: what was decided for one region arrives at the other's.",
        "Correct the endpoints.",
    ),
    source=CLUSTERS,
)
def shares_no_endpoint(scene: Scene) -> Iterator[Hit]:
    """Look for addresses that several leaf clusters have."""
    owners: dict[str, Cluster] = {}
    for cluster in scene.reachable:
        for endpoint in cluster.endpoints:
            first = owners.setdefault(endpoint.address, cluster)
            if first.name != cluster.name and scene.clusters.get(cluster.name) is cluster:
                message = f"`{endpoint.address}` is an endpoint of `{first.name}`, too."
                yield Hit(endpoint.message, f"cluster {cluster.name}", message)


@check(
    Rule(
        "BPD036",
        "a region's cluster is not there",
        "Decisions for this region are 503. On Istio with PILOT_FILTER_GATEWAY_CLUSTER_CONFIG clusters that no "
        "VirtualService names are left out.",
        "Add the cluster; on Istio name the region's host in a VirtualService of the gateway.",
    ),
    source=CLUSTERS,
)
def has_every_region(scene: Scene) -> Iterator[Hit]:
    """Look up every cluster that a decision can name."""
    if "ClustersConfigDump" in scene.configuration.partial or not scene.doors:
        return
    for name in sorted(scene.regions - scene.clusters.keys()):
        region = scene.expected.regions.get(name)
        said = f"region `{region}`" if region is not None else "the configuration" if scene.expected.known else _LIST
        yield Hit(scene.configuration.root, f"cluster {name}", f"There is no cluster `{name}`, which {said} needs.")
    for cluster in scene.reachable:
        if cluster.warming:
            message = "It is warming: until its endpoints are known, it is not used."
            yield Hit(cluster.message, f"cluster {cluster.name}", message, Level.WARNING)


@check(
    Rule(
        "BPD037",
        "prompts go to a region in clear, or to whoever answers",
        "Beyond networks of your own everybody on the way reads along; TLS without an authority and a name takes any "
        "server for the region.",
        "Give the cluster TLS with `trusted_ca`, `sni` and `match_typed_subject_alt_names` (on Istio: a "
        "DestinationRule with `subjectAltNames`).",
    ),
    source=TLS,
)
def protects_prompts(scene: Scene) -> Iterator[Hit]:
    """Look at the transport to endpoints that are not in a private network."""
    for cluster in scene.reachable:
        far = [one for one in cluster.endpoints if not one.is_socket and not is_loopback(one.host)]
        weak = weakness(cluster)
        if weak == "in clear":
            far = [one for one in far if not is_private(one.host)]
        if far and weak is not None:
            yield Hit(cluster.message, f"cluster {cluster.name}", f"`{far[0].address}` is reached {weak}.")
