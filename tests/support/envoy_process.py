"""The real Envoy for tests: the demo's process, and a way to patch a rendered bootstrap on purpose."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from borderpost.demo.envoy_process import EnvoyProcess, envoy_binary, validate_bootstrap

__all__ = ["EnvoyProcess", "connection_manager", "envoy_binary", "find_all", "patched", "validate_bootstrap"]


def find_all(tree: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yield every mapping of the tree that has the key."""
    if isinstance(tree, dict):
        if key in tree:
            yield tree
        for value in tree.values():
            yield from find_all(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from find_all(value, key)


def connection_manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Return the connection manager's configuration inside a bootstrap."""
    return next(find_all(bootstrap, "http_filters"))


def patched(bootstrap: dict[str, Any], **route_action: Any) -> dict[str, Any]:
    """Return a copy whose every route action has these further settings: what an operator must never do."""
    changed = copy.deepcopy(bootstrap)
    for holder in find_all(changed, "routes"):
        for route in holder["routes"]:
            route["route"].update(route_action)
    return changed
