"""Finds what leaks in Kubernetes objects: Istio's, the Gateway API's, Envoy Gateway's, and the gateway's pods.

    findings, unread = examine([Path("k8s/")], config=config)
    for finding in findings:
        print(finding.rule.id, finding.file, finding.line, finding.message)

Everything that is asked about is among the objects given, be they files or what `kubectl get -A -o yaml` prints; what
is missing there is said, never taken for well. With `running` configurations of Envoy, what they hold is compared with
what EnvoyFilters of ours say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from borderpost.config.model import Config
from borderpost.manifests.objects import Object, objects_in
from borderpost.manifests.reading import files_in, read_documents
from borderpost.manifests.tree import Document
from borderpost.reports.finding import Finding, Rule
from borderpost_base.errors import BorderpostError
from borderpost_envoy.doctor.configuration import read_configuration
from borderpost_envoy.doctor.model import Configuration
from borderpost_envoy.doctor.sources import Source
from borderpost_istio.doctor.any_patches import examine_any_patch
from borderpost_istio.doctor.destinations import examine_destinations
from borderpost_istio.doctor.envoy_gateway import examine_envoy_gateway
from borderpost_istio.doctor.groups import GROUP as ENVOY_GATEWAY
from borderpost_istio.doctor.identity import examine_identity
from borderpost_istio.doctor.loaded import dump_of, examine_loaded, is_proxy_config
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.mesh_config import MeshSettings, examine_settings
from borderpost_istio.doctor.our_patches import examine_our_patches
from borderpost_istio.doctor.pods import examine_pods
from borderpost_istio.doctor.priority import examine_priority
from borderpost_istio.doctor.reading import GATEWAY_API, NETWORKING, SECURITY, accepted, finding
from borderpost_istio.doctor.routes import examine_routes
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import RULES, patches, platform, traffic
from borderpost_istio.doctor.rules.sources import SOURCES, UNSHOWN
from borderpost_istio.doctor.setting import Setting, setting_of
from borderpost_istio.doctor.typed_fields import examine_fields

__all__ = [
    "DESCRIBED",
    "RULES",
    "SUBJECTS",
    "Described",
    "Setting",
    "compare",
    "examine",
    "examine_documents",
    "setting_of",
]

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


def examine(
    paths: Iterable[Path], *, config: Config | None = None, running: Sequence[Configuration] = ()
) -> tuple[list[Finding], list[BorderpostError]]:
    """Examine files and folders (`-` is the standard input), and hold what runs against what EnvoyFilters of ours say.

    Outputs of `istioctl proxy-config … -o json` among the files count as running. Returns what was found, in no order,
    and the errors of what could not be read, BP0003, BP01xx and BP1230 to BP1232; raises none of them.
    """
    documents: list[Document] = []
    outputs: list[Document] = []
    errors: list[BorderpostError] = []
    for path in files_in(paths):
        try:
            for document in read_documents(path):
                (outputs if is_proxy_config(document) else documents).append(document)
        except BorderpostError as error:
            errors.append(error)
    setting = setting_of(config) if config is not None else Setting()
    findings = list(examine_documents(documents, setting))
    dump = dump_of(outputs)
    proxies = [*running, *([read_configuration(Source(dump, dump.file))] if dump is not None else [])]
    for proxy in proxies:
        findings += compare(documents, proxy, setting)
    return findings, errors


def examine_documents(documents: Iterable[Document], setting: Setting = Setting()) -> Iterator[Finding]:  # noqa: B008
    """Yield what is found in Kubernetes objects, in no order; of kinds that no rule knows, nothing.

    What an object's annotation accepts is left out (`borderpost.dev/ignore: BPD050 reason`).
    """
    objects = list(objects_in(documents, setting.namespace))
    ignored = {(one.node.document.file, one.subject): accepted(one) for one in objects}
    for found in _examined(objects, setting):
        if found.rule.id not in ignored.get((found.file or "", found.subject or ""), ()):
            yield found


def _examined(objects: Iterable[Object], setting: Setting) -> Iterator[Finding]:
    known: list[Object] = []
    for one in objects:
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


def compare(
    rendered: Iterable[Document],
    running: Configuration,
    setting: Setting = Setting(),  # noqa: B008
) -> Iterator[Finding]:
    """Yield what EnvoyFilters of ours say and a proxy does not run with."""
    yield from examine_loaded(Mesh(objects_in(rendered, setting.namespace), setting), running)


def _unknown_regions(mesh: Mesh) -> Iterator[Finding]:
    """Yield once that nothing says which hosts are regions, so that rules about them had nothing to look at."""
    one = next((one for kind in ("DestinationRule", "ServiceEntry") for one in mesh.of(NETWORKING, kind)), None)
    if one is not None and not mesh.region_hosts:
        detail = (
            "no EnvoyFilter of Borderpost is among the files and no configuration was given, so nothing says which "
            "hosts are regions: failover, endpoints and TLS of hosts were not examined."
        )
        yield finding(platform.NOT_EXAMINED, detail, one.node.get("metadata", "name"), one)
