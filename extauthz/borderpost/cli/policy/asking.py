"""The command line that asks `borderpost explain` for a described request, so that anybody can look closer."""

from __future__ import annotations

import shlex
from datetime import datetime

from borderpost.policy.schema import EvidenceSpec
from borderpost.proof.cases import CaseRequest, told_instant


def explain_command(request: CaseRequest, evidence: EvidenceSpec, *, at: datetime) -> str:
    """Return the command. `at` is the instant where the request names none.

    What `explain` cannot make up (doubt about an address, a tenant named by route metadata, supposed events) is not in
    it; `beside` says so.
    """
    words = ["borderpost", "explain"]

    def add(option: str, value: str | None) -> None:
        if value is not None:
            words.extend((option, value))

    add("--country", request.country)
    token, names = evidence.token, evidence.headers
    if token is not None and (request.token is not None or request.tenant is not None):
        claims = {token.residency_claim: request.token, token.tenant_claim: request.tenant}
        claims["iss"] = token.issuers[0] if token.issuers else None
        for claim, value in claims.items():
            add("--claim", None if value is None else f"{claim}={value}")
    if evidence.mtls is not None and request.certificate is not None:
        add("--san", evidence.mtls.san_prefix + request.certificate)
    for san in request.sans:
        add("--san", san)
    if evidence.header is not None and request.header is not None:
        add("--header", f"{evidence.header.name}={request.header}")
    add("--tenant", request.tenant_header)
    add("--class", ",".join(request.classes) or None)
    add("--model", request.model)
    if evidence.trust_purpose_header and request.purpose is not None:
        add("--header", f"{names.purpose}={request.purpose}")
    add("--route", request.route)
    add("--at", told_instant(request.at if request.at is not None else at))
    if request.stale:
        words.append("--stale")
    return shlex.join(words)


def beside(request: CaseRequest, evidence: EvidenceSpec) -> list[str]:
    """Return what of a request `explain` cannot make up, in words; empty for most."""
    found = []
    if request.doubt is not None:
        found.append(f"the address is in doubt ({request.doubt})")
    if request.tenant is not None and evidence.token is None:
        found.append(f"the route's metadata name the tenant {request.tenant}")
    if request.events:
        found.append(f"supposed: {', '.join(event.id for event in request.events)}")
    return found
