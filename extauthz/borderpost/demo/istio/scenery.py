"""What stands in the mesh before Borderpost comes: the operator's own Gateway, and where the regions are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE

GATEWAY = "ingress"
"""Name of the operator's Gateway, in the namespace of its pods."""
HOST = "inference.example"
"""The host that clients ask for."""
REGION_PORT = 80


def region_host(region: str) -> str:
    """Return the host of a region's servers, as the mesh knows it."""
    return f"{region}.{HOST}"


def istio_section(ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the section `istio` of the gateway's configuration, for regions on these ports of loopback."""
    return {
        "namespace": NAMESPACE,
        "workload": dict(LABELS),
        "gateways": [GATEWAY],
        "hosts": [HOST],
        "trusted_proxies": 1,
        "message_timeout_ms": 3000,  # a busy machine refuses nothing
        "regions": {
            region: {
                "host": region_host(region),
                "port": REGION_PORT,
                "endpoints": [f"127.0.0.1:{port}"],
                "tls": {"mode": "off"},
            }
            for region, port in ports.items()
        },
    }


def resource(
    kind: str, name: str, spec: Mapping[str, Any], *, api: str = "networking.istio.io/v1", namespace: str = NAMESPACE
) -> dict[str, Any]:
    """Return one resource of Istio's."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}


def gateway(port: int, *, name: str = GATEWAY) -> dict[str, Any]:
    """Return a Gateway that serves every host over HTTP on a port."""
    server = {"port": {"number": port, "name": f"http-{name}", "protocol": "HTTP"}, "hosts": ["*"]}
    return resource("Gateway", name, {"selector": dict(LABELS), "servers": [server]})
