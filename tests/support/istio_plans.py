"""Plans of Istio gateways for unit tests: three regions, and whatever a test sets."""

from __future__ import annotations

from typing import Any

from borderpost.config.istio import subset_name
from borderpost.config.istio_regions import IstioRegion
from borderpost.config.rate_limit import RateLimitSpec
from borderpost_envoy import BodyPlan, UnixSocket, UpstreamTls
from borderpost_istio import IstioPlan, MeshRegion

REGIONS: dict[str, dict[str, Any]] = {
    "eu-1": {"host": "eu-1.example.com", "endpoints": ["192.0.2.1"]},
    "eu-2": {"host": "eu-2.example.com", "endpoints": ["192.0.2.2:8443", "192.0.2.3:8443"]},
    "us-1": {"host": "us-1.example.com", "networks": ["198.51.100.0/24"]},
}
BODIES = BodyPlan(262_144)
RATE_LIMIT = RateLimitSpec.model_validate(
    {
        "domain": "inference",
        "socket": "/run/ratelimit/grpc.sock",
        "when_unreachable": "refuse",
        "descriptors": [
            {"keys": [{"key": "tenant", "claim": "tenant"}], "charge": "usage.total_tokens"},
            {"keys": [{"key": "id", "header": "x-api-key-id"}]},
        ],
    }
)
TLS = UpstreamTls("borderpost.example.com", "/etc/ca.pem", "/etc/tls.crt", "/etc/tls.key")


def region(name: str, **spec: Any) -> MeshRegion:
    """Return a region; its cluster is named as istiod names it."""
    checked = IstioRegion.model_validate(spec)
    subset = subset_name(name) if checked.labels is not None else ""
    return MeshRegion(name, f"outbound|{checked.port}|{subset}|{checked.host}", checked, subset)


def plan(**settings: Any) -> IstioPlan:
    """Return a plan, with these settings in place of its own."""
    return IstioPlan(
        **{
            "servers": (UnixSocket("/run/borderpost/sockets/worker-0.sock"),),
            "regions": tuple(region(name, **spec) for name, spec in REGIONS.items()),
            "headers_read": ("x-request-id",),
            "hosts": ("inference.example.com",),
            "version": "1.29",
            "namespace": "istio-ingress",
            "workload": {"istio": "ai-gateway"},
            "gateways": ("ai-gateway",),
            "server_tls": TLS,
            **settings,
        }
    )
