"""The VirtualService: it brings the hosts to the gateway and by itself leads nowhere.

All that it has is one route that refuses. The EnvoyFilter puts ours before it, and finds the virtual hosts by it: where
the EnvoyFilter is missing, or matches nothing, requests are refused.
"""

from __future__ import annotations

from borderpost_envoy.routes import REFUSED
from borderpost_istio.kinds import Metadata
from borderpost_istio.kinds.networking import (
    DirectResponse,
    VirtualService,
    VirtualServiceRoute,
    VirtualServiceSpec,
)
from borderpost_istio.names import PREFIX, object_name
from borderpost_istio.patches import MARKER
from borderpost_istio.plan import IstioPlan
from borderpost_istio.sizes import in_parts


def virtual_services(plan: IstioPlan) -> list[VirtualService]:
    """Return the hosts with their gateways, split by size."""
    return [
        VirtualService(
            metadata=Metadata(name=PREFIX if number == 1 else object_name(str(number)), namespace=plan.namespace),
            spec=VirtualServiceSpec(
                hosts=hosts,
                gateways=plan.gateways,
                http=(VirtualServiceRoute(name=MARKER, direct_response=DirectResponse(status=REFUSED)),),
                export_to=(".",),
            ),
        )
        for number, hosts in enumerate(in_parts(plan.hosts), 1)
    ]
