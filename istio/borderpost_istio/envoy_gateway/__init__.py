"""Renders what makes a Gateway of Envoy Gateway ask Borderpost, so that what nobody has decided leads nowhere.

`EnvoyGatewayPlan` says what differs between deployments, `render_objects` makes the objects of it, `to_yaml` writes
them with the reasons beside the settings.
"""

from __future__ import annotations

from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan, ServerTrust, Sidecar
from borderpost_istio.envoy_gateway.render import Rendered, render_objects, to_yaml

__all__ = ["EnvoyGatewayPlan", "Rendered", "ServerTrust", "Sidecar", "render_objects", "to_yaml"]
