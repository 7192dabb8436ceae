"""Questions about where traffic goes: Istio's ServiceEntry, WorkloadEntry, DestinationRule and VirtualService, and
routes of the Gateway API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from borderpost.manifests.cluster import Cluster
from borderpost.manifests.labels import Handled, Labelled
from borderpost.manifests.locations import Location, Sighting
from borderpost.manifests.objects import Object, selects
from borderpost.manifests.pods import TOPOLOGY_KEYS, topology_labels
from borderpost.manifests.questions import ENDPOINT, FAILOVER, Aspect, Question
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding

_ISTIO = "networking.istio.io"
_GATEWAY = "gateway.networking.k8s.io"
_ROUTES = frozenset({"HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"})
_CLUSTER_DOMAIN = ".svc.cluster.local"


def mesh_questions(cluster: Cluster) -> Iterator[Question | Finding]:
    """Yield what is to be asked, and what is wrong with labels, object by object."""
    mesh = _Mesh(cluster)
    for one in cluster.inventory.objects:
        if one.group == _ISTIO and one.kind == "ServiceEntry":
            yield from mesh.of_service_entry(one)
        elif one.group == _ISTIO and one.kind in ("WorkloadEntry", "WorkloadGroup"):
            yield from mesh.of_workload_entry(one)
        elif one.group == _ISTIO and one.kind == "DestinationRule":
            yield from mesh.of_destination_rule(one)
        elif one.group == _ISTIO and one.kind == "VirtualService":
            yield from mesh.of_routes(one, list(_virtual_service_targets(one)))
        elif one.group == _GATEWAY and one.kind in _ROUTES:
            yield from mesh.of_routes(one, list(mesh.backends(one)))


class _Target(NamedTuple):
    """Something that an object routes to."""

    node: Node
    """What names it."""
    host: str
    pool: Object | None = None
    """The InferencePool that it is, in place of a host."""


class _Mesh:
    """Hosts of one cluster, and what routes to them is asked."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._geography = cluster.geography
        self._entries: dict[str, Object] = {}
        for entry in cluster.inventory.of("ServiceEntry"):
            for host in entry.spec.below("hosts"):
                self._entries.setdefault(host.text or "", entry)

    def of_service_entry(self, one: Object) -> Iterator[Question | Finding]:
        labelled = self._cluster.labelled(one)
        yield from labelled.findings
        yield from _asked(one, labelled, self._entry_places(one, labelled), ENDPOINT)

    def of_workload_entry(self, one: Object) -> Iterator[Question | Finding]:
        labelled = self._cluster.labelled(one)
        yield from labelled.findings
        spec = one.spec.get("template") if one.kind == "WorkloadGroup" else one.spec
        places = [*labelled.sightings, *self._locality(spec.get("locality"))]
        places += topology_labels([spec.get("labels")], self._geography)
        if not places:
            places = [Sighting(None, one.node.get("metadata", "name"), "it has no locality")]
        yield from _asked(one, labelled, places, ENDPOINT)

    def of_destination_rule(self, one: Object) -> Iterator[Question | Finding]:
        labelled = self._cluster.labelled(one, behind=self._behind(one.spec.get("host").text, one))
        yield from labelled.findings
        policies = [one.spec.get("trafficPolicy")]
        places: list[Sighting] = []
        for subset in one.spec.below("subsets"):
            policies.append(subset.get("trafficPolicy"))
            for key, node in subset.get("labels").items():
                if key in TOPOLOGY_KEYS:
                    places.append(self._seen(node, f"subset {subset.get('name').text}'s label {key}"))
        yield from _asked(one, labelled, places, ENDPOINT)
        yield from _asked(one, labelled, [found for policy in policies for found in self._spills(policy)], FAILOVER)

    def _spills(self, policy: Node) -> Iterator[Sighting]:
        """Yield the localities to which a traffic policy lets traffic go, by failover or by weight."""
        for part in (policy, *policy.below("portLevelSettings")):
            setting = part.get("loadBalancer", "localityLbSetting")
            for failover in setting.below("failover"):
                start = failover.get("from").text
                yield from self._locality(failover.get("to"), f"failover from {start}")
            for distribute in setting.below("distribute"):
                start = distribute.get("from").text
                for locality, node in distribute.get("to").items():
                    yield from self._locality(node, f"distribution from {start}", locality)

    def of_routes(self, one: Object, targets: list[_Target]) -> Iterator[Question | Finding]:
        """Ask about each place that an object routes to."""
        behind = [meta for target in targets for meta in self._behind(target.host, one)]
        labelled = self._cluster.labelled(one, behind=behind)
        yield from labelled.findings
        if labelled.handled is not None:
            for node, host, pool in targets:
                if pool is not None:
                    told = self._selected_places(pool, _pool_selector(pool), labelled.handled)
                else:
                    told = self._host_places(host, one, labelled.handled)
                yield from _asked(one, labelled, [Sighting(place, node, how) for place, how in told], ENDPOINT)

    def backends(self, one: Object) -> Iterator[_Target]:
        """Yield what a route of the Gateway API sends to: Services, and kinds that stand for hosts and pods."""
        inventory = self._cluster.inventory
        for reference in _references(one):
            node, kind = reference.get("name"), reference.get("kind").text or "Service"
            name, namespace = node.text or "", reference.get("namespace").text or one.namespace
            named = inventory.find_in(kind, name, namespace, one)
            if kind == "Hostname":  # Istio's
                yield _Target(node, name)
            elif kind == "InferencePool" and named is not None:
                yield _Target(node, name, named)
            elif kind == "Backend" and named is not None:  # Envoy Gateway's
                for endpoint in named.spec.below("endpoints"):
                    address = endpoint.get("fqdn", "hostname").text or endpoint.get("ip", "address").text
                    yield _Target(node, address or "(none)")
            else:
                yield _Target(node, f"{name}.{namespace}{_CLUSTER_DOMAIN}")

    def _host_places(self, host: str, one: Object, handled: Handled) -> list[tuple[Location | None, str]]:
        """Return where a host that an object names may be, with what says so.

        What stands behind it and says itself that it handles the same data is left out: it is asked about itself.
        """
        entry = self._entry(host)
        if entry is not None:
            labelled = self._cluster.labelled(entry)
            if _same(labelled.handled, handled):
                return []
            return [(found.location, f"{entry.subject}: {found.how}") for found in self._entry_places(entry, labelled)]
        name, namespace = _service_name(host, one.namespace)
        service = self._cluster.inventory.find_in("Service", name, namespace, one)
        if service is None:
            told = self._geography.host(host)
            if told is not None:
                return [told]
            if "." in host and not host.endswith(_CLUSTER_DOMAIN):
                return [(None, f"the host {host} tells no place")]
            return [(found.location, found.how) for found in self._cluster.surroundings(one)] or [
                (None, f"the Service {namespace}/{name} is not among the files")
            ]
        external = service.spec.get("externalName").text
        labelled = self._cluster.labelled(service)
        if labelled.sightings:
            return [(found.location, f"{service.subject}: {found.how}") for found in labelled.sightings]
        if external is not None:
            return [self._geography.host(external) or (None, f"the host {external} tells no place")]
        return self._selected_places(service, service.spec.get("selector"), handled)

    def _selected_places(self, service: Object, selector: Node, handled: Handled) -> list[tuple[Location | None, str]]:
        """Return where the pods are that a Service or a pool selects."""
        found: list[tuple[Location | None, str]] = []
        backing = self._cluster.backing(selector, service.namespace)
        for one in backing:
            if _same(self._cluster.labelled(one, self._cluster.pod_metas(one)).handled, handled):
                continue
            places = self._cluster.places_of(one)
            found += [(place.location, f"{one.subject}: {place.how}") for place in places]
            if not places:
                found.append((None, f"nothing binds {one.subject} to a region"))
        if backing:
            return found
        found = [(place.location, place.how) for place in self._cluster.surroundings(service)]
        return found or [(None, f"no pods of {service.subject} are among the files")]

    def _entry(self, host: str) -> Object | None:
        """Return the ServiceEntry for a host; the longest wildcard that fits, if no exact one does."""
        found = self._entries.get(host)
        parts = host.split(".")
        for start in range(1, len(parts)):
            found = found or self._entries.get(".".join(["*", *parts[start:]]))
        return found

    def _entry_places(self, one: Object, labelled: Labelled) -> list[Sighting]:
        """Return where a ServiceEntry's endpoints are: by its labels, their localities, their names, or its hosts."""
        found = [*labelled.sightings, *topology_labels(one.metas, self._geography)]
        endpoints = list(one.spec.below("endpoints"))
        for endpoint in endpoints:
            told = list(self._locality(endpoint.get("locality")))
            told = told or topology_labels([endpoint.get("labels")], self._geography)
            found += told or [self._named(endpoint.get("address"))]
        selector = one.spec.get("workloadSelector", "labels")
        for entry in self._cluster.inventory.of("WorkloadEntry"):
            labels = {key: node.text or "" for key, node in entry.spec.get("labels").items()}
            if entry.namespace == one.namespace and selects(selector, labels):
                found += self._locality(entry.spec.get("locality"))
        if not found:
            found = [self._named(host) for host in one.spec.below("hosts")]
        return found or [Sighting(None, one.node.get("metadata", "name"), "it has neither hosts nor endpoints")]

    def _named(self, node: Node) -> Sighting:
        told = self._geography.host(node.text or "")
        return Sighting(told[0], node, told[1]) if told else Sighting(None, node, f"`{node.text}` tells no place")

    def _locality(self, node: Node, how: str = "", text: str | None = None) -> Iterator[Sighting]:
        """Yield the place of a locality, `region/zone/subzone` or a part of it; `*` is everywhere."""
        text = text if text is not None else node.text
        if text is not None:
            region = text.split("/")[0]
            location = Location("*", ()) if region == "*" else self._geography.region(region)
            said = f"{how or 'the locality'} to {text}" if how else f"the locality {text}"
            yield Sighting(location, node, said if location is not None else f"{said}, which nobody knows")

    def _seen(self, node: Node, how: str) -> Sighting:
        location = self._geography.region(node.text or "")
        return Sighting(location, node, how if location is not None else f"{how} names no known region")

    def _behind(self, host: str | None, one: Object) -> list[Node]:
        """Return the labels of what stands behind a host: its ServiceEntry, or its Service and that one's pods."""
        if host is None:
            return []
        entry = self._entry(host)
        if entry is not None:
            return entry.metas
        name, namespace = _service_name(host, one.namespace)
        service = self._cluster.inventory.find_in("Service", name, namespace, one)
        if service is None:
            return []
        backing = self._cluster.backing(service.spec.get("selector"), namespace)
        pods = [meta for running in backing for meta in self._cluster.pod_metas(running)]
        return [*service.metas, *pods]


