"""The mesh's own settings: MeshConfig in its ConfigMap or an operator's object, and istiod's environment.

MeshConfig stands as text inside of the ConfigMap; what is found in it is told at its line of the outer file where the
text is a block, as kubectl writes it, and else at the key that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from borderpost.manifests.objects import Object
from borderpost.manifests.reading import parse_documents
from borderpost.manifests.tree import Document, Node
from borderpost.reports.finding import Finding
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.yaml_source import KeyPath, YamlDocument, dotted
from borderpost_envoy.doctor.message import Message
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.reading import everything, finding, labels_of, present
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import platform as rules

_ADDRESSES: Final = (
    "%DOWNSTREAM_REMOTE_ADDRESS",
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "%REQ(X-FORWARDED-FOR",
    "%REQ(X-ENVOY-EXTERNAL-ADDRESS",
    "%REQ(X-REAL-IP",
    "%PROXY_PROTOCOL_TLV",
)
_PRUNING = "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG"
_INTERNAL = "ENABLE_HCM_INTERNAL_NETWORKS"


class _Embedded:
    """A document that stands as text in another one."""

    def __init__(self, outer: Node, inner: YamlDocument) -> None:
        self.file = outer.document.file
        self.data: Any = inner.data
        self._outer = outer
        self._inner = inner

    def place(self, path: KeyPath) -> Place:
        """Return the place in the outer file."""
        outer = self._outer.place
        key = f"{dotted(self._outer.path)}.{dotted(path)}" if path else dotted(self._outer.path)
        is_block = isinstance(self._outer.document, YamlDocument) and "\n" in str(self._outer.value).rstrip("\n")
        line = self._inner.place(path).line
        if not is_block or outer.line is None or line is None:
            return Place(outer.file, outer.line, outer.column, key)
        return Place(outer.file, outer.line + line, None, key)


def embedded(outer: Node) -> Node | None:
    """Return the document that stands as text in a node; None where it is none."""
    if outer.text is None:
        return None
    try:
        inner = parse_documents(outer.text.encode(), outer.document.file)
    except BorderpostError:
        return None
    if not inner or not isinstance(inner[0], YamlDocument):
        return None
    document: Document = _Embedded(outer, inner[0])
    return Node(document, (), document.data)


class MeshSettings:
    """What the mesh's settings say."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.unreadable: list[tuple[Object, Node]] = []
        self.configs = list(self._read())

    def _read(self) -> Iterator[tuple[Object, Node]]:
        for one in self._mesh.of("", "ConfigMap"):
            text = one.node.get("data", "mesh")
            if one.name.startswith("istio") and text.text is not None:
                config = embedded(text)
                if config is None:
                    self.unreadable.append((one, text))
                else:
                    yield one, config
        for one in self._mesh.of("install.istio.io", "IstioOperator"):
            yield one, one.spec.get("meshConfig")
        for one in self._mesh.of("sailoperator.io", "Istio"):
            yield one, one.spec.get("values", "meshConfig")

    @property
    def failover_is_off(self) -> bool:
        """Say whether the mesh turns locality failover off for all hosts that do not say otherwise."""
        return any(config.get("localityLbSetting", "enabled").value is False for _, config in self.configs)

    @property
    def outbound_mode(self) -> str:
        """Return the mesh's mode for outbound traffic to unknown hosts; ALLOW_ANY is Istio's default."""
        said = [config.get("outboundTrafficPolicy", "mode").text for _, config in self.configs]
        return next((mode for mode in said if mode is not None), "ALLOW_ANY")

    def providers(self) -> Iterator[tuple[Object, Node]]:
        """Yield the extension providers."""
        for one, config in self.configs:
            for provider in config.below("extensionProviders"):
                yield one, provider

    def istiod_variable(self, name: str) -> Iterator[tuple[Object, Node]]:
        """Yield where a variable of istiod's is set to true."""
        for one, _, spec in self._mesh.pods:
            if "istiod" in one.name or "pilot" in one.name:
                for container in spec.below("containers"):
                    for variable in container.below("env"):
                        if variable.get("name").text == name and _is_true(variable.get("value")):
                            yield one, variable.get("value")
        for group, kind in (("install.istio.io", "IstioOperator"), ("sailoperator.io", "Istio")):
            for one in self._mesh.of(group, kind):
                node = one.spec.get("values", "pilot", "env", name)
                if _is_true(node):
                    yield one, node


def _is_true(node: Node) -> bool:
    return (node.text or "").lower() in ("true", "1", "t")


def examine_settings(mesh: Mesh, settings: MeshSettings, routing: Routing) -> Iterator[Finding]:
    """Yield what is wrong with the mesh's settings."""
    for one, node in settings.unreadable:
        yield finding(rules.NOT_EXAMINED, "its `mesh` is no YAML, so the mesh's settings were not examined.", node, one)
    for one, config in settings.configs:
        yield from _failover(one, config)
        yield from _hops(mesh, one, config.get("defaultConfig"))
        if not _log_is_off(mesh):
            yield from _log(one, config)
    for one, metadata, _ in mesh.pods:
        proxy = embedded(metadata.get("annotations", "proxy.istio.io/config"))
        if proxy is not None and any(one.namespace == workload.namespace for workload in mesh.workloads):
            yield from _hops(mesh, one, proxy, must=False)
    for one, provider in settings.providers():
        yield from _provider(one, provider)
    yield from _telemetry(mesh)
    yield from _pruned(mesh, settings, routing)
    for one, node in settings.istiod_variable(_INTERNAL):
        yield finding(rules.INTERNAL_NETWORKS, f"{_INTERNAL} is true.", node, one)


