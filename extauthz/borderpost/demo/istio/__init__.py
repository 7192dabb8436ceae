"""Istio's real control plane without Kubernetes: built here, fed by files, delivering to a real Envoy.

`tools` builds istiod and istioctl and keeps them, `istiod` runs the one with its configuration from a folder,
`gateway_node` is the Envoy that istiod takes for an ingress gateway. The rest is the demonstration.
"""
