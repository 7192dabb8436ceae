"""What a proxy runs with against what was rendered for it: each patch of ours is there, field by field, or it is told.

A config dump leaves out what has its default and writes durations, enums and 64-bit numbers in its own way, so values
are compared by meaning: everything that was rendered has to be there; what else is there is no matter of this
comparison (the rules on Envoy's configuration look at it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from borderpost.manifests.tree import Document, Node
from borderpost.reports.finding import Finding
from borderpost_base.errors import Place
from borderpost_base.yaml_source import KeyPath
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Configuration
from borderpost_istio.doctor.mesh import Mesh, Patch
from borderpost_istio.doctor.reading import field, finding
from borderpost_istio.doctor.rules.platform import NOT_LOADED

_DURATION: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)s")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DIFFERENCES_MAX = 5


def examine_loaded(mesh: Mesh, configuration: Configuration) -> Iterator[Finding]:
    """Yield what EnvoyFilters of ours say and a proxy does not run with."""
    for refused in configuration.refused:
        one = next((patch.owner for patch in mesh.patches if mesh.is_ours(patch)), None)
        if one is not None:
            detail = f"Envoy refused an update of {refused.what} and runs what it had: {refused.reason}"
            yield finding(NOT_LOADED, detail, one.node.get("metadata", "name"), one)
    for patch in mesh.patches:
        if mesh.is_ours(patch) and patch.operation != "REMOVE":
            yield from _one(patch, configuration)


def _one(patch: Patch, configuration: Configuration) -> Iterator[Finding]:
    candidates = list(_candidates(patch, configuration))
    if not candidates:
        detail = f"your EnvoyFilter matched nothing: no {_what(patch)} is loaded."
        yield finding(NOT_LOADED, detail, patch.node, patch.owner)
        return
    differing = [list(_differences(patch.value.value, found.node.value, ())) for found in candidates]
    if all(differing):
        fewest = min(differing, key=len)
        for path, rendered, loaded in fewest[:_DIFFERENCES_MAX]:
            node = Node(patch.value.document, (*patch.value.path, *path), None)
            key = ".".join(map(str, path)) or "it"
            detail = f"{_what(patch)}: `{key}` is {_shown(loaded)}, and was rendered as {_shown(rendered)}."
            yield finding(NOT_LOADED, detail, node, patch.owner)


def _what(patch: Patch) -> str:
    name = patch.value.get("name").text
    words = patch.apply_to.replace("_", " ").lower().replace("http", "HTTP")
    return f"{words} `{name}`" if name else words


def _candidates(patch: Patch, configuration: Configuration) -> Iterator[Message]:
    """Yield the loaded objects that a patch may have reached or brought."""
    name = patch.value.get("name").text
    managers = [chain.manager for one in configuration.listeners for chain in one.chains if chain.manager is not None]
    tables = [*{id(table): table for manager in managers for table in manager.tables}.values()]
    tables += configuration.stray_tables
    if patch.apply_to == "CLUSTER":
        wanted = name if patch.operation != "MERGE" else patch.match.get("cluster", "name").text
        yield from (one.message for one in configuration.clusters if wanted in (None, one.name))
    elif patch.apply_to == "HTTP_FILTER":
        sub = field(patch.match, "listener", "filter_chain", "filter", "sub_filter", "name").text
        wanted = name or sub
        yield from (one.message for manager in managers for one in manager.filters if one.name == wanted)
    elif patch.apply_to == "NETWORK_FILTER":
        for listener in configuration.listeners:
            for chain in listener.chains:
                yield from chain.message.each("filters")
    elif patch.apply_to in ("LISTENER", "FILTER_CHAIN"):
        for listener in configuration.listeners:
            yield listener.message
            yield from (chain.message for chain in listener.chains if patch.apply_to == "FILTER_CHAIN")
    elif patch.apply_to == "ROUTE_CONFIGURATION":
        yield from (table.message for table in tables)
    elif patch.apply_to == "VIRTUAL_HOST":
        wanted = field(patch.match, "route_configuration", "vhost", "name").text
        yield from (host.message for table in tables for host in table.hosts if wanted in (None, host.name))
    elif patch.apply_to == "HTTP_ROUTE":
        wanted = name or field(patch.match, "route_configuration", "vhost", "route", "name").text
        vhost = field(patch.match, "route_configuration", "vhost", "name").text
        for table in tables:
            for host in table.hosts:
                if vhost in (None, host.name):
                    yield from (route.message for route in host.routes if wanted in (None, route.name))


def _differences(rendered: Any, loaded: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Yield each rendered value that is not loaded so, with its path."""
    if isinstance(rendered, dict):
        found = {_snake(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
        for key, value in rendered.items():
            yield from _differences(value, found.get(_snake(key)), (*path, key))
    elif isinstance(rendered, list):
        items = loaded if isinstance(loaded, list) else []
        for index, value in enumerate(rendered):
            if not any(not list(_differences(value, item, ())) for item in items):
                yield (*path, index), value, items or None
    elif not _same(rendered, loaded):
        yield path, rendered, loaded


def _snake(key: str) -> str:
    return _CAMEL.sub(lambda letter: f"_{letter[1].lower()}", key)


def _same(rendered: Any, loaded: Any) -> bool:
    """Say whether two scalars mean the same; what is not loaded is the default of its type."""
    if loaded is None:
        return rendered in (None, False, 0, "", "0s", "DEFAULT") or _plain(rendered) in ("0", "0.0")
    return _plain(rendered) == _plain(loaded)


def _plain(value: Any) -> str:
    """Return a scalar in one spelling: durations in seconds, numbers without trailing zeros."""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    found = _DURATION.fullmatch(text)
    number = found[1] if found else text
    try:
        return repr(float(number))
    except ValueError:
        return text


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    text = str(value)
    return f"`{text if len(text) <= 80 else text[:77] + '...'}`"


def is_proxy_config(document: Document) -> bool:
    """Say whether a document is what `istioctl proxy-config` prints: a list of listeners, routes or clusters."""
    return isinstance(document.data, list) and any(_kind(item) is not None for item in document.data)


def dump_of(outputs: Iterable[Document]) -> Document | None:
    """Return outputs of `istioctl proxy-config listeners|routes|clusters -o json` as one config dump; None if none is.

    `istioctl proxy-config all -o json` is a config dump already.
    """
    sections: dict[str, list[Any]] = {}
    first: Document | None = None
    for document in outputs:
        for item in document.data if isinstance(document.data, list) else ():
            kind = _kind(item)
            if kind is not None:
                first = first or document
                sections.setdefault(kind, []).append(item)
    if first is None:
        return None
    names = {
        "listener": ("ListenersConfigDump", "static_listeners"),
        "cluster": ("ClustersConfigDump", "static_clusters"),
        "route_config": ("RoutesConfigDump", "dynamic_route_configs"),
    }
    prefix = "type.googleapis.com/envoy.admin.v3."
    configs = [
        {"@type": prefix + names[kind][0], names[kind][1]: [{kind: item} for item in items]}
        for kind, items in sections.items()
    ]
    return _Joined(first, {"configs": configs})


def _kind(item: Any) -> str | None:
    if not isinstance(item, dict) or "apiVersion" in item:
        return None
    keys = {_snake(key) for key in item}
    if keys & {"filter_chains", "listener_filters", "default_filter_chain"}:
        return "listener"
    if "virtual_hosts" in keys:
        return "route_config"
    return "cluster" if keys & {"type", "cluster_type", "load_assignment", "connect_timeout", "lb_policy"} else None


class _Joined:
    """A config dump put together from several outputs; all of it stands in the first file."""

    def __init__(self, first: Document, data: Any) -> None:
        self.file = first.file
        self.data = data
        self._first = first

    def place(self, path: KeyPath) -> Place:
        """Return the begin of the first output."""
        return self._first.place(())
