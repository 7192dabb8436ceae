"""The real Envoy's rate-limit filter before a service of ours: one listener an engine, and an upstream that answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from borderpost.demo.children import free_port
from borderpost_proto.rate_limit_pb2 import RateLimitRequest
from borderpost_ratelimit.service import RateLimitService
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import Call
from support.client import Header, Reply, send
from support.envoy_process import EnvoyProcess
from support.wire_server import EngineThread

ENGINES = ("wire", "grpcio")
FILTER = "envoy.filters.http.ratelimit"
_TYPES = "type.googleapis.com/envoy.extensions"
_ROUTER = {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}


class SpiedService:
    """Hands everything on to a service, and keeps what Envoy asked."""

    def __init__(self, service: RateLimitService) -> None:
        self.service = service
        self.methods = service.methods
        self.asked: list[RateLimitRequest] = []

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        self.asked += [RateLimitRequest.FromString(message) for _, message in batch]
        self.service.messages(batch)

    def gone(self, call: Call) -> None:
        self.service.gone(call)


def per_route(limits: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a route's own configuration of the filter."""
    kind = f"{_TYPES}.filters.http.ratelimit.v3.RateLimitPerRoute"
    return {FILTER: {"@type": kind, "rate_limits": limits, **more}}


def route(prefix: str, limits: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a route whose responses tell the filter's dynamic metadata in `x-metadata`."""
    told = {"key": "x-metadata", "value": f"%DYNAMIC_METADATA({FILTER})%"}
    return {
        "match": {"prefix": prefix},
        "route": {"cluster": "upstream"},
        "response_headers_to_add": [{"header": told}],
        "typed_per_filter_config": per_route(limits, **more),
    }


def _manager(name: str, port: int, routes: list[dict[str, Any]], filters: list[dict[str, Any]]) -> dict[str, Any]:
    config = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, _ROUTER],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": config}]}]}


def _cluster(name: str, address: dict[str, Any], *, http2: bool) -> dict[str, Any]:
    protocol: dict[str, Any] = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    kind = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": kind, "explicit_http_config": protocol}
        },
    }


def _filter(cluster: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    service = {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": cluster}}}
    config = {
        "@type": f"{_TYPES}.filters.http.ratelimit.v3.RateLimit", "domain": "shop", "failure_mode_deny": True,
        "timeout": "5s", "rate_limit_service": service, **settings,
    }  # fmt: skip
    return {"name": FILTER, "typed_config": config}


class LimitedEnvoy:
    """An Envoy, and what it asked of each engine's service."""

    def __init__(
        self,
        envoy: EnvoyProcess,
        ports: dict[str, int],
        spies: dict[str, SpiedService],
        threads: dict[str, EngineThread],
    ) -> None:
        self.envoy = envoy
        self.spies = spies
        self.threads = threads
        self._ports = ports

    def send(self, engine: str, path: str, headers: list[Header] | None = None) -> Reply:
        """Send a request by one engine's listener."""
        return send(self._ports[engine], path=path, headers=headers or [])


@contextmanager
def limited_envoy(
    directory: Path, services: Mapping[str, RateLimitService], routes: list[dict[str, Any]],
    filters: list[dict[str, Any]], answer: dict[str, str], **settings: Any,
) -> Iterator[LimitedEnvoy]:  # fmt: skip
    """Run Envoy before a service an engine.

    `filters` stand before the rate-limit filter, `settings` are that filter's own, and `answer` are the headers of the
    upstream's responses.
    """
    upstream = free_port()
    ports = {engine: free_port() for engine in services}
    said = [{"header": {"key": name, "value": value}} for name, value in answer.items()]
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "served"}}}
    listeners = [_manager("upstream", upstream, [{**direct, "response_headers_to_add": said}], [])]
    clusters = [_cluster("upstream", {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}, http2=False)]
    with ExitStack() as stack:
        spies = {engine: SpiedService(service) for engine, service in services.items()}
        threads: dict[str, EngineThread] = {}
        for engine, spy in spies.items():
            socket = directory / f"{engine}.sock"
            threads[engine] = EngineThread(ServerOptions(listen=(UnixListen(socket),)), [spy], engine).start()
            stack.callback(threads[engine].close)
            clusters.append(_cluster(engine, {"pipe": {"path": str(socket)}}, http2=True))
            listeners.append(_manager(engine, ports[engine], routes, [*filters, _filter(engine, settings)]))
        admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        bootstrap = {"admin": admin, "static_resources": {"listeners": listeners, "clusters": clusters}}
        envoy = stack.enter_context(EnvoyProcess(bootstrap, directory))
        yield LimitedEnvoy(envoy, ports, spies, threads)
