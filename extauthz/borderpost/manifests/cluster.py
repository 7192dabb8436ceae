"""Where things of one cluster are: what they say, what binds them, what their namespace or the reader says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from borderpost.manifests.labels import Labelled, LabelReader
from borderpost.manifests.locations import Geography, Location, Sighting
from borderpost.manifests.objects import Inventory, Object, selects
from borderpost.manifests.pods import placement_of, pods_of, topology_labels
from borderpost.manifests.tree import Node


class Cluster:
    """Objects with what places and data they have."""

    def __init__(self, inventory: Inventory, reader: LabelReader, geography: Geography, place: Location | None) -> None:
        self.inventory = inventory
        self.reader = reader
        self.geography = geography
        self._place = place
        self._places: dict[int, list[Sighting]] = {}
        self._pods: dict[str, list[tuple[Object, dict[str, str]]]] = {}
        for one in inventory.objects:
            for pod in pods_of(one):
                labels = {key: node.text or "" for key, node in (pod.metas or one.metas)[0].items()}
                self._pods.setdefault(one.namespace, []).append((one, labels))

    def labelled(self, one: Object, also: Iterable[Node] = (), behind: Iterable[Node] = ()) -> Labelled:
        """Return what an object says: with `also`, of its pods; what it leaves out, `behind` and its namespace say."""
        inherited = [*behind, *self.inventory.namespace_metas(one)]
        return self.reader.read(one.subject, [*one.metas, *also], inherited)

    def surroundings(self, one: Object) -> list[Sighting]:
        """Return where everything in the object's namespace is: by the namespace's topology, or the reader's word."""
        metas = self.inventory.namespace_metas(one)
        found = topology_labels(metas, self.geography)
        if not found and self._place is not None:
            found = [Sighting(self._place, one.node.get("metadata", "name"), "--cluster")]
        return found

    def pod_places(self, one: Object, pod: Node, labelled: Labelled, metas: Sequence[Node]) -> list[Sighting]:
        """Return where pods may be; empty where nothing says."""
        placement = placement_of(pod, self.geography)
        bound = placement.bound or placement_of(self._runtime(one, pod), self.geography).bound
        stated = [*labelled.sightings, *topology_labels([*one.metas, *metas], self.geography), *bound]
        if bound or stated:
            return stated
        return [*self.surroundings(one), *placement.preferred]

    def _runtime(self, one: Object, pod: Node) -> Node:
        """Return the specification of the runtime that a KServe component names; KServe merges it in."""
        name = pod.get("model", "runtime").text
        runtime = self.inventory.find("ServingRuntime", name, one)
        runtime = runtime or self.inventory.find("ClusterServingRuntime", name, one, cluster_wide=True)
        return runtime.spec if runtime is not None else pod.get("model", "runtime")

    def backing(self, selector: Node, namespace: str) -> list[Object]:
        """Return the objects whose pods a Service's selector takes."""
        found = [one for one, labels in self._pods.get(namespace, ()) if selects(selector, labels)]
        return list({id(one): one for one in found}.values())

    def pod_metas(self, one: Object) -> list[Node]:
        """Return the labels and annotations of an object and its pods."""
        return [*one.metas, *(meta for pod in pods_of(one) for meta in pod.metas)]

    def places_of(self, one: Object) -> list[Sighting]:
        """Return where the pods of an object may be; empty where nothing says."""
        if id(one) not in self._places:
            found: list[Sighting] = []
            for pod in pods_of(one):
                labelled = self.labelled(one, pod.metas)
                places = self.pod_places(one, pod.spec, labelled, pod.metas)
                if not places:
                    found = []
                    break
                found += places
            self._places[id(one)] = found
        return self._places[id(one)]
