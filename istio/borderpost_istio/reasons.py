"""The comments in rendered objects: why a setting is as it is."""

from __future__ import annotations

from collections.abc import Mapping

from borderpost_envoy import text

REASONS: Mapping[tuple[str, ...], str] = {
    **text.REASONS,
    ("annotations",): "Kept for this gateway where istiod prunes what no VirtualService names.",
    ("spec", "workloadSelector"): "The gateway's pods, and no others.",
    ("spec", "priority"): "After other EnvoyFilters: nearest to the router, and before all other routes.",
    ("configPatches", "applyTo=CLUSTER"): "A cluster that istiod does not make by itself.",
    ("configPatches", "applyTo=NETWORK_FILTER"): "What holds before any filter sees a request.",
    ("configPatches", "applyTo=HTTP_FILTER"): "Right before the router, so after tokens and policies.",
    ("configPatches", "applyTo=ROUTE_CONFIGURATION"): "The table that the routes below use.",
    ("configPatches", "applyTo=HTTP_ROUTE"): "Put first: what another VirtualService says of the host comes after it.",
    ("value", "disabled"): "Off, because other hosts share the gateway; our routes turn it on.",
    ("vhost", "route"): "Every virtual host that has the refusing route of our VirtualService, whatever it is called.",
    ("direct_response",): "Where nobody has named a cluster, nobody is sent anywhere.",
    ("http", "directResponse"): "By itself this leads nowhere: routes come from the EnvoyFilter.",
    ("localityLbSetting",): "On by default in Istio as soon as there is outlier detection: endpoints elsewhere.",
    ("subjectAltNames",): "Who the region has to be; without this any certificate of the authority would do.",
    ("spec", "exportTo"): "Visible in this namespace alone.",
    ("connectionPool",): "Istio's default is unlimited, Envoy's 1024; this is neither.",
    ("spec", "policyTypes"): "What may be connected to; who may connect is not said here.",
    ("spec", "maxUnavailable"): "For those who drain nodes.",
    ("spec", "accessLogging"): "The mesh's log has client addresses and paths; ours, in the EnvoyFilter, has neither.",
    ("jwtRules", "forwardOriginalToken"): "The claims are read as metadata; the region may need the token itself.",
    ("operation", "methods"): "A tunnel has no requests that could be decided; TRACE echoes headers.",
    ("operation", "notPaths"): "Paths of no route.",
    ("source", "principals"): "The gateway: whoever else calls this region goes round the law.",
    ("spec", "mtls"): "Nobody without an identity of the mesh.",
}
"""Comment before a key, by the last parts of its path; the last part may be `key=value`."""

MADE = "Rendered by `borderpost render istio`; change the configuration and render again."
"""Line on top of every rendered object, by which an earlier rendering is known."""

HEADERS: Mapping[str, str] = {
    "EnvoyFilter": f"{MADE}\nWhere a patch here matches nothing, requests are refused: no route leads anywhere "
    "without an answer from Borderpost.",
    "VirtualService": f"{MADE}\nThe hosts, with nothing but a refusal; the EnvoyFilter puts the routes before it.",
    "ServiceEntry": f"{MADE}\nA region outside the mesh. One host is one region: nothing balances out of it.",
    "DestinationRule": f"{MADE}\nHow a region is connected to.",
    "RequestAuthentication": f"{MADE}\nTokens that are evidence. One that does not verify is 401.",
    "AuthorizationPolicy": MADE,
    "PeerAuthentication": MADE,
    "Telemetry": MADE,
    "NetworkPolicy": f"{MADE}\nWhere the cluster's network enforces it.",
    "PodDisruptionBudget": MADE,
}
"""Comment on top of each object, by its kind."""

OBSERVING = "borderpost-observe"
"""How the names of EnvoyFilters that only observe begin."""
OBSERVING_HEADER = (
    f"{MADE}\nOnly observes: Envoy tells Borderpost of requests on these routes and waits for nothing. No law is kept "
    "on them.\nTo undo it, delete this object."
)
OBSERVING_REASONS: Mapping[tuple[str, ...], str] = {
    **REASONS,
    ("spec", "priority"): "After other EnvoyFilters: nearest to the router.",
    ("configPatches", "applyTo=HTTP_ROUTE"): "A route of your own: where it leads stays as it is.",
    ("value", "disabled"): "Off, but on the routes below.",
    ("vhost", "route"): "By its name, in whatever virtual host it is.",
}
"""The comments in objects that only observe."""
