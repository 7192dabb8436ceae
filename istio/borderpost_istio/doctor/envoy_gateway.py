"""Envoy Gateway's policies: extension services that fail open, patches that are off, fallback backends."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding
from borderpost_istio.doctor.groups import GROUP, is_declared_group
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.mesh_config import embedded
from borderpost_istio.doctor.reading import GATEWAY_API, finding, present
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import patches
from borderpost_istio.doctor.rules.platform import FALLBACK, POLICY_WITHOUT_EFFECT

_POLICIES = (
    "EnvoyExtensionPolicy",
    "EnvoyPatchPolicy",
    "SecurityPolicy",
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
)
_LISTENER_TYPES = ("Listener", "RouteConfiguration")


def examine_envoy_gateway(mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    """Yield what is wrong with Envoy Gateway's kinds."""
    for kind in _POLICIES:
        for one in mesh.of(GROUP, kind):
            yield from _target(mesh, one)
    for one in mesh.of(GROUP, "EnvoyExtensionPolicy"):
        yield from _extensions(mesh, one)
    for one in mesh.of(GROUP, "SecurityPolicy"):
        authorizer = one.spec.get("extAuth")
        if present(authorizer) and authorizer.get("failOpen").value is True:
            detail = "`extAuth` lets requests pass where its service does not answer."
            yield finding(patches.FAILURE_ALLOWED, detail, authorizer.get("failOpen"), one)
    for one in mesh.of(GROUP, "BackendTrafficPolicy"):
        limit = one.spec.get("rateLimit")
        if limit.get("type").text == "Global" and _fails_open(mesh) is not None:
            detail = "a global rate limit is set, and Envoy Gateway's `rateLimit.failClosed` is not true."
            yield finding(patches.RATE_LIMIT_OPEN, detail, limit, one)
        for upgrade in one.spec.below("httpUpgrade"):
            detail = f"the policy lets `{upgrade.get('type').text}` through."
            yield finding(patches.UPGRADES, detail, upgrade, one)
    yield from _patches(mesh)
    yield from _fallbacks(mesh, routing)


def _targets(one: Object) -> list[Node]:
    single = one.spec.get("targetRef")
    return [*([single] if present(single) else []), *one.spec.below("targetRefs")]


def _target(mesh: Mesh, one: Object) -> Iterator[Finding]:
    """Yield targets that are not there, where others of their kind are."""
    for target in _targets(one):
        kind, name = target.get("kind").text or "", target.get("name")
        known = [item for item in mesh.of(GATEWAY_API, kind) if item.namespace == one.namespace]
        if kind != "GatewayClass" and [*mesh.of(GATEWAY_API, kind)] and not any(i.name == name.text for i in known):
            detail = f"there is no {kind} {one.namespace}/{name.text}."
            yield finding(POLICY_WITHOUT_EFFECT, detail, name, one)


def _is_ours(mesh: Mesh, service: Node) -> bool:
    """Say whether an extension's service is Borderpost: by its name, or by its Backend's socket."""
    for reference in service.below("backendRefs"):
        name = reference.get("name").text or ""
        backend = next((item for item in mesh.of(GROUP, "Backend") if item.name == name), None)
        sockets = [] if backend is None else [end.get("unix", "path").text for end in backend.spec.below("endpoints")]
        if "borderpost" in " ".join((name, *(path or "" for path in sockets))).lower():
            return True
    return False


def _extensions(mesh: Mesh, one: Object) -> Iterator[Finding]:
    services = list(one.spec.below("extProc"))
    ours = [service for service in services if _is_ours(mesh, service)]
    for service in ours:
        if service.get("failOpen").value is True:
            detail = "`failOpen` lets requests pass where Borderpost does not answer."
            yield finding(patches.FAILURE_ALLOWED, detail, service.get("failOpen"), one)
        if not present(service.get("processingMode", "request")):
            at = service.get("processingMode") if present(service.get("processingMode")) else service
            detail = "without `processingMode.request` Envoy Gateway sends Borderpost nothing of a request."
            yield finding(patches.ASKING_DISABLED, detail, at, one)
    if ours:
        for service in services:
            if not any(service.path == own.path for own in ours):
                detail = "another processor stands in the chain beside Borderpost."
                yield finding(patches.SECOND_EXT_PROC, detail, service, one)
        for kind in ("lua", "wasm"):
            for extra in one.spec.below(kind):
                detail = f"a {kind} extension stands in the chain beside Borderpost."
                yield finding(patches.HEADER_SET, detail, extra, one)


def _configurations(mesh: Mesh) -> Iterator[tuple[Object, Node]]:
    """Yield Envoy Gateway's own settings: an object of kind EnvoyGateway, or one that stands in a ConfigMap."""
    for one in mesh.of(GROUP, "EnvoyGateway"):
        yield one, one.node
    for one in mesh.of("", "ConfigMap"):
        for _, text in one.node.get("data").items():
            if "kind: EnvoyGateway" in (text.text or ""):
                settings = embedded(text)
                if settings is not None and settings.get("kind").text == "EnvoyGateway":
                    yield one, settings


def _fails_open(mesh: Mesh) -> Object | None:
    return next(
        (one for one, node in _configurations(mesh) if node.get("rateLimit", "failClosed").value is not True), None
    )


def _patches(mesh: Mesh) -> Iterator[Finding]:
    policies = list(mesh.of(GROUP, "EnvoyPatchPolicy"))
    settings = list(_configurations(mesh))
    is_on = any(node.get("extensionApis", "enableEnvoyPatchPolicy").value is True for _, node in settings)
    listeners = {
        f"{gateway.namespace}/{gateway.name}/{listener.get('name').text}"
        for gateway in mesh.of(GATEWAY_API, "Gateway")
        for listener in gateway.spec.below("listeners")
    }
    for one in policies:
        if settings and not is_on:
            detail = "EnvoyPatchPolicy is not enabled in Envoy Gateway's settings."
            yield finding(POLICY_WITHOUT_EFFECT, detail, one.node.get("kind"), one)
        for patch in one.spec.below("jsonPatches"):
            name = patch.get("name")
            kind = (patch.get("type").text or "").rpartition(".")[2]
            is_triple = kind in _LISTENER_TYPES and (name.text or "").count("/") == 2
            if is_triple and listeners and name.text not in listeners:
                there = ", ".join(f"`{listener}`" for listener in sorted(listeners)[:5])
                detail = f"no listener comes of `{name.text}`; there is {there}."
                yield finding(patches.PATCH_MATCHES_NOTHING, detail, name, one)


def _fallbacks(mesh: Mesh, routing: Routing) -> Iterator[Finding]:
    """Yield fallback backends that stand beside others in a rule of a route."""
    fallbacks = {
        (one.namespace, one.name): one for one in mesh.of(GROUP, "Backend") if one.spec.get("fallback").value is True
    }
    for routes in routing.all:
        for entry in routes.entries:
            references = [ref for ref in entry.node.below("backendRefs") if ref.get("kind").text == "Backend"]
            for reference in references:
                namespace = reference.get("namespace").text or routes.owner.namespace
                one = fallbacks.get((namespace, reference.get("name").text or ""))
                if one is not None and len(references) > 1 and not is_declared_group(routes, entry, routing):
                    detail = f"{one.subject} serves in {routes.owner.subject} when the others fail."
                    yield finding(FALLBACK, detail, reference.get("name"), routes.owner)
