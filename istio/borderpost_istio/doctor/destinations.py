"""What a region's host leads to: failover, mixed endpoints, TLS. DestinationRules and ServiceEntries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from borderpost.manifests.objects import Object, selects
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding
from borderpost_base.names import CLUSTER_HEADER
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.mesh_config import MeshSettings
from borderpost_istio.doctor.reading import (
    CLUSTER_DOMAIN,
    NETWORKING,
    covers,
    everything,
    field,
    finding,
    full_host,
    labels_of,
    present,
    texts_of,
)
from borderpost_istio.doctor.rules import traffic as rules

_REGION_LABEL = "topology.kubernetes.io/region"
_OPEN = frozenset({"NONE", "DYNAMIC_DNS"})
_TLS = frozenset({"SIMPLE", "MUTUAL", "ISTIO_MUTUAL"})


def examine_destinations(mesh: Mesh, settings: MeshSettings) -> Iterator[Finding]:
    """Yield what is wrong with what the hosts of regions lead to."""
    for one in mesh.of(NETWORKING, "DestinationRule"):
        hosts = _region_hosts(mesh, full_host(one.spec.get("host").text or "", one.namespace))
        if hosts:
            yield from _locality(one, settings)
            if any(not name.subset for host in hosts for name in mesh.region_hosts[host]):
                yield from _subsets(one)
            yield from _tls(one, mesh, hosts)
    for one in mesh.of(NETWORKING, "ServiceEntry"):
        named = [
            (node, hosts)
            for node in one.spec.below("hosts")
            if (hosts := _region_hosts(mesh, (node.text or "").lower()))
        ]
        if named:
            yield from _open(one, named)
            yield from _mixed(one, named, mesh)
            yield from _clear(one, named, mesh)
    yield from _every_cluster(mesh, settings)


def _region_hosts(mesh: Mesh, pattern: str) -> list[str]:
    """Return the hosts of regions that a host pattern takes."""
    return [host for host in mesh.region_hosts if covers(pattern, host)]


class _Policy(NamedTuple):
    """A traffic policy, with what holds where it says nothing."""

    node: Node
    balancer: Node
    outlier: Node


def _policies(one: Object) -> Iterator[_Policy]:
    """Yield each traffic policy of a DestinationRule: a subset's inherits from the rule's, a port's from nothing."""
    top = one.spec.get("trafficPolicy")
    yield _Policy(top, top.get("loadBalancer"), top.get("outlierDetection"))
    for port in top.below("portLevelSettings"):
        yield _Policy(port, port.get("loadBalancer"), port.get("outlierDetection"))
    for subset in one.spec.below("subsets"):
        policy = subset.get("trafficPolicy")
        own = [
            policy.get(key) if present(policy.get(key)) else top.get(key)
            for key in ("loadBalancer", "outlierDetection")
        ]
        yield _Policy(policy, *own)
        for port in policy.below("portLevelSettings"):
            yield _Policy(port, port.get("loadBalancer"), port.get("outlierDetection"))


def _locality(one: Object, settings: MeshSettings) -> Iterator[Finding]:
    told: set[tuple[str | int, ...]] = set()
    for policy in _policies(one):
        setting = policy.balancer.get("localityLbSetting")
        if setting.get("enabled").value is False:
            continue
        off = settings.failover_is_off and not present(setting)
        if present(policy.outlier) and not off and policy.outlier.path not in told:
            told.add(policy.outlier.path)
            detail = "it detects outliers and does not turn locality failover off."
            yield finding(rules.FAILOVER_ON, detail, policy.outlier, one)
        if setting.path not in told:
            told.add(setting.path)
            yield from _across(one, setting)


def _across(one: Object, setting: Node) -> Iterator[Finding]:
    for failover in setting.below("failover"):
        detail = f"requests fail over from {failover.get('from').text} to {failover.get('to').text}."
        yield finding(rules.FAILOVER_ACROSS, detail, failover, one)
    for distribute in setting.below("distribute"):
        start = (distribute.get("from").text or "*").split("/")[0]
        for locality, node in distribute.get("to").items():
            if locality.split("/")[0] != start or start == "*":
                detail = f"requests from {start} are distributed to {locality}."
                yield finding(rules.FAILOVER_ACROSS, detail, node, one)
    priority = setting.get("failoverPriority")
    if present(priority):
        detail = f"requests fail over by {', '.join(texts_of(priority))}."
        yield finding(rules.FAILOVER_ACROSS, detail, priority, one)


def _subsets(one: Object) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for subset in one.spec.below("subsets"):
        node = subset.get("labels", _REGION_LABEL)
        if node.text is not None and node.text not in seen:
            if seen:
                detail = f"subsets of one host are in {next(iter(seen))} and in {node.text}."
                yield finding(rules.WEIGHTS_MIX, detail, node, one)
            seen[node.text] = subset.get("name").text or ""


