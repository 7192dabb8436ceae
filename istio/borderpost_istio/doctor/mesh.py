"""The objects of one run as a mesh: what protects, which workload it protects, and which hosts are regions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from borderpost.manifests.objects import Inventory, Object
from borderpost.manifests.tree import Node
from borderpost_base.names import CLUSTER_HEADER, EXT_AUTHZ_FILTER, EXT_PROC_FILTER, OBSERVE_FILTER
from borderpost_envoy.plan import SERVER_CLUSTER
from borderpost_istio.doctor.http_routes import Routes, read_routes
from borderpost_istio.doctor.reading import NETWORKING, ClusterName, cluster_name, everything, field, labels_of
from borderpost_istio.doctor.setting import Setting

REFERENCED = "envoyfilter.istio.io/referenced-services"
"""Annotation that keeps clusters from being pruned (istio/istio, `convertToEnvoyFilterWrapper`)."""
_EVERY = frozenset({"ADD", "REMOVE", "MERGE", "REPLACE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
ADDS: Final = frozenset({"ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
OPERATIONS: Final = {
    "LISTENER": _EVERY - {"REPLACE"},
    "LISTENER_FILTER": _EVERY,
    "FILTER_CHAIN": _EVERY - {"REPLACE"},
    "NETWORK_FILTER": _EVERY,
    "HTTP_FILTER": _EVERY,
    "ROUTE_CONFIGURATION": frozenset({"MERGE"}),
    "VIRTUAL_HOST": _EVERY,
    "HTTP_ROUTE": _EVERY - {"REPLACE"},
    "CLUSTER": _EVERY - {"REPLACE"},
    "EXTENSION_CONFIG": ADDS,
    "BOOTSTRAP": frozenset({"MERGE"}),
}
"""What istiod does on each kind of object, by pilot/pkg/networking/core/envoyfilter; the rest it passes over."""
OUR_FILTERS = frozenset({EXT_PROC_FILTER, EXT_AUTHZ_FILTER})


@dataclass(frozen=True, slots=True)
class Patch:
    """One entry of an EnvoyFilter's `configPatches`."""

    owner: Object
    node: Node

    @property
    def apply_to(self) -> str:
        """Return what it is applied to: `HTTP_FILTER`, `CLUSTER`."""
        return self.node.get("applyTo").text or ""

    @property
    def operation(self) -> str:
        """Return its operation: `MERGE`, `ADD`."""
        return self.node.get("patch", "operation").text or ""

    @property
    def has_effect(self) -> bool:
        """Say whether istiod does this operation on this kind of object at all."""
        return self.operation in OPERATIONS.get(self.apply_to, ())

    @property
    def context(self) -> str:
        """Return where it holds; ANY if it does not say."""
        return self.node.get("match", "context").text or "ANY"

    @property
    def match(self) -> Node:
        """Return what it matches."""
        return self.node.get("match")

    @property
    def value(self) -> Node:
        """Return what it brings."""
        return self.node.get("patch", "value")

    @property
    def subject(self) -> str:
        """Return what it is about: `HTTP_FILTER borderpost.ext_proc`."""
        name = self.value.get("name").text
        return f"{self.apply_to} {name}" if name else self.apply_to


@dataclass(frozen=True, slots=True)
class Workload:
    """The gateway that Borderpost protects, as an EnvoyFilter of ours selects it."""

    namespace: str
    labels: Mapping[str, str]
    """Empty: every workload of the namespace."""


