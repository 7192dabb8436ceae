"""Where each rule's fact is documented, and why some cannot be shown to leak without a cluster."""

from __future__ import annotations

from typing import Final

_ISTIO = "https://istio.io/latest/docs/reference/config"
_ENVOY_FILTER = f"{_ISTIO}/networking/envoy-filter/"
_VIRTUAL_SERVICE = f"{_ISTIO}/networking/virtual-service/"
_DESTINATION_RULE = f"{_ISTIO}/networking/destination-rule/"
_SERVICE_ENTRY = f"{_ISTIO}/networking/service-entry/"
_MESH = f"{_ISTIO}/istio.mesh.v1alpha1/"
_PILOT = "https://istio.io/latest/docs/reference/commands/pilot-discovery/"
_KUBERNETES = "https://kubernetes.io/docs/concepts"
_ENVOY = "https://www.envoyproxy.io/docs/envoy/v1.40.0"
_EXT_PROC = f"{_ENVOY}/configuration/http/http_filters/ext_proc_filter"
_ENVOY_GATEWAY = "https://gateway.envoyproxy.io/docs/api/extension_types/"

SOURCES: Final = {
    "BPD050": _ENVOY_FILTER,
    "BPD051": _VIRTUAL_SERVICE,
    "BPD052": _ENVOY_FILTER,
    "BPD053": _ENVOY_FILTER,
    "BPD054": _ENVOY_FILTER,
    "BPD055": _ENVOY_FILTER,
    "BPD056": _ENVOY_FILTER,
    "BPD057": _ENVOY_FILTER,
    "BPD058": _ENVOY_FILTER,
    "BPD059": _EXT_PROC,
    "BPD060": _EXT_PROC,
    "BPD061": _EXT_PROC,
    "BPD062": _EXT_PROC,
    "BPD063": _ENVOY_FILTER,
    "BPD064": _VIRTUAL_SERVICE,
    "BPD065": _ENVOY_FILTER,
    "BPD066": _VIRTUAL_SERVICE,
    "BPD067": f"{_ENVOY}/intro/arch_overview/http/http_connection_management",
    "BPD068": f"{_ENVOY}/intro/arch_overview/http/upgrades",
    "BPD069": f"{_ENVOY}/configuration/http/http_filters/rate_limit_filter",
    "BPD070": _VIRTUAL_SERVICE,
    "BPD071": _VIRTUAL_SERVICE,
    "BPD072": _VIRTUAL_SERVICE,
    "BPD073": _VIRTUAL_SERVICE,
    "BPD074": _VIRTUAL_SERVICE,
    "BPD075": _DESTINATION_RULE,
    "BPD076": _DESTINATION_RULE,
    "BPD077": _SERVICE_ENTRY,
    "BPD078": _DESTINATION_RULE,
    "BPD079": _DESTINATION_RULE,
    "BPD080": _DESTINATION_RULE,
    "BPD081": _SERVICE_ENTRY,
    "BPD082": _MESH,
    "BPD083": _MESH,
    "BPD084": _PILOT,
    "BPD085": _MESH,
    "BPD086": _PILOT,
    "BPD087": _MESH,
    "BPD088": f"{_ISTIO}/security/peer_authentication/",
    "BPD089": _MESH,
    "BPD090": f"{_ISTIO}/security/authorization-policy/",
    "BPD091": f"{_KUBERNETES}/workloads/pods/sidecar-containers/",
    "BPD092": f"{_KUBERNETES}/storage/volumes/",
    "BPD093": f"{_KUBERNETES}/workloads/pods/sidecar-containers/",
    "BPD094": "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
    "BPD095": f"{_KUBERNETES}/storage/volumes/",
    "BPD096": _ENVOY_GATEWAY,
    "BPD097": _ENVOY_GATEWAY,
    "BPD098": _ENVOY_FILTER,
    "BPD099": "https://kubernetes.io/docs/reference/using-api/",
    "BPD100": f"{_ENVOY}/configuration/http/http_filters/rate_limit_filter",
}
"""The page of Istio's, Envoy's or Kubernetes' documentation, by rule."""

_PODS = "Pods run in a cluster alone; what the fault does inside them is shown with processes in their place."
_EG = "Envoy Gateway needs a cluster's API; what it makes of the objects is an Envoy configuration, which has rules."
_IDENTITY = "Identities come from the mesh's authority, which runs in a cluster."
UNSHOWN: Final = {
    "BPD051": "It takes a policy's purpose away from a route, not the decision: nothing leaks by itself.",
    "BPD055": "A proxy's namespace is its pod's; istiod fed by files knows one.",
    "BPD073": "Where a caller goes after a redirect is its own doing.",
    "BPD079": "Who listens on the wire cannot be shown by two ends of it.",
    "BPD080": "Certificates from files need pilot-agent's SDS server, which runs in a pod.",
    "BPD081": "It takes names in the DNS that lead to other regions.",
    "BPD082": "A sidecar intercepts connections by iptables, which takes a pod.",
    "BPD083": "What it sets for all hosts is shown for one, by BPD075 and BPD076.",
    "BPD084": "It ends in refusals: nothing leaks, and nothing is served.",
    "BPD085": "pilot-agent tells istiod the number of proxies, and runs in a pod.",
    "BPD086": "The mesh's networks are those of its clusters.",
    "BPD088": _IDENTITY,
    "BPD091": _PODS,
    "BPD092": _PODS,
    "BPD093": _PODS,
    "BPD094": _PODS,
    "BPD095": _PODS,
    "BPD096": _EG,
    "BPD097": _EG,
    "BPD099": "It says that nothing was examined.",
}
"""Why a rule's fault is not shown on a real control plane, by rule."""
