"""A typed reading of Envoy's configuration: what the rules ask about, each part with the message that it was read from.

Only what rules need is a field here; everything else is a question to the part's `message`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from borderpost_envoy.doctor.message import Message


class Leads(enum.StrEnum):
    """What a route does with a request."""

    CLUSTER = "cluster"
    WEIGHTED = "weighted_clusters"
    HEADER = "cluster_header"
    PLUGIN = "cluster_specifier_plugin"
    NOWHERE = "nowhere"
    """It redirects or answers by itself, and sends nothing on."""
    UNKNOWN = "unknown"
    """An action that this reading does not know."""


@dataclass(frozen=True, slots=True)
class Specifier:
    """A cluster specifier plugin; one for all routes that name it."""

    message: Message
    """The `extension`."""
    type: str
    """Full name of its type; the extension's name where it has none."""
    config: Message
    clusters: frozenset[str]
    """Every cluster that an action of its matcher names."""
    reads_metadata: bool
    """One of its matcher's inputs is dynamic metadata."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a virtual host."""

    name: str
    """Empty where it has none."""
    label: str
    """Its name, or its number where it has none, for people."""
    message: Message
    leads: Leads
    clusters: tuple[str, ...]
    """The clusters that it names itself: one, or the weighted ones."""
    header: str | None
    """The header that names the cluster (`cluster_header`), in lower case."""
    specifier: Specifier | None
    """By name or inline; None where there is none or nobody has it."""

    @property
    def action(self) -> Message:
        """Return the `RouteAction`."""
        return self.message.get("route")


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """Routes of some hosts."""

    name: str
    message: Message
    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One `RouteConfiguration`."""

    name: str
    message: Message
    hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True)
class HttpFilter:
    """One filter of a chain."""

    name: str
    index: int
    type: str
    """Full name of its type; empty where its configuration is not in what was read."""
    message: Message
    """The `HttpFilter` itself."""
    config: Message
    """Its configuration."""
    conditional: bool
    """Its chain may pass it over: it is wrapped in a matcher."""


@dataclass(frozen=True, slots=True)
class Manager:
    """One HTTP connection manager."""

    message: Message
    label: str
    filters: tuple[HttpFilter, ...]
    tables: tuple[RouteTable, ...]
    """Its routes; several where they are chosen by scope."""
    missing_tables: tuple[str, ...]
    """Names of route configurations that it uses and that were not in what was read."""
    tls: bool

    def routes(self) -> Iterator[tuple[RouteTable, VirtualHost, Route]]:
        """Yield every route with where it stands."""
        for table in self.tables:
            for host in table.hosts:
                for route in host.routes:
                    yield table, host, route


@dataclass(frozen=True, slots=True)
class FilterChain:
    """One chain of network filters."""

    message: Message
    label: str
    manager: Manager | None
    clusters: tuple[str, ...]
    """Clusters to which other network filters than a connection manager send connections."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener."""

    name: str
    message: Message
    chains: tuple[FilterChain, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a cluster."""

    address: str
    """`host:port`, `[v6]:port`, or the path of a Unix socket."""
    host: str
    """Without the port; a path for a Unix socket."""
    is_socket: bool
    priority: int
    region: str
    """Of its locality; empty where none is said."""
    message: Message


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster."""

    name: str
    message: Message
    kind: str
    """`STATIC`, `STRICT_DNS`, `LOGICAL_DNS`, `EDS`, `ORIGINAL_DST`, or the full name of a cluster extension's type."""
    endpoints: tuple[Endpoint, ...]
    members: tuple[str, ...]
    """The clusters of an aggregate or a composite, in order."""
    unseen: bool
    """Its endpoints are discovered and were not in what was read."""
    warming: bool

    @property
    def http_options(self) -> Message:
        """Return `envoy.extensions.upstreams.http.v3.HttpProtocolOptions`, under whichever key it stands."""
        for _, packed in self.message.entries("typed_extension_protocol_options"):
            if packed.type_name.endswith(".HttpProtocolOptions"):
                return packed.content
        return self.message.get("no such field")


@dataclass(frozen=True, slots=True)
class Refused:
    """An update that Envoy refused: what runs is older than what was sent."""

    what: str
    reason: str
    message: Message


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of one Envoy."""

    root: Message
    file: str | None
    """The file that it stands in; None for what came from an admin address."""
    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]
    admin: Message
    """Of the bootstrap; absent where there is none."""
    refused: tuple[Refused, ...]
    stray_tables: tuple[RouteTable, ...]
    """Route configurations that no listener which was read uses."""
    partial: tuple[str, ...]
    """Kinds of resources that a dump does not have at all."""
