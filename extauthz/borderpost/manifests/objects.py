"""Kubernetes objects in documents, found by kind and name; lists are taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from borderpost.manifests.tree import Document, Node

CLUSTER_KINDS = frozenset(
    {"Namespace", "Node", "PersistentVolume", "StorageClass", "ClusterServingRuntime", "GatewayClass", "List"}
)
"""Kinds that no namespace speaks for."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object as it would be applied."""

    node: Node
    group: str
    """API group without version: `apps`, `networking.istio.io`; empty for the core's."""
    kind: str
    name: str
    namespace: str
    """Empty for what belongs to the cluster."""

    @property
    def subject(self) -> str:
        """Return how people name it: `Deployment prod/chat`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def spec(self) -> Node:
        """Return its `spec`."""
        return self.node.get("spec")

    @property
    def metas(self) -> list[Node]:
        """Return its labels and its annotations."""
        return metas_of(self.node.get("metadata"))


def metas_of(metadata: Node) -> list[Node]:
    """Return the labels and the annotations of some metadata."""
    return [metadata.get("labels"), metadata.get("annotations")]


def objects_in(documents: Iterable[Document], namespace: str) -> Iterator[Object]:
    """Yield every object; `namespace` is the one of those that name none."""
    for document in documents:
        waiting = [Node(document, (), document.data)]
        while waiting:
            node = waiting.pop()
            kind, version = node.get("kind").text, node.get("apiVersion").text
            if isinstance(node.value, list):
                waiting.extend(reversed(list(node.each())))
            elif kind is not None and version is not None:
                if kind.endswith("List") and isinstance(node.get("items").value, list):
                    waiting.extend(reversed(list(node.below("items"))))
                    continue
                own = node.get("metadata", "namespace").text or namespace
                yield Object(
                    node,
                    version.rpartition("/")[0],
                    kind,
                    node.get("metadata", "name").text or node.get("metadata", "generateName").text or "(unnamed)",
                    "" if kind in CLUSTER_KINDS else own,
                )


class Inventory:
    """All objects of one run, by what others refer to them by.

    Of several with one name, such as overlays for two regions, those in the asking object's own file are meant.
    """

    def __init__(self, objects: Iterable[Object]) -> None:
        self.objects = list(objects)
        self._by_name: dict[tuple[str, str, str], list[Object]] = {}
        self._by_kind: dict[str, list[Object]] = {}
        for one in self.objects:
            self._by_name.setdefault((one.kind, one.namespace, one.name), []).append(one)
            self._by_kind.setdefault(one.kind, []).append(one)

    def find(self, kind: str, name: str | None, asking: Object, *, cluster_wide: bool = False) -> Object | None:
        """Return the object of a kind that another one names, in its namespace or of the whole cluster."""
        return self.find_in(kind, name, "" if cluster_wide else asking.namespace, asking)

    def find_in(self, kind: str, name: str | None, namespace: str, asking: Object) -> Object | None:
        """Return the object of a kind that another one names in a namespace."""
        found = _near(self._by_name.get((kind, namespace, name or ""), []), asking)
        return found[0] if found else None

    def of(self, kind: str) -> list[Object]:
        """Return every object of a kind."""
        return self._by_kind.get(kind, [])

    def namespace_metas(self, one: Object) -> list[Node]:
        """Return the labels and annotations of an object's namespace; none if it is not among the objects."""
        found = _near(self._by_name.get(("Namespace", "", one.namespace), []), one)
        return [meta for namespace in found for meta in namespace.metas]


def _near(found: list[Object], asking: Object) -> list[Object]:
    """Return those of the asking object's file; all if none is."""
    file = asking.node.document.file
    return [one for one in found if one.node.document.file == file] or found


def selects(selector: Node, labels: Mapping[str, str]) -> bool:
    """Say whether a plain selector (label to value) takes these labels; an empty one takes nothing."""
    wanted = {key: node.text for key, node in selector.items()}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
