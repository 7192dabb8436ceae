"""Questions about what runs and what is kept in a cluster: pods, model servers, gateways, volumes, outside services."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.manifests import rules
from borderpost.manifests.cluster import Cluster
from borderpost.manifests.labels import Handled
from borderpost.manifests.locations import Sighting
from borderpost.manifests.objects import Object
from borderpost.manifests.pods import (
    Pod,
    endpoints_of,
    has_pods,
    pods_of,
    topology_labels,
    topology_terms,
)
from borderpost.manifests.questions import ENDPOINT, STORAGE, WORKLOAD, Question
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding

_GATEWAYS = {("gateway.networking.k8s.io", "Gateway"), ("networking.istio.io", "Gateway")}


def workload_questions(cluster: Cluster, *, require_labels: bool) -> Iterator[Question | Finding]:
    """Yield what is to be asked, and what is wrong with labels, object by object."""
    for one in cluster.inventory.objects:
        if has_pods(one):
            yield from _of_pods(cluster, one, require_labels)
        elif (one.group, one.kind) in _GATEWAYS:
            yield from _of_gateway(cluster, one)
        elif (one.group, one.kind) == ("", "PersistentVolumeClaim"):
            yield from _of_claim(cluster, one)
        elif (one.group, one.kind) == ("", "Service") and one.spec.get("externalName").text is not None:
            yield from _of_external_name(cluster, one)


def _of_pods(cluster: Cluster, one: Object, require_labels: bool) -> Iterator[Question | Finding]:
    pods = pods_of(one)
    if not pods:  # its shape is not what it should be: it still says what it handles
        pods = [Pod(one.spec, [])]
    seen: set[tuple[object, ...]] = set()
    for pod in pods:
        labelled = cluster.labelled(one, pod.metas)
        yield from labelled.findings
        handled = labelled.handled
        if handled is None:
            if require_labels and rules.UNLABELLED.id not in labelled.ignored:
                yield unlabelled(one.subject, one.node.get("metadata", "name"))
            continue
        places = cluster.pod_places(one, pod.spec, labelled, pod.metas)
        asked = [(WORKLOAD, sighting) for sighting in placed(places, one, _why_unknown(pod.spec))]
        asked += [
            (ENDPOINT, sighting) for sighting in endpoints_of(pod.spec, one, cluster.inventory, cluster.geography)
        ]
        asked += [(STORAGE, sighting) for sighting in _volumes(cluster, one, pod.spec)]
        for aspect, sighting in asked:
            key = (aspect, sighting.location, sighting.node.path, sighting.node.document.file)
            if key not in seen:
                seen.add(key)
                yield Question(one.subject, handled, sighting, aspect)
        yield from _templates(cluster, one, handled)


def placed(places: list[Sighting], one: Object, why: str) -> list[Sighting]:
    """Return the places, or one that says why there are none."""
    return places or [Sighting(None, one.node.get("metadata", "name"), why)]


def unlabelled(subject: str, node: Node) -> Finding:
    """Return that something does not say what it handles."""
    return Finding(rules.UNLABELLED, "no label says what data it handles.", *node.place[:3], subject=subject)


def _why_unknown(pod: Node) -> str:
    preferred = pod.get("affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
    if isinstance(preferred.value, list) and preferred.value:
        return "a preferred nodeAffinity does not bind"
    return "nothing binds it to a region"


def _of_gateway(cluster: Cluster, one: Object) -> Iterator[Question | Finding]:
    labelled = cluster.labelled(one)
    yield from labelled.findings
    if labelled.handled is not None:
        own = [*labelled.sightings, *topology_labels(one.metas, cluster.geography)]
        for sighting in placed(own or cluster.surroundings(one), one, "no label says where it is"):
            yield Question(one.subject, labelled.handled, sighting, WORKLOAD)


def _of_external_name(cluster: Cluster, one: Object) -> Iterator[Question | Finding]:
    labelled = cluster.labelled(one)
    yield from labelled.findings
    if labelled.handled is None:
        return
    node = one.spec.get("externalName")
    if labelled.sightings:
        places = list(labelled.sightings)
    else:
        told = cluster.geography.host(node.text or "")
        places = [Sighting(*((told[0], node, told[1]) if told else (None, node, "its name tells no place")))]
    for sighting in places:
        yield Question(one.subject, labelled.handled, sighting, ENDPOINT)


def _of_claim(cluster: Cluster, one: Object) -> Iterator[Question | Finding]:
    labelled = cluster.labelled(one)
    yield from labelled.findings
    if labelled.handled is None:
        return
    places = [*labelled.sightings, *claim_places(cluster, one.spec, one, one.name)]
    for sighting in placed(places or cluster.surroundings(one), one, "no volume or StorageClass says where it is"):
        yield Question(one.subject, labelled.handled, sighting, STORAGE)


def claim_places(cluster: Cluster, spec: Node, one: Object, name: str) -> list[Sighting]:
    """Return where a claim's volume may be: by the volume that it names, or its StorageClass."""
    inventory, geography = cluster.inventory, cluster.geography
    for volume in inventory.of("PersistentVolume"):
        claimed = volume.spec.get("claimRef")
        by_claim = (
            claimed.get("name").text == name and (claimed.get("namespace").text or one.namespace) == one.namespace
        )
        if volume.name == spec.get("volumeName").text or by_claim:
            terms = volume.spec.get("nodeAffinity", "required").below("nodeSelectorTerms")
            found = topology_terms(terms, "matchExpressions", geography)
            return found or topology_labels(volume.metas, geography)
    storage = inventory.find("StorageClass", spec.get("storageClassName").text, one, cluster_wide=True)
    if storage is None:
        return []
    found = topology_terms(storage.node.below("allowedTopologies"), "matchLabelExpressions", geography)
    parameters = storage.node.get("parameters")
    for key in ("location", "region", "zone", "zones"):
        for part in (parameters.get(key).text or "").replace(",", " ").split():
            location = geography.region(part)
            how = f"the parameter {key} of StorageClass {storage.name}"
            found.append(Sighting(location, parameters.get(key), how if location else f"{how} names no known region"))
    return found


def _volumes(cluster: Cluster, one: Object, pod: Node) -> Iterator[Sighting]:
    """Yield where claims are that a pod mounts and that say nothing of their data: they hold what the pod handles."""
    for volume in pod.below("volumes"):
        name = volume.get("persistentVolumeClaim", "claimName").text
        claim = cluster.inventory.find("PersistentVolumeClaim", name, one)
        if claim is not None and cluster.labelled(claim).handled is None:  # else it is asked about itself
            yield from claim_places(cluster, claim.spec, claim, claim.name)


def _templates(cluster: Cluster, one: Object, handled: Handled) -> Iterator[Question]:
    """Yield what a StatefulSet's own claims are asked: they hold what its pods handle."""
    for template in one.spec.below("volumeClaimTemplates"):
        for sighting in claim_places(cluster, template.get("spec"), one, ""):
            yield Question(one.subject, handled, sighting, STORAGE)
