"""What a patch matches, by the doctor and by istiod: for each patch of a list the two say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.istio.gateway_node import LABELS
from borderpost.demo.istio.scenery import region_host
from borderpost.manifests.reading import parse_documents
from borderpost_envoy.plan import SERVER_CLUSTER
from borderpost_istio.doctor import examine_documents
from support.doctor_mesh_parts import EU, US, regions, served_host, to
from support.istio_lab import resource
from support.istio_patches import added, patch_of
from support.istio_wiring import OURS, RENDERINGS, meshed

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

MANAGER = "envoy.filters.network.http_connection_manager"
ROUTER = "envoy.filters.http.router"
SILENT = {"BPD050", "BPD052", "BPD053", "BPD056"}
"""Rules that say that a patch does nothing."""
PORT = -1
"""Stands for the port of the lab's Gateway."""


def on_routes(apply_to: str, operation: str = "MERGE", **match: Any) -> dict[str, Any]:
    return {"applyTo": apply_to, "operation": operation, "match": {"routeConfiguration": match} if match else {}}


def on_listeners(apply_to: str, operation: str = "MERGE", **match: Any) -> dict[str, Any]:
    return {"applyTo": apply_to, "operation": operation, "match": {"listener": match} if match else {}}


def chained(name: str, sub: str | None = None) -> dict[str, Any]:
    return {"filterChain": {"filter": {"name": name, **({"subFilter": {"name": sub}} if sub else {})}}}


ROUTE = {"name": "one"}
PATCHES = [
    on_routes("ROUTE_CONFIGURATION"),
    on_routes("ROUTE_CONFIGURATION", "ADD"),
    on_routes("ROUTE_CONFIGURATION", portNumber=PORT),
    on_routes("ROUTE_CONFIGURATION", portNumber=81),
    on_routes("ROUTE_CONFIGURATION", name="http.PORT"),
    on_routes("ROUTE_CONFIGURATION", name="https.PORT"),
    on_routes("ROUTE_CONFIGURATION", gateway="istio-ingress/ingress"),
    on_routes("ROUTE_CONFIGURATION", gateway="ingress"),
    on_routes("VIRTUAL_HOST"),
    on_routes("VIRTUAL_HOST", vhost={"name": "longer.example:PORT"}),
    on_routes("VIRTUAL_HOST", vhost={"name": "b.example:PORT"}),
    on_routes("VIRTUAL_HOST", vhost={"name": "longer.example"}),
    on_routes("VIRTUAL_HOST", vhost={"name": "longer.example:80"}),
    on_routes("VIRTUAL_HOST", vhost={"domainName": "b.example"}),
    on_routes("VIRTUAL_HOST", vhost={"domainName": "*.wild.example"}),
    on_routes("VIRTUAL_HOST", vhost={"domainName": "a.wild.example"}),
    on_routes("HTTP_ROUTE"),
    on_routes("HTTP_ROUTE", "REPLACE"),
    on_routes("HTTP_ROUTE", vhost={"route": ROUTE}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "on"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "two.match"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "two"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "after"}}),
    on_routes("HTTP_ROUTE", vhost={"name": "longer.example:PORT", "route": ROUTE}),
    on_routes("HTTP_ROUTE", vhost={"name": "*.wild.example:PORT", "route": ROUTE}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "moved", "action": "REDIRECT"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "moved", "action": "ROUTE"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"name": "told", "action": "DIRECT_RESPONSE"}}),
    on_routes("HTTP_ROUTE", vhost={"route": {"action": "ROUTE"}}),
    on_listeners("LISTENER"),
    on_listeners("LISTENER", portNumber=PORT),
    on_listeners("LISTENER", portNumber=81),
    on_listeners("LISTENER", name="0.0.0.0_PORT"),
    on_listeners("LISTENER", name="PORT"),
    on_listeners("HTTP_FILTER", "INSERT_BEFORE", **chained(MANAGER, ROUTER)),
    on_listeners("HTTP_FILTER", "INSERT_BEFORE", **chained(MANAGER, "envoy.filters.http.rooter")),
    on_listeners("HTTP_FILTER", "INSERT_BEFORE", **chained("envoy.http_connection_manager", ROUTER)),
    on_listeners("HTTP_FILTER", "INSERT_FIRST", **chained(MANAGER)),
    on_listeners("HTTP_FILTER", "INSERT_FIRST", portNumber=PORT, **chained(MANAGER)),
    on_listeners("HTTP_FILTER", "INSERT_FIRST", portNumber=81, **chained(MANAGER)),
    {"applyTo": "CLUSTER", "operation": "MERGE", "match": {"cluster": {"service": region_host(EU)}}},
    {"applyTo": "CLUSTER", "operation": "MERGE", "match": {"cluster": {"service": "nobody.example"}}},
    {"applyTo": "CLUSTER", "operation": "REPLACE", "match": {"cluster": {"service": region_host(EU)}}},
    {"applyTo": "HTTP_ROUTE", "operation": "MERGE", "match": {"context": "SIDECAR_OUTBOUND"}},
    {"applyTo": "HTTP_ROUTE", "operation": "MERGE", "match": {"context": "ANY"}},
    {"applyTo": "HTTP_ROUTE", "operation": "MERGE", "match": {"proxy": {"proxyVersion": r"^1\.27\..*"}}},
    {"applyTo": "HTTP_ROUTE", "operation": "MERGE", "match": {"proxy": {"proxyVersion": r"^1\.\d+\..*"}}},
]


