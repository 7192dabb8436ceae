"""Finds what leaks in Kubernetes objects: Istio's, the Gateway API's, Envoy Gateway's, and the gateway's pods.

    documents = [document for path in files_in(paths) for document in read_documents(path)]
    for finding in examine(documents, setting_of(config)):
        print(finding.rule.id, finding.file, finding.line, finding.message)

Everything that is asked about is among the objects given, be they files or what `kubectl get -A -o yaml` prints; what
is missing there is said, never taken for well. `compare` holds a proxy's config dump against what was rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from borderpost.manifests.objects import Object, objects_in
from borderpost.manifests.tree import Document, Node
from borderpost.reports.finding import Finding, Rule
from borderpost_envoy.doctor.sources import Source
from borderpost_istio.doctor.any_patches import examine_any_patch
from borderpost_istio.doctor.destinations import examine_destinations
from borderpost_istio.doctor.envoy_gateway import GROUP as ENVOY_GATEWAY
from borderpost_istio.doctor.envoy_gateway import examine_envoy_gateway
from borderpost_istio.doctor.identity import examine_identity
from borderpost_istio.doctor.loaded import dump_of, examine_loaded
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.mesh_config import MeshSettings, examine_settings
from borderpost_istio.doctor.our_patches import examine_our_patches
from borderpost_istio.doctor.pods import examine_pods
from borderpost_istio.doctor.priority import examine_priority
from borderpost_istio.doctor.reading import GATEWAY_API, NETWORKING, SECURITY, finding
from borderpost_istio.doctor.routes import examine_routes
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import RULES, patches, platform, traffic
from borderpost_istio.doctor.rules.sources import SOURCES, UNSHOWN
from borderpost_istio.doctor.setting import Setting
from borderpost_istio.doctor.typed_fields import examine_fields

__all__ = ["DESCRIBED", "RULES", "SUBJECTS", "Described", "Setting", "compare", "dump_of", "examine", "is_manifest"]

SUBJECTS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "EnvoyFilters": patches.RULES,
    "Where requests go": traffic.RULES,
    "Around the gateway": platform.RULES,
}
"""The rules by the headings that the reference has."""

_VERSIONS: Final = {
    NETWORKING: frozenset({"v1alpha3", "v1beta1", "v1"}),
    SECURITY: frozenset({"v1beta1", "v1"}),
    "telemetry.istio.io": frozenset({"v1alpha1", "v1"}),
    GATEWAY_API: frozenset({"v1alpha2", "v1alpha3", "v1beta1", "v1"}),
    ENVOY_GATEWAY: frozenset({"v1alpha1"}),
}
"""The versions of API groups whose objects are read."""


@dataclass(frozen=True, slots=True)
class Described:
    """A rule with what the reference says beside its text."""

    rule: Rule
    source: str
    """Where the fact that it rests on is documented."""
    unshown: str | None
    """Why no test shows the leak on a real control plane; None where one does."""


DESCRIBED: Final[Mapping[str, Described]] = {
    name: Described(rule, SOURCES[name], UNSHOWN.get(name)) for name, rule in RULES.items()
}
"""Every rule by its id."""


def is_manifest(document: Document) -> bool:
    """Say whether a document holds Kubernetes objects, rather than a configuration of Envoy."""
    top = Node(document, (), document.data)
    return any(
        node.get("kind").text is not None and node.get("apiVersion").text is not None for node in (top, *top.each())
    )


def examine(documents: Iterable[Document], setting: Setting = Setting()) -> Iterator[Finding]:  # noqa: B008
    """Yield what is found in Kubernetes objects, in no order; the same thing may be told once by several rules.

    Objects of kinds that no rule knows are passed over.
    """
    known: list[Object] = []
    for one in objects_in(documents, setting.namespace):
        versions = _VERSIONS.get(one.group)
        version = (one.node.get("apiVersion").text or "").rpartition("/")[2]
        if versions is not None and version not in versions:
            detail = f"`{one.group}/{version}` is no version that is known here."
            yield finding(platform.NOT_EXAMINED, detail, one.node.get("apiVersion"), one)
        else:
            known.append(one)
    mesh = Mesh(known, setting)
    routing = Routing(mesh)
    settings = MeshSettings(mesh)
    yield from _unknown_regions(mesh)
    yield from examine_our_patches(mesh, routing)
    yield from examine_fields(mesh)
    yield from examine_priority(mesh)
    yield from examine_any_patch(mesh, routing)
    yield from examine_routes(mesh, routing)
    yield from examine_destinations(mesh, settings)
    yield from examine_settings(mesh, settings, routing)
    yield from examine_identity(mesh, settings, routing)
    yield from examine_pods(mesh)
    yield from examine_envoy_gateway(mesh, routing)


def compare(rendered: Iterable[Document], live: Source, setting: Setting = Setting()) -> Iterator[Finding]:  # noqa: B008
    """Yield what was rendered for Istio and is not in a proxy's config dump. Raises BorderpostError BP1503."""
    yield from examine_loaded(Mesh(objects_in(rendered, setting.namespace), setting), live)


def _unknown_regions(mesh: Mesh) -> Iterator[Finding]:
    """Yield once that nothing says which hosts are regions, so that rules about them had nothing to look at."""
    one = next((one for kind in ("DestinationRule", "ServiceEntry") for one in mesh.of(NETWORKING, kind)), None)
    if one is not None and not mesh.region_hosts:
        detail = (
            "no EnvoyFilter of Borderpost is among the files and no configuration was given, so nothing says which "
            "hosts are regions: failover, endpoints and TLS of hosts were not examined."
        )
        yield finding(platform.NOT_EXAMINED, detail, one.node.get("metadata", "name"), one)
