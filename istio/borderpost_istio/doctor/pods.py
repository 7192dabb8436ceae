"""The gateway's pods: our container, its socket, its start, its group, and where the evidence stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding
from borderpost_envoy.plan import SERVER_CLUSTER
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.reading import everything, finding, present
from borderpost_istio.doctor.rules import platform as rules

_PROXY = "istio-proxy"
_PROXY_GROUP = 1337
"""The group that istio-proxy runs as (istio/istio, `gateway-injection-template.yaml`)."""
_EVIDENCE = ("audit", "evidence")


def examine_pods(mesh: Mesh) -> Iterator[Finding]:
    """Yield what is wrong with pods that Envoy asks over a socket."""
    socket = _socket(mesh)
    for one, metadata, spec in mesh.pods:
        labels = {key: node.text or "" for key, node in metadata.get("labels").items()}
        is_gateway = any(
            workload.namespace == one.namespace and workload.labels and workload.labels.items() <= labels.items()
            for workload in mesh.workloads
        )
        ours = _ours(spec)
        if is_gateway and socket is not None and ours is None:
            detail = f"no container of Borderpost is in the pods, and the filter asks over {socket}."
            at = spec.get("containers")
            yield finding(rules.NO_CONTAINER, detail, at if present(at) else one.node.get("metadata", "name"), one)
        if ours is None:
            continue
        yield from _evidence(mesh, one, spec, ours)
        if is_gateway and socket is not None:
            yield from _volume(one, spec, ours, socket)
            yield from _start(one, ours)
            yield from _group(one, spec, ours)


def _socket(mesh: Mesh) -> str | None:
    """Return the path of a socket that Envoy asks at; None where it asks over the network."""
    for patch in mesh.patches:
        if patch.apply_to == "CLUSTER" and patch.value.get("name").text == SERVER_CLUSTER:
            for node in everything(patch.value):
                if isinstance(node.value, str) and node.path[-2:] == ("pipe", "path"):
                    return node.value
    return None


def _ours(spec: Node) -> Node | None:
    """Return the container of Borderpost; of several that are called so, the one that stays."""
    found = [
        container
        for key in ("containers", "initContainers")
        for container in spec.below(key)
        if container.get("name").text != _PROXY
        and "borderpost" in f"{container.get('name').text} {container.get('image').text}".lower()
    ]
    staying = [one for one in found if one.path[-2] == "containers" or one.get("restartPolicy").text == "Always"]
    return next(iter(staying or found), None)


def _mount(container: Node, path: str) -> Node | None:
    """Return the mount that a path is below of, the deepest."""
    found = [
        mount
        for mount in container.below("volumeMounts")
        if PurePosixPath(path).is_relative_to(mount.get("mountPath").text or "\0")
    ]
    return max(found, key=lambda mount: len(mount.get("mountPath").text or ""), default=None)


def _volume_of(spec: Node, mount: Node) -> Node | None:
    name = mount.get("name").text
    return next((volume for volume in spec.below("volumes") if volume.get("name").text == name), None)


def _volume(one: Object, spec: Node, ours: Node, socket: str) -> Iterator[Finding]:
    proxy = next((item for item in spec.below("containers") if item.get("name").text == _PROXY), None)
    volumes = set()
    for container in (ours, proxy):
        if container is None:
            continue
        mount = _mount(container, socket)
        if mount is None:
            detail = f"the container `{container.get('name').text}` mounts nothing at {socket}."
            yield finding(rules.SOCKET_VOLUME, detail, container.get("name"), one)
            continue
        volumes.add(mount.get("name").text)
        volume = _volume_of(spec, mount)
        if container is ours and volume is not None and volume.get("emptyDir", "medium").text != "Memory":
            detail = f"the volume `{volume.get('name').text}` of the socket is not in memory."
            yield finding(rules.SOCKET_VOLUME, detail, volume, one)
    if len(volumes) > 1:
        shown = " and ".join(sorted(f"`{name}`" for name in volumes))
        detail = f"the containers mount different volumes at the socket: {shown}."
        yield finding(rules.SOCKET_VOLUME, detail, ours.get("volumeMounts"), one)


def _start(one: Object, ours: Node) -> Iterator[Finding]:
    if ours.path[-2] != "initContainers":
        detail = "Borderpost is an ordinary container: Envoy does not wait for it."
        yield finding(rules.START_ORDER, detail, ours.get("name"), one)
    elif not present(ours.get("startupProbe")):
        detail = "without a startupProbe the next container starts as soon as this one runs."
        yield finding(rules.START_ORDER, detail, ours.get("name"), one)


def _group(one: Object, spec: Node, ours: Node) -> Iterator[Finding]:
    pod = spec.get("securityContext")
    own = ours.get("securityContext", "runAsGroup")
    own = own if present(own) else pod.get("runAsGroup")
    groups = {own.text, pod.get("fsGroup").text, *(node.text for node in pod.below("supplementalGroups"))}
    if present(own) and str(_PROXY_GROUP) not in groups:
        detail = f"Borderpost runs as group {own.text}, and Envoy as {_PROXY_GROUP}."
        yield finding(rules.SOCKET_GROUP, detail, own, one)


def _evidence(mesh: Mesh, one: Object, spec: Node, ours: Node) -> Iterator[Finding]:
    """Examine the volume of the record: where the configuration says that it is, or what is called so."""
    said = mesh.setting.evidence
    mounts = [mount for mount in ours.below("volumeMounts") if _holds_evidence(mount, said)]
    for mount in mounts:
        volume = _volume_of(spec, mount)
        if volume is not None and present(volume.get("emptyDir")):
            detail = f"the volume `{mount.get('name').text}` at {mount.get('mountPath').text} is an emptyDir."
            yield finding(rules.EVIDENCE_LOST, detail, volume, one)
    if not mounts and said is not None:
        yield finding(rules.EVIDENCE_LOST, f"no volume is mounted at {said}.", ours.get("name"), one)


def _holds_evidence(mount: Node, said: str | None) -> bool:
    path, name = mount.get("mountPath").text or "", mount.get("name").text or ""
    is_there = said is not None and path not in ("", "/") and PurePosixPath(said).is_relative_to(path)
    return is_there or any(word in path + name for word in _EVIDENCE)
