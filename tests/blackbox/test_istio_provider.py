"""Why the ext_authz door is put in by an EnvoyFilter: Istio's extension provider is asked, and leads nowhere.

What the guide says a provider cannot say is held here where it shows: the route is not chosen again, nor is its name
told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE
from borderpost.demo.istio.scenery import resource
from borderpost_envoy import RouteStyle, UnixSocket, Via
from borderpost_istio import render_objects
from borderpost_istio.kinds import as_data
from support.istio_lab import istio_lab
from support.istio_plans import plan, region
from support.stub_processor import StubProcessor, allow_to
from support.upstreams import RegionServers

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

HOST = "inference.example.com"
SERVICE = "borderpost.internal"


def without_our_filters(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects as they are but for the filters, which the provider stands in for."""
    for each in objects:
        if each["kind"] == "EnvoyFilter":
            patches = each["spec"]["configPatches"]
            each["spec"]["configPatches"] = [patch for patch in patches if patch["applyTo"] != "HTTP_FILTER"]
    return objects


def asked_by_provider(socket: Path) -> list[dict[str, Any]]:
    """Return the service that the provider names, and the policy that has everything asked of it."""
    service = {
        "hosts": [SERVICE],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 9443, "name": "grpc", "protocol": "GRPC"}],
        "endpoints": [{"address": f"unix://{socket}"}],
    }
    policy = {
        "selector": {"matchLabels": dict(LABELS)},
        "action": "CUSTOM",
        "provider": {"name": "borderpost"},
        "rules": [{}],
    }
    return [
        resource("ServiceEntry", "borderpost-service", service),
        resource("AuthorizationPolicy", "borderpost-asked", policy, api="security.istio.io/v1"),
    ]


@pytest.mark.parametrize("style", RouteStyle)
def test_with_an_extension_provider_no_answer_leads_anywhere(tmp_path: Path, style: RouteStyle) -> None:
    provider = {"service": SERVICE, "port": 9443, "timeout": "3s", "statusOnError": "503"}
    mesh = {"extensionProviders": [{"name": "borderpost", "envoyExtAuthzGrpc": provider}]}
    socket = tmp_path / "stub.sock"
    with RegionServers(["eu-1"]) as servers, istio_lab(tmp_path, mesh=mesh) as lab:
        inside = region(
            "eu-1", host="eu-1.example.com", endpoints=[f"127.0.0.1:{servers.ports['eu-1']}"], tls={"mode": "off"}
        )
        made = plan(
            servers=(UnixSocket(str(socket)),), server_tls=None, regions=(inside,), hosts=("*",), via=Via.EXT_AUTHZ,
            route_style=style, namespace=NAMESPACE, workload=dict(LABELS), gateways=("ingress",),
            message_timeout_ms=3000,
        )  # fmt: skip
        objects = [as_data(each) for each in render_objects(made)]
        with StubProcessor(socket, lambda _request: allow_to(inside.cluster)) as stub:
            lab.put("ours.yaml", objects)
            assert lab.send(headers=[("host", HOST)]).status == 200
            stub.requests.clear()
            lab.put("ours.yaml", [*without_our_filters(objects), *asked_by_provider(socket)])
            assert lab.nacks() == []
            assert lab.send(headers=[("host", HOST)]).status == 503
            (request,) = stub.requests
            assert not request.attributes.route_metadata_context.filter_metadata
            assert servers.counts["eu-1"] == 1
