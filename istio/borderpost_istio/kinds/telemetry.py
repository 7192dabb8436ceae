"""Istio's `telemetry.istio.io`: what the proxies tell of requests.

Only the fields that are used here. Source: istio.io/api 1.29, `telemetry/v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from borderpost_istio.kinds.model import KubeModel, KubeObject, WorkloadSelector


class AccessLogging(KubeModel):
    """Whether the mesh's access log is written."""

    disabled: bool


class TelemetrySpec(KubeModel):
    """What proxies tell of requests."""

    selector: WorkloadSelector | None = None
    access_logging: tuple[AccessLogging, ...] | None = None


class Telemetry(KubeObject):
    """What proxies tell of requests."""

    api_version: Literal["telemetry.istio.io/v1"] = "telemetry.istio.io/v1"
    kind: Literal["Telemetry"] = "Telemetry"
    spec: TelemetrySpec
