"""Whether what an EnvoyFilter says is what Envoy has: field by field, patch by patch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from support.istio_lab import Delivered

_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]+)?s\Z")
_MANAGER = "envoy.filters.network.http_connection_manager"


def not_delivered(filters: Sequence[Mapping[str, Any]], delivered: Delivered, port: int) -> list[str]:
    """Return one line for each thing that the EnvoyFilters, in their order, say and Envoy lacks or has otherwise."""
    found = []
    first: list[Mapping[str, Any]] = []
    for resource in filters:
        for number, patch in enumerate(resource["spec"]["configPatches"]):
            where = f"{resource['metadata']['name']}[{number}] {patch['applyTo']}"
            if (patch["applyTo"], patch["patch"]["operation"]) == ("HTTP_ROUTE", "INSERT_FIRST"):
                first.insert(0, patch)
            else:
                found += [f"{where}{line}" for line in _judge(patch, delivered, port)]
    return found + list(_judge_routes(first, delivered, port))


def _judge(patch: Mapping[str, Any], delivered: Delivered, port: int) -> Iterator[str]:
    value = patch["patch"]["value"]
    targets = list(_targets(patch, delivered, port))
    if not targets:
        yield ": there is nothing that it is about"
    exact = patch["patch"]["operation"] in ("ADD", "INSERT_BEFORE", "INSERT_FIRST", "INSERT_AFTER", "REPLACE")
    for target in targets:
        yield from differences(value, target, exact=exact)


def _judge_routes(first: Sequence[Mapping[str, Any]], delivered: Delivered, port: int) -> Iterator[str]:
    """Hold the routes at the front of each virtual host that they are for against what was put there."""
    if not first:
        return
    marker = first[0]["match"].get("routeConfiguration", {}).get("vhost", {}).get("route", {}).get("name")
    hosts = [
        host
        for host in delivered.routes.get(f"http.{port}", {"virtual_hosts": []})["virtual_hosts"]
        if marker is None or marker in [route.get("name") for route in host.get("routes", ())]
    ]
    if not hosts:
        yield "HTTP_ROUTE: there is no virtual host that the routes are for"
    for host in hosts:
        for number, patch in enumerate(first):
            has = host["routes"][number] if number < len(host["routes"]) else {}
            found = differences(patch["patch"]["value"], has, exact=True)
            yield from (f"HTTP_ROUTE {number} of {host['name']}{line}" for line in found)


def _targets(patch: Mapping[str, Any], delivered: Delivered, port: int) -> Iterator[Mapping[str, Any]]:
    """Yield what Envoy has in the places that a patch is about."""
    value, match = patch["patch"]["value"], patch.get("match", {})
    kind = patch["applyTo"]
    if kind == "CLUSTER":
        name = match.get("cluster", {}).get("name") or value["name"]
        found = (one for one in delivered.clusters.values() if one["name"] == name)
        yield from ({key: one[key] for key in one if key != "@type"} for one in found)  # as the dump holds it
    elif kind == "NETWORK_FILTER":
        yield {"name": _MANAGER, "typed_config": delivered.manager(port)}
    elif kind == "HTTP_FILTER":
        yield from (one for one in delivered.manager(port)["http_filters"] if one["name"] == value["name"])
    elif kind == "ROUTE_CONFIGURATION":
        yield delivered.routes[f"http.{port}"]
    elif kind == "VIRTUAL_HOST":
        wanted = match.get("routeConfiguration", {}).get("vhost", {})
        for host in delivered.routes[f"http.{port}"]["virtual_hosts"]:
            named = wanted.get("name") or value.get("name")
            if named in (None, host["name"]) and wanted.get("domainName", host["domains"][0]) in host["domains"]:
                yield host
    else:
        raise AssertionError(f"no test knows {kind}")


def differences(said: Any, has: Any, *, exact: bool, path: str = "") -> Iterator[str]:
    """Yield a line for each field that is otherwise; not `exact` lets the other have more, as after a merge."""
    if isinstance(said, Mapping) and isinstance(has, Mapping):
        for key in said:
            if key not in has and said[key] not in (False, 0, "", [], {}, "0s"):  # what the wire has no bytes for
                yield f"{path}.{key}: said {said[key]!r}, missing"
            elif key in has:
                yield from differences(said[key], has[key], exact=exact, path=f"{path}.{key}")
        if exact:
            yield from (f"{path}.{key}: has {has[key]!r}, not said" for key in has if key not in said)
    elif isinstance(said, list) and isinstance(has, list):
        yield from _list_differences(said, has, exact, path)
    elif _plain(said) != _plain(has):
        yield f"{path}: said {said!r}, has {has!r}"


def _list_differences(said: list[Any], has: list[Any], exact: bool, path: str) -> Iterator[str]:
    if exact and len(said) != len(has):
        yield f"{path}: said {len(said)} items, has {len(has)}"
        return
    rest = iter(has)
    for number, item in enumerate(said):  # in this order, others may stand between
        if exact:
            yield from differences(item, next(rest), exact=True, path=f"{path}[{number}]")
        elif not any(not list(differences(item, other, exact=False)) for other in rest):
            yield f"{path}[{number}]: said {item!r}, which is not there in its order"


def _plain(value: Any) -> Any:
    """Return a form in which two spellings of a value are equal: durations, and numbers of 64 bits, which are text."""
    if isinstance(value, str) and _SECONDS.match(value):
        return ("s", float(value[:-1]))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value
