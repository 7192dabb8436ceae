"""What a control plane has delivered to an Envoy, read from its config dump."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivered:
    """What Envoy runs with that came from the control plane, each kind by name, as its config dump shows it."""

    listeners: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, Mapping[str, Any]]
    """Route configurations."""
    clusters: Mapping[str, Mapping[str, Any]]
    """Only those that have their endpoints and certificates."""
    warming: Mapping[str, Mapping[str, Any]]
    """Clusters that wait for theirs."""
    refused: tuple[str, ...]
    """Why Envoy refused what it was sent, while it goes on with what it had."""

    def manager(self, port: int) -> Mapping[str, Any]:
        """Return the HTTP connection manager of istiod's listener on a port. Raises KeyError if there is none."""
        (chain,) = self.listeners[f"0.0.0.0_{port}"]["filter_chains"]
        manager: Mapping[str, Any] = chain["filters"][-1]["typed_config"]
        return manager

    def routes_of(self, port: int) -> list[Mapping[str, Any]]:
        """Return every route of the port, host by host in order. Raises KeyError if there are none."""
        return [route for host in self.routes[f"http.{port}"]["virtual_hosts"] for route in host.get("routes", ())]


def read_delivered(dump: Mapping[str, Any]) -> Delivered:
    """Read the answer of Envoy's `/config_dump`; entries that hold only an error are refusals."""
    parts = {part["@type"].rpartition(".")[2]: part for part in dump["configs"]}
    listeners = parts.get("ListenersConfigDump", {}).get("dynamic_listeners", [])
    clusters = parts.get("ClustersConfigDump", {})
    active = clusters.get("dynamic_active_clusters", [])
    warming = clusters.get("dynamic_warming_clusters", [])
    routes = parts.get("RoutesConfigDump", {}).get("dynamic_route_configs", [])
    every = (*listeners, *active, *warming, *routes)
    return Delivered(
        {one["name"]: one["active_state"]["listener"] for one in listeners if "active_state" in one},
        {one["route_config"]["name"]: one["route_config"] for one in routes if "route_config" in one},
        {one["cluster"]["name"]: one["cluster"] for one in active if "cluster" in one},
        {one["cluster"]["name"]: one["cluster"] for one in warming if "cluster" in one},
        tuple(one["error_state"]["details"] for one in every if "error_state" in one),
    )
