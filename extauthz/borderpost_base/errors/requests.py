"""Errors of area 08: answers to callers. Their codes stand in problem bodies and in records."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0801",
        "no region may serve this request",
        "The laws that apply to the data subject and the data class leave no region that may process it.",
        "See the decision's record for each region and the law against it: `borderpost explain --log DIR ID`.",
    ),
    ErrorSpec(
        "BP0802",
        "embargoed place",
        "Evidence of any kind places the data subject where an embargo forbids service.",
        "No evidence can clear this automatically; a person with authority must review it.",
    ),
    ErrorSpec(
        "BP0803",
        "this gateway may not process the request",
        "The law that applies does not allow this gateway's own place (`here`) as a processor of the data.",
        "Send the request to a gateway inside the permitted territory.",
    ),
    ErrorSpec(
        "BP0804",
        "required evidence is missing",
        "The tenant or route requires evidence of residence that the request does not carry.",
        "Send the evidence that the problem's `reason` names.",
    ),
    ErrorSpec(
        "BP0805",
        "the data subject's place is unknown",
        "The client address has no country in the GeoIP database, or it is an exit or a server whose place is not "
        "believed, and no verified claim resolves it.",
        "Send a verified residency claim, or let the operator configure `evidence.unknown`.",
    ),
    ErrorSpec(
        "BP0806",
        "no legal region can serve now",
        "Every region the law allows is down.",
        "Retry after the time in `Retry-After`.",
    ),
    ErrorSpec(
        "BP0807",
        "no current policy",
        "The worker has no snapshot of policy and events, or the one it has is older than allowed.",
        "Retry; if it lasts, see the steward's log: snapshots are published by it.",
    ),
    ErrorSpec(
        "BP0808",
        "the decision cannot be recorded",
        "The audit log is not accepting records (disk full, read-only, failing or locked); no record, no route.",
        "Retry; if it lasts, see the worker's log for the disk's error.",
    ),
    ErrorSpec(
        "BP0809",
        "draining",
        "This instance is shutting down and takes no new requests.",
        "Retry: another instance or the restarted one will answer.",
    ),
    ErrorSpec(
        "BP0810",
        "internal refusal",
        "An unexpected state; when in doubt Borderpost refuses.",
        "Report the log line that carries the same decision id or time.",
    ),
    ErrorSpec(
        "BP0811",
        "data class unknown to the policy",
        "The request's data class is not defined, so the law that applies to it cannot be read.",
        "Send a class that the policy defines, or add the class to the policy.",
    ),
    ErrorSpec(
        "BP0821",
        "malformed header",
        "A header that Borderpost reads is too long, or does not hold the codes and names that belong there.",
        "Correct the header that the problem's `reason` names: places are ISO 3166 codes in capitals (`DE`, `CA-QC`).",
    ),
    ErrorSpec(
        "BP0822",
        "contradictory headers",
        "A header that has one meaning was sent more than once with different values.",
        "Send the header that the problem's `reason` names once.",
    ),
    ErrorSpec(
        "BP0823",
        "unknown tenant",
        "The tenant header names a tenant that is not configured, so what holds for its data is not known.",
        "Correct the name, or leave the header out.",
    ),
    ErrorSpec(
        "BP0824",
        "token claim does not hold",
        "The token is genuine, but its claim of residence or tenant is not a place code or a name.",
        "Have the issuer correct the claim that the problem's `reason` names.",
    ),
    ErrorSpec(
        "BP0825",
        "certificate names do not hold",
        "The client certificate is genuine, but what it says of residence or tenant is malformed or contradictory.",
        "Use a certificate with one name of each kind; the problem's `reason` tells which it is.",
    ),
    ErrorSpec(
        "BP0826",
        "token of an issuer that is not believed",
        "The token is genuine, but its issuer (`iss`) is not among `evidence.token.issuers`.",
        "Use a token of an issuer that the operator believes, or none; an operator may add the issuer.",
    ),
)
