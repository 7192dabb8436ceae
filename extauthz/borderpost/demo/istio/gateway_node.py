"""What Envoy is told at its start so that istiod takes it for the pod of an ingress gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMESPACE = "istio-ingress"
LABELS: Mapping[str, str] = {"istio": "ingressgateway"}
_ADDRESS = "10.77.0.1"
"""The pod's address as istiod knows it; nothing listens there. It must not be that of any endpoint: istiod would
take the gateway for that endpoint and give it no listener."""

_LOCALITY = "eu-central-1"
"""Where the pod runs: istiod orders endpoints by how near theirs is, if somebody asks for that."""


def gateway_bootstrap(
    control_plane_port: int, *, version: str, namespace: str = NAMESPACE, labels: Mapping[str, str] = LABELS
) -> dict[str, Any]:
    """Return a bootstrap without listeners or clusters of its own but the way to istiod on loopback."""
    from_istiod = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {
            "id": f"router~{_ADDRESS}~gateway.{namespace}~{namespace}.svc.cluster.local",
            "cluster": f"gateway.{namespace}",
            "locality": {"region": _LOCALITY},
            "metadata": {
                "NAMESPACE": namespace,
                "ISTIO_VERSION": version,
                "CLUSTER_ID": "Kubernetes",
                "LABELS": dict(labels),
                "INSTANCE_IPS": _ADDRESS,
                "NAME": "gateway",
                "MESH_ID": "cluster.local",
            },
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "lds_config": from_istiod,
            "cds_config": from_istiod,
        },
        "static_resources": {"clusters": [_control_plane(control_plane_port)]},
    }


def _control_plane(port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
