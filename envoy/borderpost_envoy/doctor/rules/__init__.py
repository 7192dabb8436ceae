"""All rules about Envoy's configuration. A module here is one subject; importing it registers its rules."""

from __future__ import annotations

from typing import Final

from borderpost_envoy.doctor.checks import CHECKS, Check
from borderpost_envoy.doctor.rules import (
    answers,
    beside,
    clients,
    clusters,
    doors,
    operation,
    retries,
    routes,
    service,
)

SUBJECTS: Final = {
    "Asking": doors,
    "Answers": answers,
    "The way to Borderpost": service,
    "What clients bring": clients,
    "Routes": routes,
    "Clusters": clusters,
    "Second sendings": retries,
    "Beside our filter": beside,
    "Running it": operation,
}
"""The modules by the headings that the reference has."""

ALL: Final[tuple[Check, ...]] = tuple(CHECKS[name] for name in sorted(CHECKS))
"""Every rule, by its id."""
