"""From a document to a configuration: a bootstrap, or a config dump with all that was discovered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from borderpost_base.errors import BorderpostError, Place
from borderpost_envoy.doctor.clusters import read_cluster
from borderpost_envoy.doctor.listeners import ListenerReader
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Configuration, Refused, RouteTable
from borderpost_envoy.doctor.routes import read_table
from borderpost_envoy.doctor.sources import Source

_BOOTSTRAP_KEYS = ("static_resources", "dynamic_resources", "admin", "staticResources", "dynamicResources")
_NEEDED = ("ListenersConfigDump", "ClustersConfigDump", "BootstrapConfigDump")
"""Parts without which a dump says too little to be examined."""


@dataclass(slots=True)
class _Parts:
    """What was found, before it is put together."""

    listeners: list[Message] = field(default_factory=list)
    clusters: list[tuple[Message, bool]] = field(default_factory=list)
    """Each with whether it is warming."""
    tables: dict[str, RouteTable] = field(default_factory=dict)
    assignments: dict[str, Message] = field(default_factory=dict)
    filters: dict[str, Message] = field(default_factory=dict)
    bootstraps: list[Message] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)


def read_configuration(source: Source) -> Configuration:
    """Read a bootstrap or a config dump. Raises BorderpostError BP1503 for what is neither."""
    document = source.document
    root = Message.whole(document)
    parts = _Parts()
    is_dump = any(True for _ in root.each("configs"))
    if is_dump:
        for section in root.each("configs"):
            _section(section, parts)
        if not any(kind.endswith("ConfigDump") for kind in parts.kinds):
            raise BorderpostError("BP1503", "`configs` holds no part of a dump", place=Place(document.file))
    elif any(root.has(key) for key in _BOOTSTRAP_KEYS):
        _bootstrap(root, parts)
        parts.bootstraps.append(root)
    else:
        raise BorderpostError("BP1503", "it has none of the keys that either begins with", place=Place(document.file))
    reader = ListenerReader(parts.tables, parts.filters)
    listeners = tuple(reader.read(message) for message in parts.listeners)
    return Configuration(
        root=root,
        file=source.file,
        listeners=listeners,
        clusters=tuple(read_cluster(one, parts.assignments, warming=warming) for one, warming in parts.clusters),
        admin=parts.bootstraps[0].get("admin") if parts.bootstraps else root.get("no such field"),
        refused=tuple(parts.refused),
        stray_tables=tuple(table for name, table in parts.tables.items() if name not in reader.used),
        partial=tuple(kind for kind in _NEEDED if is_dump and kind not in parts.kinds),
    )


def _bootstrap(bootstrap: Message, parts: _Parts) -> None:
    static = bootstrap.get("static_resources")
    parts.listeners += static.each("listeners")
    parts.clusters += [(one, False) for one in static.each("clusters")]


def _section(section: Message, parts: _Parts) -> None:
    """Add one part of a dump. Of what is being replaced both the old and the new count; what only drains does not."""
    kind = section.type_name.rpartition(".")[2]
    parts.kinds.add(kind)
    if kind == "BootstrapConfigDump":
        parts.bootstraps.append(section.get("bootstrap"))
    elif kind == "ListenersConfigDump":
        parts.listeners += [one.get("listener").content for one in section.each("static_listeners")]
        for one in section.each("dynamic_listeners"):
            _note_refusal("listener", one, parts)
            states = [one.get(state, "listener") for state in ("active_state", "warming_state")]
            parts.listeners += [state.content for state in states if state.present]
    elif kind == "ClustersConfigDump":
        for name in ("static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"):
            for one in section.each(name):
                _note_refusal("cluster", one, parts)
                if one.get("cluster").present:
                    parts.clusters.append((one.get("cluster").content, name == "dynamic_warming_clusters"))
    elif kind == "RoutesConfigDump":
        for one in section.each("dynamic_route_configs"):
            _note_refusal("routes", one, parts)
            table = read_table(one.get("route_config").content)
            parts.tables[table.name] = table
    elif kind == "EndpointsConfigDump":
        for name in ("static_endpoint_configs", "dynamic_endpoint_configs"):
            for one in section.each(name):
                assignment = one.get("endpoint_config").content
                parts.assignments[assignment.text("cluster_name") or ""] = assignment
    elif kind == "EcdsConfigDump":
        for one in section.each("ecds_filters"):
            _note_refusal("filter", one, parts)
            parts.filters[one.get("ecds_filter").text("name") or ""] = one.get("ecds_filter")


def _note_refusal(what: str, resource: Message, parts: _Parts) -> None:
    error = resource.get("error_state")
    if error.present:
        failed = error.get("failed_configuration")
        name = resource.text("name") or failed.text("name") or _first_name(resource) or "?"
        parts.refused.append(Refused(f"{what} `{name}`", error.text("details") or "no reason is given", error))


def _first_name(resource: Message) -> str | None:
    return next((name for name in _names(resource)), None)


def _names(resource: Message) -> Iterator[str]:
    for key in ("cluster", "route_config", "listener", "ecds_filter"):
        if (name := resource.get(key).text("name")) is not None:
            yield name
