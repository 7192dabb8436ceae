"""Envoy Gateway's `gateway.envoyproxy.io/v1alpha1`: backends, policies and patches of its Envoys.

Only the fields that are used here. Source: Envoy Gateway 1.9.1, `api/v1alpha1`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from borderpost_istio.kinds.gateway_api import LocalReference
from borderpost_istio.kinds.model import KubeModel, KubeObject

GROUP = "gateway.envoyproxy.io"
Resource = Literal[
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
]
"""What of Envoy's configuration is patched."""
_Version = Literal["gateway.envoyproxy.io/v1alpha1"]
_VERSION: _Version = "gateway.envoyproxy.io/v1alpha1"


class SocketPath(KubeModel):
    """A Unix socket in Envoy's pod."""

    path: Annotated[str, Field(min_length=1, max_length=107)]


class IpEndpoint(KubeModel):
    """An address and a port."""

    address: str
    port: int


class NamedEndpoint(KubeModel):
    """A DNS name and a port."""

    hostname: str
    port: int


class BackendEndpoint(KubeModel):
    """One endpoint, in one of three forms. A backend has names only, or none."""

    ip: IpEndpoint | None = None
    fqdn: NamedEndpoint | None = None
    unix: SocketPath | None = None


class ClientCertificate(KubeModel):
    """A Secret of the same namespace with the certificate that Envoy presents."""

    group: Literal[""] = ""
    kind: Literal["Secret"] = "Secret"
    name: str


class BackendTls(KubeModel):
    """What Envoy presents to a backend; by what it checks the backend's own is in a BackendTLSPolicy."""

    client_certificate_ref: ClientCertificate


class BackendSpec(KubeModel):
    """Endpoints of one backend."""

    endpoints: Annotated[tuple[BackendEndpoint, ...], Field(min_length=1, max_length=256)]
    app_protocols: tuple[Literal["gateway.envoyproxy.io/h2c"], ...] | None = None
    fallback: bool | None = None
    """Of lower priority than backends beside it that have no such mark."""
    tls: BackendTls | None = None


class Backend(KubeObject):
    """Where requests can be sent."""

    api_version: _Version = _VERSION
    kind: Literal["Backend"] = "Backend"
    spec: BackendSpec


class HeaderNameMatch(KubeModel):
    """Headers by the start of their names."""

    type: Literal["Prefix"] = "Prefix"
    value: str


class EarlyHeaders(KubeModel):
    """What happens to a request's headers before anything else looks at them."""

    remove_on_match: tuple[HeaderNameMatch, ...]


class ClientHeaders(KubeModel):
    """How headers of clients are treated."""

    early_request_headers: EarlyHeaders
    with_underscores_action: Literal["DropHeader"] = "DropHeader"


class PathSettings(KubeModel):
    """How paths are made one form."""

    escaped_slashes_action: Literal["RejectRequest"] = "RejectRequest"


class ForwardedFor(KubeModel):
    """How many proxies of the operator's append to x-forwarded-for."""

    num_trusted_hops: int


class ClientIpDetection(KubeModel):
    """Where the client's address is taken from."""

    x_forwarded_for: ForwardedFor


class ClientConnection(KubeModel):
    """Bounds of a client's connection."""

    buffer_limit: str


class ClientTrafficPolicySpec(KubeModel):
    """How a Gateway treats its clients."""

    target_refs: tuple[LocalReference, ...]
    client_ip_detection: Annotated[ClientIpDetection | None, Field(alias="clientIPDetection")] = None
    path: PathSettings = PathSettings()
    headers: ClientHeaders
    connection: ClientConnection


class ClientTrafficPolicy(KubeObject):
    """How a Gateway treats its clients."""

    api_version: _Version = _VERSION
    kind: Literal["ClientTrafficPolicy"] = "ClientTrafficPolicy"
    spec: ClientTrafficPolicySpec


class DirectResponse(KubeModel):
    """An answer of Envoy's own."""

    status_code: int


class HostRewrite(KubeModel):
    """The Host towards the backend is the backend's own name."""

    type: Literal["Backend"] = "Backend"


class UrlRewrite(KubeModel):
    """What of a URL is rewritten."""

    hostname: HostRewrite = HostRewrite()


class HTTPRouteFilterSpec(KubeModel):
    """One thing that is done to requests of a rule."""

    direct_response: DirectResponse | None = None
    url_rewrite: UrlRewrite | None = None


class HTTPRouteFilter(KubeObject):
    """What rules of HTTPRoutes refer to."""

    api_version: _Version = _VERSION
    kind: Literal["HTTPRouteFilter"] = "HTTPRouteFilter"
    spec: HTTPRouteFilterSpec


class RetryOn(KubeModel):
    """When something is tried again."""

    triggers: tuple[str, ...]
    http_status_codes: tuple[int, ...] | None = None


class BackOff(KubeModel):
    """Waiting between attempts."""

    base_interval: str
    max_interval: str


class PerRetry(KubeModel):
    """How each attempt is made."""

    back_off: BackOff


class Retry(KubeModel):
    """Further attempts."""

    num_retries: int
    num_attempts_per_priority: int | None = None
    """Attempts before the next priority is taken; without it, a retry stays in the first."""
    retry_on: RetryOn
    per_retry: PerRetry | None = None


class CircuitBreaker(KubeModel):
    """Bounds on what is open at once."""

    max_connections: int
    max_pending_requests: int
    max_parallel_requests: int
    max_parallel_retries: int | None = None


