"""Renders Istio and Kubernetes objects that put Borderpost beside an ingress gateway and cannot leak."""
