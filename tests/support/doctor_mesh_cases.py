"""Gateways as people wire them by hand for istiod, each with one fault of the doctor's rules, and mended.

`Case.resources(mesh, bad=True)` is what is applied, `Case.leaks` says whether a request then goes where it should not.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import yaml

from borderpost.demo.istio.gateway_node import LABELS
from borderpost.demo.istio.scenery import HOST
from borderpost.manifests.reading import parse_documents
from borderpost_base.names import CLUSTER_HEADER, EXT_PROC_FILTER
from borderpost_istio.doctor import Setting, examine_documents
from support.client import Header
from support.doctor_mesh_parts import (
    EU,
    US,
    Made,
    beside,
    beside_judged,
    by_the_header,
    charging,
    decided,
    delegated,
    followed,
    judged,
    limiter,
    lua,
    matched,
    mistyped_strip,
    mixed,
    on_route,
    per_route,
    put_together,
    redirected,
    retried,
    second,
    second_socket,
    selected,
    served_host,
    strip,
    to,
    tunnel,
    unmatched,
    with_strip,
    wrong_listener,
)
from support.doctor_probes import eventually
from support.istio_lab import resource
from support.istio_patches import at_filter, patch_of, region_cluster, service_entry
from support.istio_wiring import MeshWiring
from support.stub_processor import OVER_LIMIT, WITHIN_LIMIT, EndCleanly, StubProcessor, route_to
from support.upstreams import Behaviour

TO_HOST: list[Header] = [("host", HOST)]
SPOOF: list[Header] = [*TO_HOST, (CLUSTER_HEADER, region_cluster(US))]

_USED = "%DYNAMIC_METADATA(usage:total_tokens)%"
_KNOWN = Setting(clusters={region_cluster(region): region for region in (EU, US)})


@dataclass(frozen=True)
class Case:
    """One fault."""

    rules: tuple[str, ...]
    """What the doctor shall say of it."""
    resources: Callable[[MeshWiring, bool], Made]
    """What is applied: with True the failing example, with False its mended twin."""
    leaks: Callable[[MeshWiring], bool]


def told(mesh: MeshWiring, resources: Made) -> set[str]:
    """Return the rules that the doctor names for these resources, the operator's Gateway and the configuration."""
    server = {"port": {"number": mesh.lab.port, "name": "http-ingress", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = resource("Gateway", "ingress", {"selector": dict(LABELS), "servers": [server]})
    text = yaml.safe_dump_all([gateway, *resources], sort_keys=False)
    return {finding.rule.id for finding in examine_documents(parse_documents(text.encode(), "mesh.yaml"), _KNOWN)}


# Whether it leaks


def goes_elsewhere(mesh: MeshWiring) -> bool:
    """Say whether a request that was decided for Europe reaches America."""
    mesh.go(EU)
    for _ in range(12):
        mesh.send(TO_HOST)
    return mesh.served.get(US, 0) > 0


def is_copied(mesh: MeshWiring) -> bool:
    """Say the same of copies, which are sent beside the request."""
    mesh.go(EU)
    mesh.send(TO_HOST)
    mesh.lab.settle()
    return mesh.served.get(US, 0) > 0


def goes_undecided(mesh: MeshWiring) -> bool:
    """Say whether a request is served that Borderpost ended without an answer."""
    mesh.answer(EndCleanly())
    mesh.send(SPOOF)
    return bool(mesh.served)


def goes_refused(mesh: MeshWiring) -> bool:
    """Say whether a request is served that Borderpost refuses."""
    mesh.answer(mesh.refuse(451))
    mesh.send(TO_HOST)
    return bool(mesh.served)


def goes_unasked(mesh: MeshWiring) -> bool:
    """Say whether a request is served while nobody can be asked."""
    mesh.stub.stop()
    try:
        mesh.send(TO_HOST)
    finally:
        mesh.stub.start()
    return bool(mesh.served)


def goes_unlimited(mesh: MeshWiring) -> bool:
    """Say whether a request is served while the limiter is away."""
    mesh.go(EU)
    mesh.send(TO_HOST)
    return bool(mesh.served)


def is_charged(mesh: MeshWiring) -> bool:
    """Say whether a request that a limit refuses is charged at its end."""
    mesh.go(EU)
    mesh.stub.limits.clear()
    mesh.stub.limit_answer = OVER_LIMIT
    try:
        assert mesh.send(TO_HOST).status == 429
    finally:
        mesh.stub.limit_answer = WITHIN_LIMIT
    return eventually(lambda: len(mesh.stub.limits) > 1)


def follows_redirects(mesh: MeshWiring) -> bool:
    """Say whether the answer of one region has Envoy send the request to another."""
    mesh.go(EU)
    mesh.regions.behave(EU, Behaviour(status=302, headers=(("location", "http://shop.example/elsewhere"),)))
    mesh.send(TO_HOST)
    return mesh.served.get(US, 0) > 0


def leaves_on_failure(mesh: MeshWiring) -> bool:
    """Say whether a region that fails is replaced by another."""
    mesh.go(EU)
    mesh.regions.behave(EU, Behaviour(status=503))
    for _ in range(6):
        mesh.send(TO_HOST)
    return mesh.served.get(US, 0) > 0


def is_decided_twice(mesh: MeshWiring) -> bool:
    """Say whether another processor sends a request elsewhere than it was decided."""
    with StubProcessor(second_socket(mesh), lambda _request: route_to(region_cluster(US), clear=True)):
        return goes_elsewhere(mesh)


def _answer(reply: BinaryIO) -> bytes:
    """Read one answer with its body; return its status line."""
    status, length = reply.readline(), 0
    while header := reply.readline().strip().lower():
        if header.startswith(b"content-length:"):
            length = int(header.partition(b":")[2])
    reply.read(length)
    return status


def is_tunnelled(mesh: MeshWiring) -> bool:
    """Say whether more requests are served than Borderpost was asked about."""
    mesh.go(EU)
    with (
        socket.create_connection(("127.0.0.1", mesh.lab.port), timeout=10) as connection,
        connection.makefile("rb") as reply,
    ):
        connection.sendall(f"CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}:80\r\n\r\n".encode())
        if b" 200 " not in _answer(reply):
            return False
        for _ in range(2):
            connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            _answer(reply)
    return sum(mesh.served.values()) > len(mesh.stub.requests)


_LAST_YEAR: dict[str, Any] = {"proxy": {"proxyVersion": r"^1\.27\..*"}}
CASES: Mapping[str, Case] = {
    "a route by another name": Case(
        ("BPD050",), unmatched(lambda bad: by_the_header("inferr" if bad else "infer")), goes_elsewhere
    ),
    "a virtual host by another name": Case(
        ("BPD050",),
        unmatched(lambda bad: by_the_header(vhost="inference:80") if bad else by_the_header()),
        goes_elsewhere,
    ),
    "a virtual host that is one with another": Case(("BPD050",), put_together, goes_elsewhere),
    "a listener by another port": Case(("BPD050",), with_strip(wrong_listener), goes_undecided),
    "an operation that does nothing": Case(
        ("BPD052",), unmatched(lambda bad: by_the_header(operation="REPLACE" if bad else "MERGE")), goes_elsewhere
    ),
    "a context of sidecars": Case(
        ("BPD053",),
        unmatched(lambda bad: by_the_header(**({"context": "SIDECAR_OUTBOUND"} if bad else {}))),
        goes_elsewhere,
    ),
    "a selector with a typo": Case(("BPD054",), selected, goes_elsewhere),
    "a proxy of last year": Case(
        ("BPD056",),
        unmatched(lambda bad: by_the_header(**(_LAST_YEAR if bad else {}))),
        goes_elsewhere,
    ),
    "a field with a typo": Case(
        ("BPD057",), with_strip(lambda bad: mistyped_strip() if bad else strip()), goes_undecided
    ),
    "failure lets pass": Case(("BPD059",), lambda mesh, bad: judged(mesh, failure_mode_allow=bad), goes_unasked),
    "failure lets pass on a route": Case(
        ("BPD059",), beside_judged(per_route(overrides={"failure_mode_allow": True})), goes_unasked
    ),
    "switched off on a route": Case(("BPD060",), beside_judged(per_route(disabled=True)), goes_refused),
    "skipped on a route": Case(
        ("BPD061",),
        beside_judged(per_route(overrides={"processing_mode": {"request_header_mode": "SKIP"}})),
        goes_refused,
    ),
    "another processor": Case(
        ("BPD062", "BPD058"), lambda mesh, bad: followed(mesh, *([second(mesh)] if bad else [])), is_decided_twice
    ),
    "tunnels": Case(("BPD068",), beside(tunnel()), is_tunnelled),
    "routes of others by delegation": Case(("BPD074",), delegated, goes_undecided),
    "taken out": Case(
        ("BPD063",), beside_judged(patch_of("zz-remove", at_filter(EXT_PROC_FILTER, "REMOVE", {}))), goes_refused
    ),
    "the header set by a script": Case(
        ("BPD064", "BPD058"),
        beside(lua(f'handle:headers():replace("{CLUSTER_HEADER}", "{region_cluster(US)}") handle:clearRouteCache()')),
        goes_elsewhere,
    ),
    "another destination": Case(
        ("BPD065", "BPD058"), beside(on_route({"route": {"cluster": region_cluster(US)}})), goes_elsewhere
    ),
    "a mirror in a patch": Case(
        ("BPD066",),
        beside(on_route({"route": {"request_mirror_policies": [{"cluster": region_cluster(US)}]}})),
        is_copied,
    ),
    "a mirror in a VirtualService": Case(
        ("BPD066",),
        lambda mesh, bad: matched(mesh, decided(EU, **({"mirror": to(US)["destination"]} if bad else {})), decided(US)),
        is_copied,
    ),
    "redirects are followed": Case(("BPD067",), redirected, follows_redirects),
    "a limit that fails open": Case(
        ("BPD069",), lambda mesh, bad: followed(mesh, *limiter(failure_mode_deny=not bad)), goes_unlimited
    ),
    "a charge that refused requests pay": Case(
        ("BPD100",),
        lambda mesh, bad: followed(mesh, *charging({} if bad else {"hits_addend": {"format": _USED}})),
        is_charged,
    ),
    "another team's route for the host": Case(
        ("BPD070", "BPD071"),
        lambda mesh, bad: matched(
            mesh,
            decided(EU),
            others=[served_host({"name": "all", "route": [to(EU)]}, name="all", host=HOST)] if bad else [],
        ),
        goes_undecided,
    ),
    "a route for the rest": Case(
        ("BPD071",),
        lambda mesh, bad: matched(mesh, decided(EU), *([{"name": "rest", "route": [to(EU)]}] if bad else [])),
        goes_undecided,
    ),
    "retries in remote localities": Case(("BPD072",), retried, leaves_on_failure),
    "outliers without a word on localities": Case(
        ("BPD075", "BPD077"), lambda mesh, bad: mixed(mesh, bad=bad), leaves_on_failure
    ),
    "failover by priority": Case(
        ("BPD076", "BPD077"),
        lambda mesh, bad: mixed(mesh, bad=bad, failoverPriority=["topology.kubernetes.io/region"]),
        leaves_on_failure,
    ),
    "another team's endpoints": Case(
        ("BPD077",),
        lambda mesh, bad: followed(mesh, *([service_entry(EU, mesh.regions.ports[US], name="spare")] if bad else [])),
        goes_elsewhere,
    ),
    "weights": Case(
        ("BPD078",),
        lambda mesh, bad: matched(
            mesh, decided(EU, **({"route": [to(EU, weight=50), to(US, weight=50)]} if bad else {})), decided(US)
        ),
        goes_elsewhere,
    ),
}
"""Each fault by what people would call it."""