class BackendSettings(KubeModel):
    """How a backend of a policy is spoken to."""

    circuit_breaker: CircuitBreaker
    retry: Retry


class RequestMode(KubeModel):
    """What of a request is sent to the processor: its headers, these attributes, and bodies if `body` is set."""

    attributes: tuple[str, ...]
    body: Literal["Buffered"] | None = None


class ProcessingMode(KubeModel):
    """What is sent to the processor; of a response nothing."""

    request: RequestMode


class ExtProcMetadata(KubeModel):
    """Namespaces of metadata that the processor is told, and that it may fill."""

    accessible_namespaces: tuple[str, ...]
    writable_namespaces: tuple[str, ...]


class ExtProc(KubeModel):
    """A processor that is asked about each request."""

    backend_refs: tuple[LocalReference, ...]
    fail_open: Literal[False] = False
    message_timeout: str
    status_on_error: int
    processing_mode: ProcessingMode
    metadata: ExtProcMetadata
    backend_settings: BackendSettings


class EnvoyExtensionPolicySpec(KubeModel):
    """Processors of a Gateway, in order."""

    target_refs: tuple[LocalReference, ...]
    ext_proc: tuple[ExtProc, ...]


class EnvoyExtensionPolicy(KubeObject):
    """Processors of a Gateway."""

    api_version: _Version = _VERSION
    kind: Literal["EnvoyExtensionPolicy"] = "EnvoyExtensionPolicy"
    spec: EnvoyExtensionPolicySpec


class TcpTimeout(KubeModel):
    """Bounds on connecting, as durations of Gateway API."""

    connect_timeout: str


class HttpTimeout(KubeModel):
    """Bounds on a request, as durations of Gateway API; `0s` sets none."""

    request_timeout: str
    stream_idle_timeout: str


class Timeout(KubeModel):
    """Bounds on what backends take."""

    tcp: TcpTimeout
    http: HttpTimeout


class BackendTrafficPolicySpec(KubeModel):
    """How backends of some routes are spoken to."""

    target_refs: tuple[LocalReference, ...]
    circuit_breaker: CircuitBreaker
    timeout: Timeout
    retry: Retry


class BackendTrafficPolicy(KubeObject):
    """How backends of some routes are spoken to."""

    api_version: _Version = _VERSION
    kind: Literal["BackendTrafficPolicy"] = "BackendTrafficPolicy"
    spec: BackendTrafficPolicySpec


class JsonPatchOperation(KubeModel):
    """One operation of RFC 6902 on what an expression of RFC 9535 finds; `path` goes on from there."""

    op: Literal["add", "remove"]
    json_path: str
    path: str | None = None
    value: Any = None


class JsonPatch(KubeModel):
    """An operation on one resource of Envoy's configuration."""

    type: Resource
    name: str
    operation: JsonPatchOperation


class EnvoyPatchPolicySpec(KubeModel):
    """Operations on what is delivered to a Gateway's Envoys."""

    target_ref: LocalReference
    type: Literal["JSONPatch"] = "JSONPatch"
    json_patches: tuple[JsonPatch, ...]


class EnvoyPatchPolicy(KubeObject):
    """Operations on what is delivered to a Gateway's Envoys."""

    api_version: _Version = _VERSION
    kind: Literal["EnvoyPatchPolicy"] = "EnvoyPatchPolicy"
    spec: EnvoyPatchPolicySpec


class DeploymentPod(KubeModel):
    """What is added to Envoy's pods; volumes as Kubernetes has them."""

    volumes: tuple[dict[str, Any], ...]


class DeploymentContainer(KubeModel):
    """What is added to Envoy's container."""

    volume_mounts: tuple[dict[str, Any], ...]


class EnvoyDeployment(KubeModel):
    """What is added to the Deployment that Envoy Gateway makes; containers as Kubernetes has them."""

    pod: DeploymentPod
    container: DeploymentContainer
    init_containers: tuple[dict[str, Any], ...]


class KubernetesProvider(KubeModel):
    """How Envoy is run on Kubernetes."""

    envoy_deployment: EnvoyDeployment


class Provider(KubeModel):
    """How Envoy is run."""

    type: Literal["Kubernetes"] = "Kubernetes"
    kubernetes: KubernetesProvider


class JsonFormat(KubeModel):
    """A JSON object a request, of Envoy's format strings."""

    type: Literal["JSON"] = "JSON"
    json_: Annotated[dict[str, str], Field(alias="json")]


class FilePath(KubeModel):
    """A file in Envoy's container."""

    path: str


class FileSink(KubeModel):
    """Where lines are written."""

    type: Literal["File"] = "File"
    file: FilePath


class AccessLogSetting(KubeModel):
    """One access log."""

    format: JsonFormat
    sinks: tuple[FileSink, ...]


class AccessLog(KubeModel):
    """What is logged of requests, in place of Envoy Gateway's own."""

    settings: tuple[AccessLogSetting, ...]


class Telemetry(KubeModel):
    """What Envoy tells of requests."""

    access_log: AccessLog


class EnvoyProxySpec(KubeModel):
    """How a Gateway's Envoys are run."""

    provider: Provider
    telemetry: Telemetry


class EnvoyProxy(KubeObject):
    """How a Gateway's Envoys are run; a Gateway names it in `infrastructure.parametersRef`."""

    api_version: _Version = _VERSION
    kind: Literal["EnvoyProxy"] = "EnvoyProxy"
    spec: EnvoyProxySpec
