"""Golden renderings for Envoy Gateway: what `borderpost render envoy-gateway` writes for a plan of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from borderpost_envoy import FailoverCluster, HostPort, RegionCluster, RoutePlan, UnixSocket, UpstreamTls
from borderpost_istio.envoy_gateway import EnvoyGatewayPlan, ServerTrust, Sidecar, render_objects, to_yaml

FOLDER = Path("istio/envoy-gateway/rendered")

_COMMON: dict[str, Any] = {
    "namespace": "ai",
    "gateway": "ai",
    "listeners": ("http",),
    "headers_read": ("x-request-id", "x-data-class", "x-data-residency"),
    "trusted_hops": 1,
}
PLANS: dict[str, EnvoyGatewayPlan] = {
    # Recorded as Envoy Gateway translates it; the tests put other addresses in.
    "sidecar": EnvoyGatewayPlan(
        **_COMMON,
        servers=(UnixSocket("/run/borderpost/worker-0.sock"),),
        regions=tuple(
            RegionCluster(region, region, (HostPort(f"192.0.2.{number}", 8000),))
            for number, region in enumerate(("eu-1", "us-1", "ae-1"), 1)
        ),
        failover=(FailoverCluster("pair", ("eu-1", "us-1")),),
        sidecar=Sidecar(
            image="registry.example/borderpost:1",
            config_map="borderpost-config",
            log="example/gateway",
            evidence_claim="evidence",
            evidence_directory="/var/lib/borderpost",
            socket_directory="/run/borderpost",
            state_directory="/run/borderpost-state",
        ),
    ),
    "network": EnvoyGatewayPlan(
        **{**_COMMON, "listeners": ("http", "https")},
        servers=(HostPort("borderpost.ai.svc.cluster.local", 9443), HostPort("borderpost.ai.svc.cluster.local", 9444)),
        trust=ServerTrust("borderpost.ai.svc.cluster.local", "borderpost-ca", "gateway-client"),
        hosts=("inference.example.com", "inference.example.org"),
        routes=(RoutePlan("chat", "/v1/chat"), RoutePlan("embeddings", "/v1/embeddings")),
        client_certificates=True,
        regions=(
            RegionCluster(
                "eu-central-1",
                "eu-central-1",
                (HostPort("inference.eu-central-1.example.com", 443),),
                UpstreamTls("inference.eu-central-1.example.com"),
            ),
            RegionCluster("us_east", "outbound|443||us", (HostPort("2001:db8::1", 8000), HostPort("192.0.2.9", 8000))),
        ),
    ),
}
"""Each golden file's name, without its ending, and the plan that it renders."""


def generate(_root: Path) -> dict[Path, bytes]:
    """Return every golden file by its path below the repository's root."""
    return {FOLDER / f"{name}.yaml": to_yaml(render_objects(plan)).encode() for name, plan in PLANS.items()}