def _failover(one: Object, config: Node) -> Iterator[Finding]:
    setting = config.get("localityLbSetting")
    if setting.get("enabled").value is False:
        return
    for key in ("failover", "failoverPriority", "distribute"):
        if present(setting.get(key)):
            detail = f"`localityLbSetting.{key}` holds for every host of the mesh."
            yield finding(rules.MESH_FAILOVER, detail, setting.get(key), one)


def _hops(mesh: Mesh, one: Object, proxy: Node, *, must: bool = True) -> Iterator[Finding]:
    wanted = mesh.setting.trusted_hops
    topology = proxy.get("gatewayTopology")
    if (
        wanted is None
        or _hops_patched(mesh, wanted)
        or (not must and not present(topology))
        or present(topology.get("proxyProtocol"))
    ):
        return
    node = topology.get("numTrustedProxies")
    said = node.value if isinstance(node.value, int) else 0
    if said != wanted and not (must and said == 0 and _said_by_pods(mesh)):
        detail = f"`numTrustedProxies` is {said}, and the configuration says {wanted}."
        yield finding(rules.TRUSTED_HOPS, detail, node, one)


def _hops_patched(mesh: Mesh, wanted: int) -> bool:
    """Say whether an EnvoyFilter of ours sets the number itself, over what the mesh says."""
    return any(
        mesh.is_ours(patch)
        and patch.apply_to == "NETWORK_FILTER"
        and Message(patch.value).get("typed_config").text("xff_num_trusted_hops") == str(wanted)
        for patch in mesh.patches
    )


def _said_by_pods(mesh: Mesh) -> bool:
    return any(present(metadata.get("annotations", "proxy.istio.io/config")) for _, metadata, _ in mesh.pods)


def _log_is_off(mesh: Mesh) -> bool:
    """Say whether a Telemetry turns the mesh's access log off for each protected gateway."""
    off = [
        one
        for one in mesh.of("telemetry.istio.io", "Telemetry")
        if any(logging.get("disabled").value is True for logging in one.spec.below("accessLogging"))
    ]
    return bool(mesh.workloads) and all(
        any(
            one.namespace == workload.namespace
            and mesh.may_select(labels_of(one.spec.get("selector", "matchLabels")), workload)
            for one in off
        )
        for workload in mesh.workloads
    )


def _log(one: Object, config: Node) -> Iterator[Finding]:
    if config.get("accessLogFile").text is None:
        return
    form = config.get("accessLogFormat")
    if form.text is None:
        detail = "the access log has Istio's default format, with client addresses."
        yield finding(rules.ADDRESSES_LOGGED, detail, config.get("accessLogFile"), one)
    else:
        yield from _addresses(one, form)


def _addresses(one: Object, form: Node) -> Iterator[Finding]:
    for node in everything(form):
        if isinstance(node.value, str):
            found = next((token for token in _ADDRESSES if token in node.value.upper()), None)
            if found is not None:
                yield finding(rules.ADDRESSES_LOGGED, f"the access log has `{found}…`.", node, one)


def _provider(one: Object, provider: Node) -> Iterator[Finding]:
    for kind in ("envoyFileAccessLog", "envoyOtelAls"):
        yield from _addresses(one, provider.get(kind, "logFormat"))
    for kind in ("envoyExtAuthzGrpc", "envoyExtAuthzHttp"):
        node = provider.get(kind, "failOpen")
        if node.value is True and is_our_provider(provider):
            detail = f"the provider `{provider.get('name').text}` serves requests that were not decided."
            yield finding(rules.PROVIDER_OPEN, detail, node, one)


def is_our_provider(provider: Node) -> bool:
    """Say whether an extension provider is Borderpost: by its name or its service's."""
    names = [provider.get("name").text, provider.get("envoyExtAuthzGrpc", "service").text]
    return any("borderpost" in (name or "").lower() for name in names)


def _telemetry(mesh: Mesh) -> Iterator[Finding]:
    """Yield access logging by Istio's built-in provider, which has the default format."""
    namespaces = {mesh.setting.root_namespace, *(workload.namespace for workload in mesh.workloads)}
    for one in mesh.of("telemetry.istio.io", "Telemetry"):
        if one.namespace not in namespaces:
            continue
        for logging in one.spec.below("accessLogging"):
            for provider in logging.below("providers"):
                if provider.get("name").text == "envoy" and logging.get("disabled").value is not True:
                    detail = "the provider `envoy` logs in Istio's default format, with client addresses."
                    yield finding(rules.ADDRESSES_LOGGED, detail, provider, one)


def _pruned(mesh: Mesh, settings: MeshSettings, routing: Routing) -> Iterator[Finding]:
    entries = [entry for routes in routing.all for entry in routes.entries]
    named = {destination.host for entry in entries for destination in entry.destinations}
    named |= mesh.referenced_hosts
    lost = sorted(set(mesh.region_hosts) - named)
    if lost:
        for one, node in settings.istiod_variable(_PRUNING):
            shown = ", ".join(f"`{host}`" for host in lost[:3]) + (" and more" if len(lost) > 3 else "")
            detail = f"{_PRUNING} is true, and no VirtualService names {shown}."
            yield finding(rules.CLUSTERS_PRUNED, detail, node, one)
