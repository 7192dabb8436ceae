"""What is asked of the law about a manifest: this thing, with this data, at this place."""

from __future__ import annotations

from typing import NamedTuple

from borderpost.manifests import rules
from borderpost.manifests.labels import Handled
from borderpost.manifests.locations import Sighting
from borderpost.reports.finding import Rule


class Aspect(NamedTuple):
    """Which rules a place breaks: forbidden, and not known."""

    forbidden: Rule
    unknown: Rule


WORKLOAD = Aspect(rules.WORKLOAD_FORBIDDEN, rules.WORKLOAD_UNKNOWN)
ENDPOINT = Aspect(rules.ENDPOINT_FORBIDDEN, rules.ENDPOINT_UNKNOWN)
FAILOVER = Aspect(rules.FAILOVER_FORBIDDEN, rules.FAILOVER_UNKNOWN)
STORAGE = Aspect(rules.STORAGE_FORBIDDEN, rules.STORAGE_UNKNOWN)


class Question(NamedTuple):
    """May this be there?"""

    subject: str
    """What it is: `Deployment prod/chat`, `module.eu.aws_sagemaker_endpoint.chat`."""
    handled: Handled
    sighting: Sighting
    aspect: Aspect
