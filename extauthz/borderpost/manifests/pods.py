"""Where pods may be scheduled, and which endpoints their containers are told to call.

binds         nodeSelector; requiredDuringSchedulingIgnoredDuringExecution of nodeAffinity (terms are alternatives,
              expressions of one term hold together; `In` alone names places)
does not      preferredDuringScheduling…, spreading, tolerations: such a pod may be anywhere that nodes are
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from borderpost.manifests.locations import Geography, Sighting
from borderpost.manifests.objects import Inventory, Object, metas_of
from borderpost.manifests.tree import Node

TOPOLOGY_KEYS = frozenset(
    {
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.gke.io/zone",
        "topology.ebs.csi.aws.com/zone",
        "topology.disk.csi.azure.com/zone",
    }
)
"""Labels of nodes and volumes that say where they are."""

_REGION_VARIABLES = {
    "AWS_REGION": "aws",
    "AWS_DEFAULT_REGION": "aws",
    "AWS_REGION_NAME": "aws",
    "BEDROCK_REGION": "aws",
    "AZURE_REGION": "azure",
    "AZURE_LOCATION": "azure",
    "CLOUD_ML_REGION": "gcp",
    "GOOGLE_CLOUD_LOCATION": "gcp",
    "GOOGLE_CLOUD_REGION": "gcp",
    "VERTEXAI_LOCATION": "gcp",
    "VERTEX_LOCATION": "gcp",
}
"""Variables by which software development kits of clouds are told which region to call."""

_TEMPLATE = ("spec", "template", "spec")
_POD_PATHS: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("", "Pod"): (("spec",),),
    ("", "ReplicationController"): (_TEMPLATE,),
    ("apps", "Deployment"): (_TEMPLATE,),
    ("apps", "StatefulSet"): (_TEMPLATE,),
    ("apps", "DaemonSet"): (_TEMPLATE,),
    ("apps", "ReplicaSet"): (_TEMPLATE,),
    ("batch", "Job"): (_TEMPLATE,),
    ("batch", "CronJob"): (("spec", "jobTemplate", "spec", "template", "spec"),),
    ("argoproj.io", "Rollout"): (_TEMPLATE,),
    ("serving.knative.dev", "Service"): (_TEMPLATE,),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): (
        ("spec", "leaderWorkerTemplate", "leaderTemplate", "spec"),
        ("spec", "leaderWorkerTemplate", "workerTemplate", "spec"),
    ),
    ("serving.kserve.io", "InferenceService"): (
        ("spec", "predictor"),
        ("spec", "predictor", "workerSpec"),
        ("spec", "transformer"),
        ("spec", "explainer"),
    ),
    ("serving.kserve.io", "ServingRuntime"): (("spec",), ("spec", "workerSpec")),
    ("serving.kserve.io", "ClusterServingRuntime"): (("spec",), ("spec", "workerSpec")),
    ("serving.kserve.io", "LLMInferenceService"): (
        ("spec", "template"),
        ("spec", "worker"),
        ("spec", "prefill", "template"),
        ("spec", "prefill", "worker"),
    ),
}
"""Where kinds hold the specifications of their pods, by API group and kind."""


class Pod(NamedTuple):
    """One specification of pods."""

    spec: Node
    metas: list[Node]
    """Labels and annotations of the pods alone, the pods' own template's first."""


class Placement(NamedTuple):
    """Where pods may be scheduled."""

    bound: tuple[Sighting, ...]
    """The places that they are bound to; none: they may be anywhere."""
    preferred: tuple[Sighting, ...]
    """Places that they prefer and are not bound to."""


def pods_of(one: Object) -> list[Pod]:
    """Return the specifications of an object's pods; none for kinds that have no pods."""
    pods = []
    for path in _POD_PATHS.get((one.group, one.kind), ()):
        spec = one.node.get(*path)
        if isinstance(spec.value, dict):
            above = [one.node.get(*path[:length], "metadata") for length in range(len(path) - 1, 0, -1)]
            metas = [meta for metadata in above for meta in metas_of(metadata) if isinstance(meta.value, dict)]
            if one.group == "serving.kserve.io":  # whose components hold the labels of their pods themselves
                metas = metas_of(spec)
            pods.append(Pod(spec, metas))
    return pods


def has_pods(one: Object) -> bool:
    """Say whether objects of this kind run something."""
    return (one.group, one.kind) in _POD_PATHS


