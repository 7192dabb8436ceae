"""Errors of area 14: rendering for Istio, Envoy Gateway and Kubernetes."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1420",
        "failover group of other regions than it may have",
        "A failover group names a region that the catalogue does not have, or one region twice.",
        "List each region once, by its id under `regions`.",
    ),
    ErrorSpec(
        "BP1421",
        "two failover groups for one thing",
        "Two failover groups are the same regions in the same order, and which of them is answered would be chance.",
        "Remove one of them, or change its order.",
    ),
    ErrorSpec(
        "BP1450",
        "Istio's control plane is not built, and Go is missing",
        "No package registry has istiod as a program, so it is built here by Go, once; neither a build nor Go was found.",
        "Install Go 1.25 or later and run `make istio-tools`, or copy `borderpost/istio` from the cache "
        "(`$XDG_CACHE_HOME`, by default `~/.cache`) of a machine that has built it.",
    ),
    ErrorSpec(
        "BP1451",
        "Istio's control plane could not be built",
        "Go did not build istiod or istioctl; its last lines stand above.",
        "Read those lines; no way to fetch Go modules, a Go older than 1.25, or less than 4 GB of disk are the usual "
        "reasons.",
    ),
    ErrorSpec(
        "BP1452",
        "this needs a checkout",
        "The Go module that requires Istio is part of the repository and not of the installed package.",
        "Clone the repository and run it there.",
    ),
)
