"""Renders Envoy configuration that cannot leak.

`EnvoyPlan` says what differs between deployments, `render_bootstrap` makes the whole bootstrap of it as plain
data, `to_yaml` writes that with the reasons beside the settings. Only rendering imports envoy-data-plane, and
only when it is called: it costs half a second and 40 MiB, and the serving processes never need it.
"""

from __future__ import annotations

from borderpost_envoy.plan import (
    SERVER_CLUSTER,
    BodyPlan,
    EnvoyPlan,
    FailoverCluster,
    GatewayPlan,
    HostPort,
    JwtProvider,
    ListenerTls,
    ObservedRoute,
    OwnRoute,
    PlannedRegion,
    RegionCluster,
    RoutePlan,
    RouteStyle,
    UnixSocket,
    UpstreamTls,
    Via,
)
from borderpost_envoy.render import render_bootstrap, to_json, to_yaml

__all__ = [
    "SERVER_CLUSTER",
    "BodyPlan",
    "EnvoyPlan",
    "FailoverCluster",
    "GatewayPlan",
    "HostPort",
    "JwtProvider",
    "ListenerTls",
    "ObservedRoute",
    "OwnRoute",
    "PlannedRegion",
    "RegionCluster",
    "RoutePlan",
    "RouteStyle",
    "UnixSocket",
    "UpstreamTls",
    "Via",
    "render_bootstrap",
    "to_json",
    "to_yaml",
]
