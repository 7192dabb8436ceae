"""Rules about the way to Borderpost itself: its cluster, the breakers on it, and who may stand in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from borderpost.reports.finding import Level, Rule
from borderpost_envoy.doctor.addresses import is_loopback
from borderpost_envoy.doctor.checks import CIRCUIT_BREAKERS, CLUSTERS, TLS, Hit, check
from borderpost_envoy.doctor.model import Cluster, Endpoint
from borderpost_envoy.doctor.scene import Door, Scene
from borderpost_envoy.doctor.transport import weakness

_BREAKER_DEFAULT = 1024
"""Envoy's own bound on open requests, pending ones and connections of a cluster."""


@check(
    Rule(
        "BPD017",
        "Borderpost's cluster is not there",
        "Envoy cannot ask, so it refuses every request; or it asks somebody who is not Borderpost.",
        "Add the cluster; with a configuration of Borderpost given, its sockets are the endpoints.",
    ),
    source=CLUSTERS,
)
def knows_where_to_ask(scene: Scene) -> Iterator[Hit]:
    """Look up the cluster that each door asks."""
    for door in scene.doors:
        if door.cluster is None:
            message = "Envoy's own gRPC client is not used (`envoy_grpc`), so whom it asks cannot be examined."
            yield Hit(door.config, door.subject, message, Level.WARNING)
            continue
        cluster = scene.clusters.get(door.cluster)
        if cluster is None:
            yield Hit(door.config, door.subject, f"There is no cluster `{door.cluster}`.")
        elif not cluster.endpoints and not cluster.unseen:
            yield Hit(cluster.message, f"cluster {cluster.name}", "It has no endpoints.")
        elif scene.expected.servers:
            for endpoint in cluster.endpoints:
                if endpoint.is_socket and endpoint.address not in scene.expected.servers:
                    message = f"`{endpoint.address}` is no socket of Borderpost's configuration."
                    yield Hit(endpoint.message, f"cluster {cluster.name}", message, _unless_mounted(endpoint, scene))


def _unless_mounted(endpoint: Endpoint, scene: Scene) -> Level | None:
    """Return a warning for a socket that differs by its folder alone: Envoy's container may have it elsewhere."""
    names = {PurePosixPath(path).name for path in scene.expected.servers}
    return Level.WARNING if PurePosixPath(endpoint.address).name in names else None


@check(
    Rule(
        "BPD018",
        "circuit breakers refuse bursts",
        "Each request is a question that is open for as long as its decision takes. Envoy's default of 1024 turns a "
        "burst into refusals.",
        "Raise `max_requests` and `max_pending_requests` of the cluster of Borderpost, such as to 65536.",
        Level.WARNING,
    ),
    source=CIRCUIT_BREAKERS,
)
def bears_bursts(scene: Scene) -> Iterator[Hit]:
    """Look at the breakers of our cluster, for requests of default priority."""
    for cluster, _ in _asked(scene):
        breakers = cluster.message.get("circuit_breakers")
        defaults = [
            one for one in breakers.each("thresholds") if one.choice("priority", ("DEFAULT", "HIGH")) == "DEFAULT"
        ]
        for name in ("max_requests", "max_pending_requests"):
            values = [one.number(name) for one in defaults if one.number(name) is not None]
            bound = min((value for value in values if value is not None), default=float(_BREAKER_DEFAULT))
            if bound <= _BREAKER_DEFAULT:
                at = breakers if breakers.present else cluster.message
                yield Hit(at, f"cluster {cluster.name}", f"`{name}` is {bound:.0f}.")


@check(
    Rule(
        "BPD019",
        "somebody else may answer in Borderpost's place",
        "Whoever answers Envoy's question, routes. Beyond this machine the connection needs TLS, an authority, and the "
        "name that the certificate must have.",
        "Use a Unix socket; or TLS with `trusted_ca` and `match_typed_subject_alt_names`.",
    ),
    source=TLS,
)
def knows_whom_it_asks(scene: Scene) -> Iterator[Hit]:
    """Look at the transport to our workers."""
    for cluster, _ in _asked(scene):
        away = [one for one in cluster.endpoints if not one.is_socket and not is_loopback(one.host)]
        if away and (weak := weakness(cluster)) is not None:
            yield Hit(cluster.message, f"cluster {cluster.name}", f"`{away[0].address}` is asked {weak}.")


def _asked(scene: Scene) -> Iterator[tuple[Cluster, Door]]:
    """Yield each cluster that a door asks, once."""
    seen: set[str] = set()
    for door in scene.doors:
        if door.cluster in scene.clusters and door.cluster not in seen and door.cluster is not None:
            seen.add(door.cluster)
            yield scene.clusters[door.cluster], door