def _same(own: Handled | None, handled: Handled) -> bool:
    """Say whether two handle the same data, whatever findings about them are accepted."""
    return own is not None and own._replace(ignored=handled.ignored) == handled


def _asked(one: Object, labelled: Labelled, places: list[Sighting], aspect: Aspect) -> Iterator[Question]:
    if labelled.handled is not None:
        for sighting in places:
            yield Question(one.subject, labelled.handled, sighting, aspect)


def _pool_selector(pool: Object) -> Node:
    """Return an InferencePool's selector, which its first version wrote without `matchLabels`."""
    selector = pool.spec.get("selector")
    labels = selector.get("matchLabels")
    return labels if isinstance(labels.value, dict) else selector


def _virtual_service_targets(one: Object) -> Iterator[_Target]:
    for protocol in ("http", "tcp", "tls"):
        for rule in one.spec.below(protocol):
            targets = [route.get("destination", "host") for route in rule.below("route")]
            targets += [rule.get("mirror", "host")]
            targets += [mirror.get("destination", "host") for mirror in rule.below("mirrors")]
            for node in targets:
                if node.text is not None:
                    yield _Target(node, node.text)


def _references(one: Object) -> Iterator[Node]:
    """Yield what a route of the Gateway API sends to, mirrors included."""
    for rule in one.spec.below("rules"):
        references = list(rule.below("backendRefs"))
        for holder in (rule, *references):
            references += [part.get("requestMirror", "backendRef") for part in holder.below("filters")]
        yield from (reference for reference in references if reference.get("name").text is not None)


def _service_name(host: str, namespace: str) -> tuple[str, str]:
    """Return name and namespace of the Service that a host may be: `chat`, `chat.prod`, or either with its domain."""
    parts = host.removesuffix(_CLUSTER_DOMAIN).removesuffix(".svc").split(".")
    return parts[0], parts[1] if len(parts) > 1 else namespace
