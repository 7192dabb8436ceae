"""How the Gateway treats clients and asks Borderpost, and what Envoy Gateway's own kinds cannot say of it.

What keeps a request from leaking is said in kinds that Envoy Gateway always reads: no client brings our headers, no
answer means no route. The patches make it narrower still, and need `enableEnvoyPatchPolicy`; where they are not
applied, the policy's status says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from borderpost_base.names import EXT_PROC_FILTER, HEADER_PREFIX, METADATA_NAMESPACE
from borderpost_envoy.clusters import OPEN_AT_ONCE_MAX
from borderpost_envoy.filters import CERTIFICATE_ATTRIBUTES, own_filters
from borderpost_istio.envoy_gateway.backends import server_name
from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan
from borderpost_istio.kinds import KubeObject, Metadata
from borderpost_istio.kinds.envoy_gateway import (
    GROUP,
    BackendSettings,
    BackOff,
    CircuitBreaker,
    ClientConnection,
    ClientHeaders,
    ClientIpDetection,
    ClientTrafficPolicy,
    ClientTrafficPolicySpec,
    EarlyHeaders,
    EnvoyExtensionPolicy,
    EnvoyExtensionPolicySpec,
    EnvoyPatchPolicy,
    EnvoyPatchPolicySpec,
    ExtProc,
    ExtProcMetadata,
    ForwardedFor,
    HeaderNameMatch,
    JsonPatch,
    JsonPatchOperation,
    PerRetry,
    ProcessingMode,
    RequestMode,
    Resource,
    Retry,
    RetryOn,
)
from borderpost_istio.kinds.gateway_api import GATEWAY_API_GROUP, LocalReference, duration
from borderpost_istio.names import PREFIX

_STRIPPED = (HEADER_PREFIX, "x-envoy-")
_LISTENER: Resource = "type.googleapis.com/envoy.config.listener.v3.Listener"
_ROUTES: Resource = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_PATCHED_SETTINGS = ("mutation_rules", "forward_rules", "route_cache_action", "stat_prefix")
"""Settings of our filter that EnvoyExtensionPolicy has no field for."""
_CLIENTS = """\
No client brings a decision, steers retries or chooses its address. A Gateway has one such policy: if yours has one
already, put these settings into it, for of two only the older is in force."""
_PATCHES = """\
What the policy above cannot say. Needs `extensionApis.enableEnvoyPatchPolicy`; without it nothing leaks by the routes
below, but routes of others may switch the question off for themselves, our answers are held to no list of headers,
Borderpost is sent every header of a request, and websockets may be opened."""


def policy_objects(plan: EnvoyGatewayPlan) -> Iterator[tuple[KubeObject, str]]:
    """Yield the policies of the Gateway."""
    yield _clients(plan), _CLIENTS
    yield _asking(plan), "Borderpost is asked on every route of the Gateway. No answer, no route."
    yield _patches(plan), _PATCHES


def _clients(plan: EnvoyGatewayPlan) -> ClientTrafficPolicy:
    early = EarlyHeaders(remove_on_match=tuple(HeaderNameMatch(value=prefix) for prefix in _STRIPPED))
    hops = plan.trusted_hops
    detection = ClientIpDetection(x_forwarded_for=ForwardedFor(num_trusted_hops=hops)) if hops else None
    spec = ClientTrafficPolicySpec(
        target_refs=(_gateway(plan),),
        client_ip_detection=detection,
        headers=ClientHeaders(early_request_headers=early),
        connection=ClientConnection(buffer_limit="1Mi"),
    )
    return ClientTrafficPolicy(metadata=_meta(plan), spec=spec)


def _asking(plan: EnvoyGatewayPlan) -> EnvoyExtensionPolicy:
    certificate = CERTIFICATE_ATTRIBUTES if plan.asks_for_certificates else ()
    attributes = tuple(dict.fromkeys((*plan.attributes, *certificate)))
    processor = ExtProc(
        backend_refs=tuple(
            LocalReference(group=GROUP, kind="Backend", name=server_name(index)) for index in range(len(plan.servers))
        ),
        message_timeout=duration(plan.message_timeout_ms),
        status_on_error=503,
        processing_mode=ProcessingMode(
            request=RequestMode(attributes=attributes, body="Buffered" if plan.bodies is not None else None)
        ),
        metadata=ExtProcMetadata(
            accessible_namespaces=(plan.jwt_namespace,), writable_namespaces=(METADATA_NAMESPACE,)
        ),
        backend_settings=BackendSettings(
            circuit_breaker=CircuitBreaker(
                max_connections=1024,
                max_pending_requests=OPEN_AT_ONCE_MAX,
                max_parallel_requests=OPEN_AT_ONCE_MAX,
                max_parallel_retries=1024,
            ),
            retry=Retry(
                num_retries=2,
                retry_on=RetryOn(triggers=("connect-failure", "reset", "unavailable", "cancelled")),
                per_retry=PerRetry(
                    back_off=BackOff(base_interval="10ms", max_interval=duration(plan.message_timeout_ms))
                ),
            ),
        ),
    )
    spec = EnvoyExtensionPolicySpec(target_refs=(_gateway(plan),), ext_proc=(processor,))
    return EnvoyExtensionPolicy(metadata=_meta(plan), spec=spec)


def filter_name(plan: EnvoyGatewayPlan) -> str:
    """Return what Envoy Gateway calls the filter of the policy above (1.9.1, tried)."""
    return f"envoy.filters.http.ext_proc/envoyextensionpolicy/{plan.namespace}/{PREFIX}/extproc/0"


def _patches(plan: EnvoyGatewayPlan) -> EnvoyPatchPolicy:
    found = f'..http_filters[?(@.name=="{filter_name(plan)}")]'
    rendered = _rendered_filter(plan)
    # Envoy Gateway puts the filter in switched off, and switches it on route by route.
    settings: list[tuple[str, Any]] = [("/disabled", False)]
    settings += [(f"/typed_config/{name}", rendered[name]) for name in _PATCHED_SETTINGS]
    settings.append(("/typed_config/grpc_service/envoy_grpc/skip_envoy_headers", True))
    operations: list[tuple[Resource, JsonPatchOperation]] = [
        (_LISTENER, JsonPatchOperation(op="add", json_path=found, path=path, value=value)) for path, value in settings
    ]
    # Without a `path`: what the expression finds is taken out.
    operations.append((_ROUTES, JsonPatchOperation(op="remove", json_path=_upgrades(plan))))
    patches = tuple(
        JsonPatch(type=kind, name=f"{plan.namespace}/{plan.gateway}/{listener}", operation=operation)
        for listener in plan.listeners
        for kind, operation in operations
    )
    return EnvoyPatchPolicy(
        metadata=_meta(plan), spec=EnvoyPatchPolicySpec(target_ref=_gateway(plan), json_patches=patches)
    )


def _upgrades(plan: EnvoyGatewayPlan) -> str:
    """Return where our routes allow websockets, which Envoy Gateway has every route do."""
    return f'..routes[?match(@.name, "httproute/{plan.namespace}/{PREFIX}-.*")].route.upgrade_configs'


def _rendered_filter(plan: EnvoyGatewayPlan) -> dict[str, Any]:
    """Return our filter as it is rendered for any Envoy."""
    from betterproto2 import Casing

    (ours,) = (each for each in own_filters(plan) if each.name == EXT_PROC_FILTER)
    data: dict[str, Any] = ours.to_dict(casing=Casing.SNAKE)
    settings: dict[str, Any] = data["typed_config"]
    return settings


def _gateway(plan: EnvoyGatewayPlan) -> LocalReference:
    return LocalReference(group=GATEWAY_API_GROUP, kind="Gateway", name=plan.gateway)


def _meta(plan: EnvoyGatewayPlan) -> Metadata:
    return Metadata(name=PREFIX, namespace=plan.namespace)