def patch(number: int, port: int) -> dict[str, Any]:
    """Return one patch of the list; what it reaches has `mark-NUMBER` in it."""
    raw = json.dumps(PATCHES[number]).replace("PORT", str(port)).replace(str(PORT), str(port))
    one, mark = json.loads(raw), f"mark-{number}-"
    value: dict[str, Any] = {"metadata": {"filter_metadata": {mark: {"here": True}}}}
    if one["applyTo"] == "ROUTE_CONFIGURATION":
        value = {"response_headers_to_remove": [mark]}
    elif one["applyTo"] == "HTTP_FILTER":
        value = {
            "name": mark,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                "max_request_bytes": 1,
            },
        }
    match = {"context": "GATEWAY", **one["match"]}
    return {"applyTo": one["applyTo"], "match": match, "patch": {"operation": one["operation"], "value": value}}


def test_the_doctor_knows_what_patches_match(tmp_path: Path) -> None:
    with meshed(tmp_path, RENDERINGS[0]) as mesh:
        port = mesh.lab.port
        first = {"name": "one", "match": [{"uri": {"prefix": "/one"}}], "route": [to(EU)]}
        named = {"name": "two", "match": [{"uri": {"prefix": "/two"}, "name": "match"}], "route": [to(US)]}
        moved = {"name": "moved", "match": [{"uri": {"exact": "/m"}}], "redirect": {"uri": "/n"}}
        told = {"name": "told", "directResponse": {"status": 404}}
        hosts = [
            served_host(first, named, moved, told, {"name": "after", "route": [to(EU)]}, name="some", host="b.example"),
            served_host(first, name="wild", host="*.wild.example"),
        ]
        hosts[0]["spec"]["hosts"].append("longer.example")
        cluster = added({"name": SERVER_CLUSTER, "type": "STATIC", "load_assignment": {"cluster_name": SERVER_CLUSTER}})
        server = {"port": {"number": port, "name": "http-ingress", "protocol": "HTTP"}, "hosts": ["*"]}
        gateway = resource("Gateway", "ingress", {"selector": dict(LABELS), "servers": [server]})
        around = [*regions(mesh), *hosts]
        patches = [patch(number, port) for number in range(len(PATCHES))]
        mesh.lab.put(OURS, [*around, patch_of("borderpost", cluster, *patches)])
        assert mesh.lab.nacks() == []
        delivered = mesh.lab.delivered()
        text = json.dumps([*delivered.listeners.values(), *delivered.routes.values(), *delivered.clusters.values()])
        wrong = []
        for number, one in enumerate(patches):
            raw = yaml.safe_dump_all([gateway, *around, patch_of("borderpost", cluster, one)]).encode()
            said = {finding.rule.id for finding in examine_documents(parse_documents(raw, OURS))}
            if (f"mark-{number}-" in text) == bool(said & SILENT):
                wrong.append((PATCHES[number], sorted(said)))
        assert wrong == []
