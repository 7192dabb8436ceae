"""Deployments before they are deployed: what manifests and plans put where, held against the law."""