def _tls(one: Object, mesh: Mesh, hosts: list[str]) -> Iterator[Finding]:
    for policy in _policies(one):
        tls = policy.node.get("tls")
        if not present(tls):
            continue
        mode = tls.get("mode").text or "DISABLE"
        if mode == "DISABLE":
            at = tls.get("mode") if present(tls.get("mode")) else tls
            yield finding(rules.PLAINTEXT, f"TLS is off towards {', '.join(hosts)}.", at, one)
        elif mode in ("SIMPLE", "MUTUAL"):
            unchecked = field(tls, "insecure_skip_verify")
            if unchecked.value is True:
                yield finding(rules.TLS_UNVERIFIED, "`insecureSkipVerify` is true.", unchecked, one)
            elif not texts_of(tls.get("subjectAltNames")) and not _names_elsewhere(mesh, hosts):
                detail = f"no `subjectAltNames` pin who answers for {', '.join(hosts)}."
                yield finding(rules.TLS_UNVERIFIED, detail, tls, one)


def _names_elsewhere(mesh: Mesh, hosts: list[str]) -> bool:
    """Say whether ServiceEntries pin the names of all hosts."""
    pinned = {
        (host.text or "").lower()
        for entry in mesh.of(NETWORKING, "ServiceEntry")
        if texts_of(entry.spec.get("subjectAltNames"))
        for host in entry.spec.below("hosts")
    }
    return pinned.issuperset(hosts)


def _clear(one: Object, named: list[tuple[Node, list[str]]], mesh: Mesh) -> Iterator[Finding]:
    """Yield external hosts of regions that no DestinationRule has TLS for."""
    if one.spec.get("location").text == "MESH_INTERNAL":
        return
    for node, hosts in named:
        for host in hosts:
            if host.endswith(CLUSTER_DOMAIN) or _has_tls(mesh, host):
                continue
            detail = f"no DestinationRule originates TLS to `{host}`."
            yield finding(rules.PLAINTEXT, detail, node, one)


def _has_tls(mesh: Mesh, host: str) -> bool:
    """Say whether a DestinationRule speaks of TLS to a host; whether well is another question."""
    return any(
        present(policy.node.get("tls"))
        for rule in mesh.of(NETWORKING, "DestinationRule")
        if covers(full_host(rule.spec.get("host").text or "", rule.namespace), host)
        for policy in _policies(rule)
    )


def _open(one: Object, named: list[tuple[Node, list[str]]]) -> Iterator[Finding]:
    for node, _ in named:
        if (node.text or "").startswith("*"):
            yield finding(rules.HOST_OPEN, f"`{node.text}` takes any name of that ending.", node, one)
    resolution = one.spec.get("resolution")
    if resolution.text is None or resolution.text in _OPEN:
        at = resolution if present(resolution) else one.spec
        detail = f"`resolution` is {resolution.text or 'NONE, the default'}: the request says where it goes."
        yield finding(rules.HOST_OPEN, detail, at, one)


def _mixed(one: Object, named: list[tuple[Node, list[str]]], mesh: Mesh) -> Iterator[Finding]:
    exact = [node for node, _ in named if not (node.text or "").startswith("*")]
    hosts = [(node.text or "").lower() for node in exact]
    if len({*hosts}) > 1:
        detail = f"{', '.join(f'`{host}`' for host in hosts)} are different regions and share their endpoints."
        yield finding(rules.REGIONS_MIXED, detail, exact[1], one)
    places: dict[str, Node] = {}
    whole = any(not name.subset for host in hosts for name in mesh.region_hosts.get(host, ()))
    for node in _endpoints(one, mesh) if whole else ():  # else labels keep regions apart
        locality = node.get("locality")
        label = node.get("labels", _REGION_LABEL)
        at = locality if locality.text is not None else label
        if at.text is not None:
            place = at.text.split("/")[0]
            if places and place not in places:
                detail = f"its endpoints are in {next(iter(places))} and in {place}."
                yield finding(rules.REGIONS_MIXED, detail, at, one)
            places[place] = at
    for other in mesh.of(NETWORKING, "ServiceEntry"):
        if other is one:
            break
        shared = {host for host in hosts for node in other.spec.below("hosts") if (node.text or "").lower() == host}
        if shared:
            detail = f"{other.subject} gives `{min(shared)}` endpoints too; istiod puts them together."
            yield finding(rules.REGIONS_MIXED, detail, exact[0], one)


def _endpoints(one: Object, mesh: Mesh) -> Iterator[Node]:
    yield from one.spec.below("endpoints")
    selector = one.spec.get("workloadSelector", "labels")
    for entry in mesh.of(NETWORKING, "WorkloadEntry"):
        if entry.namespace == one.namespace and selects(selector, labels_of(entry.spec.get("labels"))):
            yield entry.spec


def _every_cluster(mesh: Mesh, settings: MeshSettings) -> Iterator[Finding]:
    """Yield routes by `cluster_header` on sidecars that may connect anywhere."""
    modes = {
        one.namespace: one.spec.get("outboundTrafficPolicy", "mode").text for one in mesh.of(NETWORKING, "Sidecar")
    }
    for patch in mesh.patches:
        mode = modes.get(patch.owner.namespace) or settings.outbound_mode
        if patch.context not in ("ANY", "SIDECAR_OUTBOUND") or mode == "REGISTRY_ONLY":
            continue
        for node in everything(patch.value):
            if isinstance(node.value, dict) and field(node, "cluster_header").text == CLUSTER_HEADER:
                detail = f"`cluster_header` in the context {patch.context} reaches PassthroughCluster."
                yield finding(rules.EVERY_CLUSTER, detail, field(node, "cluster_header"), patch.owner)
