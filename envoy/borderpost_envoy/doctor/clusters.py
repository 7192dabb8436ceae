"""Reads clusters: their kind, their endpoints with priority and locality, the members of aggregates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Cluster, Endpoint

_KINDS = ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")
_AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_COMPOSITE = "envoy.extensions.clusters.composite.v3.ClusterConfig"


def read_cluster(message: Message, assignments: Mapping[str, Message], *, warming: bool) -> Cluster:
    """Read one cluster; `assignments` are the endpoints that were discovered, by cluster or service name."""
    name = message.text("name") or ""
    extension, config = message.get("cluster_type").typed("typed_config")
    kind = extension or message.get("cluster_type").text("name") or message.choice("type", _KINDS)
    found = list(_endpoints(message.get("load_assignment")))
    discovered = assignments.get(message.get("eds_cluster_config").text("service_name") or name)
    if discovered is not None:
        found += _endpoints(discovered)
    members = config.texts("clusters") if extension == _AGGREGATE else ()
    if extension == _COMPOSITE:
        members = tuple(one.text("name") or "" for one in config.each("clusters"))
    return Cluster(name, message, kind, tuple(found), members, kind == "EDS" and discovered is None, warming)


def _endpoints(assignment: Message) -> Iterator[Endpoint]:
    for locality in assignment.each("endpoints"):
        priority = int(locality.number("priority") or 0)
        region = locality.get("locality").text("region") or ""
        nested = locality.get("load_balancer_endpoints")
        for one in (*locality.each("lb_endpoints"), *nested.each("lb_endpoints")):
            endpoint = one.get("endpoint")
            for address in (endpoint.get("address"), *(more.get("address") for more in _more(endpoint))):
                if address.present:
                    yield _endpoint(address, priority, region)


def _more(endpoint: Message) -> Iterator[Message]:
    yield from endpoint.each("additional_addresses")


def _endpoint(address: Message, priority: int, region: str) -> Endpoint:
    pipe = address.get("pipe").text("path")
    if pipe is not None:
        return Endpoint(pipe, pipe, True, priority, region, address)
    internal = address.get("envoy_internal_address").text("server_listener_name")
    if internal is not None:
        return Endpoint(internal, internal, True, priority, region, address)
    socket = address.get("socket_address")
    host, port = socket.text("address") or "", socket.text("port_value") or socket.text("named_port") or ""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Endpoint(shown, host, False, priority, region, address)