def placement_of(pod: Node, geography: Geography) -> Placement:
    """Return where the pods of a specification may be scheduled."""
    selected = [
        [_seen(key, node, f"nodeSelector {key}", geography)]
        for key, node in pod.get("nodeSelector").items()
        if _says_place(key)
    ]
    affinity = pod.get("affinity", "nodeAffinity")
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = [list(_constraints(term, geography)) for term in required.below("nodeSelectorTerms")]
    bound: list[Sighting] = []
    if all([*selected, *term] for term in terms) and (terms or selected):
        for term in terms or [[]]:
            bound += _together([*selected, *term])
    preferred = [
        sighting
        for weighted in affinity.below("preferredDuringSchedulingIgnoredDuringExecution")
        for constraint in _constraints(weighted.get("preference"), geography)
        for sighting in constraint
    ]
    return Placement(tuple(bound), tuple(preferred))


def topology_terms(terms: Iterable[Node], expressions: str, geography: Geography) -> list[Sighting]:
    """Return the places that alternatives of label expressions allow; none if one of them allows any."""
    found: list[Sighting] = []
    for term in terms:
        constraints = list(_constraints(term, geography, expressions))
        if not constraints:
            return []
        found += _together(constraints)
    return found


def topology_labels(metas: Iterable[Node], geography: Geography) -> list[Sighting]:
    """Return where an object's own topology labels say that it is."""
    return [
        _seen(key, node, f"the label {key}", geography)
        for meta in metas
        for key, node in meta.items()
        if key in TOPOLOGY_KEYS
    ]


def _says_place(key: str) -> bool:
    return key in TOPOLOGY_KEYS or key.endswith(("borderpost.dev/region", "borderpost.dev/country"))


def _seen(key: str, node: Node, how: str, geography: Geography) -> Sighting:
    text = node.text or ""
    location = geography.region(text) if key in TOPOLOGY_KEYS else geography.place(text)
    return Sighting(location, node, how if location is not None else f"{how} is `{text}`, which nobody knows")


def _constraints(term: Node, geography: Geography, expressions: str = "matchExpressions") -> Iterator[list[Sighting]]:
    """Yield, for each expression of a term that names places, those it allows."""
    for expression in term.below(expressions):
        key = expression.get("key").text or ""
        operator = expression.get("operator").text or "In"  # allowedTopologies has no operator
        if _says_place(key) and operator == "In":
            yield [_seen(key, node, f"{key}", geography) for node in expression.below("values")]


def _together(constraints: list[list[Sighting]]) -> list[Sighting]:
    """Return the places that all constraints allow; if that cannot be told, those that any of them does."""
    joint = constraints[0]
    for constraint in constraints[1:]:
        names = {sighting.location.name for sighting in constraint if sighting.location is not None}
        joint = [sighting for sighting in joint if sighting.location is not None and sighting.location.name in names]
    return joint or list(itertools.chain.from_iterable(constraints))


def endpoints_of(pod: Node, one: Object, inventory: Inventory, geography: Geography) -> Iterator[Sighting]:
    """Yield the endpoints of clouds and models that containers are told to call: by variable, argument or ConfigMap."""
    containers = itertools.chain.from_iterable(
        pod.below(name) for name in ("containers", "initContainers", "ephemeralContainers")
    )
    single = [pod.get(name) for name in ("model", "worker") if isinstance(pod.get(name).value, dict)]  # KServe
    for container in itertools.chain(containers, single):
        for variable in container.below("env"):
            value = variable.get("value")
            source = variable.get("valueFrom", "configMapKeyRef")
            if isinstance(source.value, dict):
                config = inventory.find("ConfigMap", source.get("name").text, one)
                key = source.get("key").text
                if config is not None and key is not None:
                    value = config.node.get("data").get(key)
            yield from _told(variable.get("name").text, value, geography)
        for part in (*container.below("args"), *container.below("command")):
            yield from geography.hosts_in(part)
        for source in container.below("envFrom"):
            config = inventory.find("ConfigMap", source.get("configMapRef", "name").text, one)
            if config is not None:
                for name, value in config.node.get("data").items():
                    yield from _told(name, value, geography)


def _told(name: str | None, value: Node, geography: Geography) -> Iterator[Sighting]:
    if name in _REGION_VARIABLES and value.text is not None:
        location = geography.region(value.text, _REGION_VARIABLES[name])
        how = f"the variable {name}" if location is not None else f"the variable {name} names no known region"
        yield Sighting(location, value, how)
    else:
        yield from geography.hosts_in(value)
