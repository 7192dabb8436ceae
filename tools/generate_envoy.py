"""Golden renderings of Envoy's bootstrap: what `borderpost render envoy` writes for a plan of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from borderpost.config.rate_limit import RateLimitSpec
from borderpost_envoy import (
    BodyPlan,
    EnvoyPlan,
    FailoverCluster,
    HostPort,
    JwtProvider,
    ListenerTls,
    OwnRoute,
    RegionCluster,
    RoutePlan,
    RouteStyle,
    UnixSocket,
    UpstreamTls,
    Via,
    render_bootstrap,
    to_yaml,
)

FOLDER = Path("envoy/rendered")

_PLAIN: dict[str, Any] = {
    "listen": HostPort("0.0.0.0", 8080),
    "servers": (UnixSocket("/run/borderpost/worker-0.sock"),),
    "regions": (
        RegionCluster("eu-central-1", "eu-central-1", (HostPort("192.0.2.10", 8000), HostPort("192.0.2.11", 8000))),
        RegionCluster(
            "us-east-1",
            "us-east-1",
            (HostPort("inference.us-east-1.example.com", 443),),
            UpstreamTls("inference.us-east-1.example.com"),
        ),
    ),
    "headers_read": ("x-request-id", "x-data-class", "x-data-residency", "x-tenant", "x-model"),
    "trusted_hops": 1,
}
_FULL: dict[str, Any] = {
    **_PLAIN,
    "servers": (UnixSocket("/run/borderpost/worker-0.sock"), UnixSocket("/run/borderpost/worker-1.sock")),
    "routes": (
        RoutePlan("chat", prefix="/v1/chat/"),
        RoutePlan("embeddings", prefix="/v1/embeddings", timeout_ms=60_000, idle_timeout_ms=60_000, connect_retries=2),
    ),
    "hosts": ("inference.example.com",),
    "tls": ListenerTls("/etc/envoy/tls.crt", "/etc/envoy/tls.key", "/etc/envoy/clients.pem"),
    "jwt_providers": (JwtProvider("issuer", "https://id.example.com/", "/etc/envoy/jwks.json", ("inference",)),),
    "access_log": "/dev/stdout",
}
_BODIES: dict[str, Any] = {
    **_PLAIN,
    "headers_read": (*_PLAIN["headers_read"], "content-type", "content-encoding", "content-digest"),
    "routes": (RoutePlan("files", prefix="/v1/files/"), RoutePlan("chat")),
    "bodies": BodyPlan(262_144, ("chat",)),
}
_OBSERVED: dict[str, Any] = {
    **_PLAIN,
    "routes": (RoutePlan("rest"),),
    "observed": (
        OwnRoute("chat", "/v1/chat/", "us-east-1", tls=UpstreamTls("inference.us-east-1.example.com")),
        OwnRoute("files", "/v1/files/", "own-files", (HostPort("192.0.2.99", 8000),)),
    ),
}
_LIMITS: dict[str, Any] = {
    **_PLAIN,
    "rate_limit": RateLimitSpec.model_validate(
        {
            "domain": "inference",
            "socket": "/run/borderpost/limiter.sock",
            "service": "borderpost",
            "when_unreachable": "refuse",
            "descriptors": [
                {"keys": [{"key": "tenant", "fact": "tenant"}, {"key": "region", "fact": "region"}]},
                {"keys": [{"key": "tokens", "fact": "tenant"}], "charge": "usage.total_tokens"},
                {"keys": [{"key": "open", "fact": "tenant"}], "release": True},
            ],
        }
    ),
}
PLANS: dict[str, EnvoyPlan] = {
    "ext_proc": EnvoyPlan(**_PLAIN),
    "ext_authz": EnvoyPlan(**_PLAIN, via=Via.EXT_AUTHZ),
    "ext_proc-cluster_header": EnvoyPlan(**_PLAIN, route_style=RouteStyle.CLUSTER_HEADER),
    "ext_proc-full": EnvoyPlan(**_FULL),
    "ext_authz-full": EnvoyPlan(**_FULL, via=Via.EXT_AUTHZ),
    "ext_proc-bodies": EnvoyPlan(**_BODIES),
    "ext_authz-bodies": EnvoyPlan(**_BODIES, via=Via.EXT_AUTHZ),
    "ext_proc-failover": EnvoyPlan(**_PLAIN, failover=(FailoverCluster("atlantic", ("eu-central-1", "us-east-1")),)),
    "ext_proc-limits": EnvoyPlan(**_LIMITS),
    "ext_authz-limits": EnvoyPlan(**_LIMITS, via=Via.EXT_AUTHZ),
    "ext_proc-observed": EnvoyPlan(**_OBSERVED),
    "ext_authz-observed": EnvoyPlan(**_OBSERVED, via=Via.EXT_AUTHZ),
    "ext_proc-tcp": EnvoyPlan(
        **{
            **_PLAIN,
            "servers": (HostPort("borderpost.internal.example", 9443),),
            "server_tls": UpstreamTls(
                "borderpost.internal.example", "/etc/envoy/ca.pem", "/etc/envoy/tls.crt", "/etc/envoy/tls.key"
            ),
        }
    ),
}
"""Each golden file's name, without its ending, and the plan that it renders."""


def generate(_root: Path) -> dict[Path, bytes]:
    """Return every golden file by its path below the repository's root."""
    return {FOLDER / f"{name}.yaml": to_yaml(render_bootstrap(plan)).encode() for name, plan in PLANS.items()}
