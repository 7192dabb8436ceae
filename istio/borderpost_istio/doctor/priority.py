"""Which patches come after ours: those of a higher priority, and of the same one by root namespace, age and name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from borderpost.manifests.objects import Object
from borderpost.reports.finding import Finding
from borderpost_envoy.doctor.message import Message
from borderpost_istio.doctor.mesh import Mesh, Patch
from borderpost_istio.doctor.reading import finding
from borderpost_istio.doctor.rules.patches import LATER_PATCH

_CHANGERS: Final = ("Lua", "Wasm", "HeaderMutation", "ExtAuthz", "ExternalProcessor", "Config", "DynamicModuleFilter")
"""Ends of the types of HTTP filters that may change what a request is routed by; Go's is called Config."""
_MERGED: Final = frozenset({"NETWORK_FILTER", "ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})


def examine_priority(mesh: Mesh) -> Iterator[Finding]:
    """Yield patches of others that apply after ours to the same kind of thing."""
    ours = {id(patch.owner): patch.owner for patch in mesh.patches if mesh.is_ours(patch)}
    if not ours:
        return
    changed = {patch.apply_to for patch in mesh.patches if mesh.is_ours(patch)}
    last = max(_order(one, mesh.setting.root_namespace) for one in ours.values())
    for patch in mesh.patches:
        if mesh.is_ours(patch) or not mesh.touches(patch) or patch.apply_to not in changed:
            continue
        if _order(patch.owner, mesh.setting.root_namespace) > last and _changes(patch):
            detail = f"{patch.operation} on {patch.subject} applies after the EnvoyFilter of Borderpost."
            yield finding(LATER_PATCH, detail, patch.node, patch.owner)


def _order(one: Object, root: str) -> tuple[int, bool, str, str]:
    """Return the key by which istiod sorts EnvoyFilters (istio/istio, `PushContext.EnvoyFilters`)."""
    priority = one.spec.get("priority").value
    created = one.node.get("metadata", "creationTimestamp").text or ""
    number = priority if isinstance(priority, int) and not isinstance(priority, bool) else 0
    return number, one.namespace != root, created, f"{one.name}.{one.namespace}"


def _changes(patch: Patch) -> bool:
    if patch.apply_to == "HTTP_FILTER" and patch.operation != "INSERT_FIRST":  # which comes before ours after all
        kind = Message(patch.value).typed("typed_config")[0]
        return kind.rpartition(".")[2] in _CHANGERS or (patch.operation == "MERGE")
    return patch.apply_to in _MERGED and patch.operation == "MERGE"
