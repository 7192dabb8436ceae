"""Unknown fields in the Envoy messages of patches, which istiod drops without a word.

The descriptors are envoy-data-plane's. A message of a type that they do not have is passed over; so is everything
where envoy-data-plane is not installed, which is said once.
"""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding, Level
from borderpost_envoy.field_names import UnknownField, envoy_types_known, unknown_fields
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.reading import finding
from borderpost_istio.doctor.rules.patches import UNKNOWN_FIELD

_TYPES = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
    "EXTENSION_CONFIG": "envoy.config.core.v3.TypedExtensionConfig",
    "BOOTSTRAP": "envoy.config.bootstrap.v3.Bootstrap",
}
"""The message that a patch's value is, by what it is applied to (istio/istio, `xds.BuildXDSObjectFromStruct`)."""


def examine_fields(mesh: Mesh) -> Iterator[Finding]:
    """Yield each field of a patch on a protected gateway that its message does not have."""
    patches = [patch for patch in mesh.patches if patch.apply_to in _TYPES and mesh.touches(patch)]
    if patches and not envoy_types_known():
        detail = "the fields of patches were not examined: envoy-data-plane is not installed (`borderpost[render]`)."
        yield finding(UNKNOWN_FIELD, detail, patches[0].value, patches[0].owner, level=Level.NOTE)
        return
    for patch in patches:
        for unknown in unknown_fields(_TYPES[patch.apply_to], patch.value.value):
            node = _at(patch.value, unknown)
            near = f"; did you mean `{unknown.nearest}`?" if unknown.nearest else "."
            detail = f"{unknown.message} has no field `{unknown.path[-1]}`{near}"
            yield finding(UNKNOWN_FIELD, detail, node, patch.owner)


def _at(value: Node, unknown: UnknownField) -> Node:
    return Node(value.document, (*value.path, *unknown.path), None)
