"""Errors of area 14: rendering for Istio, Envoy Gateway and Kubernetes."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = ()
