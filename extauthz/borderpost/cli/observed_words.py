"""What is said of a decision that bound nobody, since its route is observed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from borderpost.audit.record import recorded_reason
from borderpost.policy.model import Law

MADE_UP = "the route is observed: this is what would be decided, and such a request goes its own way"


def observed_notes(record: Mapping[str, Any], law: Law | None) -> Iterator[str]:
    """Yield what a reader should know of a decision of the log; nothing where it bound Envoy."""
    if record["mode"] != "observe":
        return
    observed = record.get("observed", {})
    yield f"the route is observed: this is what would have been decided; the request went its way, {where(observed)}"
    if observed.get("unenforced"):
        yield "the configuration had the route ENFORCED, and Envoy only observed it"
    if observed.get("body_unseen"):
        yield "its body was not seen, and would have counted on an enforced route"
    region = observed.get("r")
    if law is not None and region is not None:
        unlawful = None if region in law.bases else recorded_reason(law.refused.get(region, law.reason))
        if unlawful != observed.get("unlawful"):
            yield "what the law says of where it went DIFFERS from what is recorded of it"


def where(observed: Mapping[str, Any]) -> str:
    """Say where an observed request went, and whether it might."""
    if "r" not in observed:
        cluster = f"to the cluster {observed['cluster']}, " if "cluster" in observed else ""
        return f"{cluster}nobody knows where"
    allowed = f"which the law forbids ({observed['unlawful']})" if "unlawful" in observed else "which the law allows"
    return f"to {observed['r']}, {allowed}"