class Mesh:
    """Objects with what they mean for the gateway that is protected."""

    def __init__(self, objects: Iterable[Object], setting: Setting) -> None:
        self.inventory = Inventory(objects)
        self.setting = setting
        self.patches = [Patch(one, node) for one in self.of(NETWORKING, "EnvoyFilter") for node in patches_of(one)]
        self.our_filters = _ours(self.patches)

    def of(self, group: str, kind: str) -> Iterator[Object]:
        """Yield the objects of a kind."""
        return (one for one in self.inventory.of(kind) if one.group == group)

    @functools.cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """Return the gateways that EnvoyFilters of ours select, each once."""
        found = {}
        for one in self.of(NETWORKING, "EnvoyFilter"):
            if id(one) in self.our_filters:
                labels = labels_of(one.spec.get("workloadSelector", "labels"))
                found[(one.namespace, tuple(sorted(labels.items())))] = Workload(one.namespace, labels)
        return tuple(found.values())

    def is_ours(self, patch: Patch) -> bool:
        """Say whether a patch stands in an EnvoyFilter of ours."""
        return id(patch.owner) in self.our_filters

    def touches(self, patch: Patch) -> bool:
        """Say whether a patch may reach a gateway that is protected; where pods are not told, in doubt it does."""
        namespace = patch.owner.namespace
        if patch.context in ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "WAYPOINT"):
            return False
        selected = labels_of(patch.owner.spec.get("workloadSelector", "labels"))
        return not self.workloads or any(
            namespace in (workload.namespace, self.setting.root_namespace) and self.may_select(selected, workload)
            for workload in self.workloads
        )

    def may_select(self, selector: Mapping[str, str], workload: Workload) -> bool:
        """Say whether labels may select a gateway: by its pods where they are known, else unless they contradict."""
        pods = self.pods_of(workload)
        if pods:
            return any(selector.items() <= labels.items() for labels in pods)
        return all(workload.labels.get(key, value) == value for key, value in selector.items())

    def pods_of(self, workload: Workload) -> list[Mapping[str, str]]:
        """Return the labels of the pods of a gateway."""
        return [
            labels
            for namespace, labels in self._pods
            if namespace == workload.namespace and workload.labels.items() <= labels.items()
        ]

    @functools.cached_property
    def _pods(self) -> list[tuple[str, Mapping[str, str]]]:
        return [(one.namespace, labels_of(metadata.get("labels"))) for one, metadata, _ in self.pods]

    @functools.cached_property
    def pods(self) -> list[tuple[Object, Node, Node]]:
        """Return the object, the metadata and the specification of everything that runs as pods."""
        found = []
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            for one in self.of("apps", kind):
                template = one.spec.get("template")
                found.append((one, template.get("metadata"), template.get("spec")))
        for one in self.of("", "Pod"):
            found.append((one, one.node.get("metadata"), one.spec))
        return found

    @functools.cached_property
    def region_clusters(self) -> dict[str, Node | None]:
        """Return the Envoy clusters of regions, each with where an EnvoyFilter of ours first names it."""
        found: dict[str, Node | None] = dict.fromkeys(self.setting.clusters)
        for patch in self.patches:
            if self.is_ours(patch):
                for name, node in _clusters_named(patch.value):
                    found.setdefault(name, node)
        return found

    @functools.cached_property
    def region_hosts(self) -> dict[str, set[ClusterName]]:
        """Return the hosts of regions in lower case, with their clusters: those that a decision may lead to."""
        found: dict[str, set[ClusterName]] = {}
        for text in self.region_clusters:
            name = cluster_name(text)
            if name is not None:
                found.setdefault(name.host, set()).add(name)
        for text in sorted(self.referenced_hosts):
            found.setdefault(text, {ClusterName(text, 0, "")})
        for routes in self.routes:
            for entry in routes.entries:
                for one in entry.destinations if entry.by_header else ():
                    found.setdefault(one.host, set()).add(ClusterName(one.host, 0, one.subset))
        return found

    @functools.cached_property
    def referenced_hosts(self) -> frozenset[str]:
        """Return the hosts that EnvoyFilters of ours keep from being pruned: those that routes may lead to."""
        texts = (
            one.node.get("metadata", "annotations").get(REFERENCED).text or ""
            for one in self.of(NETWORKING, "EnvoyFilter")
            if id(one) in self.our_filters
        )
        names = {name.strip().rpartition("/")[2].lower() for text in texts for name in text.split(",")}
        return frozenset(names - {""})

    @functools.cached_property
    def routes(self) -> list[Routes]:
        """Return everything that routes HTTP requests, at whatever gateway."""
        return list(read_routes(self.inventory))


def patches_of(one: Object) -> Iterator[Node]:
    """Yield the patches of an EnvoyFilter."""
    return one.spec.below("configPatches")


def _ours(patches: Iterable[Patch]) -> frozenset[int]:
    """Return the EnvoyFilters that put our filter, our cluster or our routing in place, by id."""
    return frozenset(id(patch.owner) for patch in patches if _brings_ours(patch))


def _brings_ours(patch: Patch) -> bool:
    if patch.operation in ("REMOVE", ""):
        return False
    name = patch.value.get("name").text
    if patch.apply_to == "CLUSTER" and patch.operation == "ADD" and name == SERVER_CLUSTER:
        return True
    if patch.apply_to == "HTTP_FILTER" and (name in OUR_FILTERS or name == OBSERVE_FILTER):
        return True
    return routes_by_us(patch.value)


def routes_by_us(value: Node) -> bool:
    """Say whether a patch's value has the route follow our header."""
    for node in everything(value):
        if CLUSTER_HEADER in (field(node, "cluster_header").text, field(node, "header_name").text):
            return True
        if node.path[-2:-1] == ("headers",) and node.get("name").text == CLUSTER_HEADER:
            return True
    return False


def _clusters_named(value: Node) -> Iterator[tuple[str, Node]]:
    """Yield the clusters of services that a value names, but the one that a gRPC client asks."""
    for node in everything(value):
        is_asked = node.path[-1] in ("cluster_name", "clusterName")
        if isinstance(node.value, str) and not is_asked and cluster_name(node.value) is not None:
            yield node.value, node
        for key, child in node.items():
            if cluster_name(key) is not None:
                yield key, child
