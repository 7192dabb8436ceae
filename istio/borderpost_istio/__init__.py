"""Renders Istio and Kubernetes objects that put Borderpost beside an ingress gateway and cannot leak.

`IstioPlan` says what differs between gateways, `render_objects` makes the objects of it, `to_stream` and `to_files`
write them with the reasons beside the settings. The kinds are in `borderpost_istio.kinds`, for others too.
"""

from __future__ import annotations

from borderpost_istio.plan import IstioPlan, MeshRegion
from borderpost_istio.render import render_objects, to_files, to_stream

__all__ = ["IstioPlan", "MeshRegion", "render_objects", "to_files", "to_stream"]
