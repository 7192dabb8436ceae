"""Who may ask whom: PeerAuthentication, and the AuthorizationPolicy that has Borderpost asked over ext_authz."""

from __future__ import annotations

from collections.abc import Container, Iterator

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.mesh_config import MeshSettings, is_our_provider
from borderpost_istio.doctor.reading import CLUSTER_DOMAIN, SECURITY, covers, finding, labels_of, present, texts_of
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import platform as rules

_DRY_RUN = "istio.io/dry-run"


def examine_identity(mesh: Mesh, settings: MeshSettings, routing: Routing) -> Iterator[Finding]:
    """Yield what is wrong with who may ask."""
    yield from _plaintext(mesh)
    yield from _asked(mesh, settings, routing)


def _plaintext(mesh: Mesh) -> Iterator[Finding]:
    namespaces = {mesh.setting.root_namespace, *(workload.namespace for workload in mesh.workloads)}
    for host in mesh.region_hosts:
        if host.endswith(CLUSTER_DOMAIN):
            namespaces.add(host.removesuffix(CLUSTER_DOMAIN).rpartition(".")[2])
    for one in mesh.of(SECURITY, "PeerAuthentication"):
        if one.namespace not in namespaces or not (mesh.workloads or mesh.region_hosts):
            continue
        modes = [one.spec.get("mtls", "mode")]
        modes += [setting.get("mode") for _, setting in one.spec.get("portLevelMtls").items()]
        for mode in modes:
            if mode.text in ("PERMISSIVE", "DISABLE"):
                yield finding(rules.MTLS_LAX, f"the mode is {mode.text}.", mode, one)


def _asked(mesh: Mesh, settings: MeshSettings, routing: Routing) -> Iterator[Finding]:
    """Yield what keeps a provider of ours from being asked about every request of a protected host."""
    ours = {
        provider.get("name").text: (one, provider)
        for one, provider in settings.providers()
        if is_our_provider(provider) and present(provider.get("envoyExtAuthzGrpc"))
    }
    policies = [
        one
        for one in mesh.of(SECURITY, "AuthorizationPolicy")
        if one.spec.get("action").text == "CUSTOM" and _is_about_us(one.spec.get("provider", "name").text, ours)
    ]
    for name, (one, provider) in ours.items():
        if not any(policy.spec.get("provider", "name").text == name for policy in policies):
            detail = f"no AuthorizationPolicy has the provider `{name}` asked."
            yield finding(rules.NOT_ASKED, detail, provider.get("name"), one)
    for policy in policies:
        yield from _whole(policy, mesh, routing)


def _is_about_us(provider: str | None, ours: Container[str | None]) -> bool:
    return provider in ours or "borderpost" in (provider or "")


def _whole(one: Object, mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    annotations = one.node.get("metadata", "annotations")
    dry = annotations.get(_DRY_RUN)
    if (dry.text or "").lower() == "true":
        yield finding(rules.NOT_ASKED, "the policy is a dry run: nobody is asked.", dry, one)
    rules_node = one.spec.get("rules")
    listed = list(rules_node.each())
    if not listed:
        at = rules_node if present(rules_node) else one.spec
        yield finding(rules.NOT_ASKED, "without `rules` the policy holds for no request.", at, one)
    elif not any(_takes_all(rule, routing) for rule in listed):
        yield finding(rules.NOT_ASKED, "its rules leave out requests of protected hosts.", listed[0], one)
    selector = one.spec.get("selector", "matchLabels")
    labels = labels_of(selector)
    for workload in mesh.workloads:
        if one.namespace in (workload.namespace, mesh.setting.root_namespace) and mesh.may_select(labels, workload):
            return
    if mesh.workloads:
        at = selector if labels else one.node.get("metadata", "name")
        yield finding(rules.NOT_ASKED, "it does not select the gateway that is protected.", at, one)


def _takes_all(rule: Node, routing: Routing) -> bool:
    """Say whether a rule holds for every request of each protected host."""
    if present(rule.get("from")) or present(rule.get("when")):
        return False
    operations = [to.get("operation") for to in rule.below("to")]
    return not operations or any(_all_hosts(operation, routing) for operation in operations)


def _all_hosts(operation: Node, routing: Routing) -> bool:
    if any(present(node) and key != "hosts" for key, node in operation.items()):
        return False
    patterns = [text.lower().removesuffix(":*") for text in texts_of(operation.get("hosts"))]
    return not patterns or all(any(covers(pattern, host) for pattern in patterns) for host in routing.hosts)
