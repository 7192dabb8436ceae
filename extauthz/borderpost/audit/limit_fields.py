"""The records of the limiter: which limits are in force, and whom they refused."""

from __future__ import annotations

import re
from typing import Final

from borderpost.audit.forms import COUNT, DIGEST, HEX_32, LINE, RecordType, optional
from borderpost.audit.kinds import Choice, CountsOf, Field, Shape, Stamp, Text
from borderpost_base import limits

_RULE = Text("domain and keys of a limit, joined by dots", re.compile(r"[ !#-\[\]-~]+"), limits.RECORDED_RULE_BYTES_MAX)
_ALGORITHM = Choice(("fixed_window", "sliding_window", "token_bucket", "concurrency", "budget"))

_LIMITED = Shape(
    (
        optional(
            "decision",
            HEX_32,
            "Id of the decision that let the request pass, by Envoy's word. Its record is in another stream.",
        ),
        optional("name", LINE, "What else Envoy named the request, where it did."),
    )
)

LIMIT_TYPES: Final[tuple[RecordType, ...]] = (
    RecordType(
        "limits.activate",
        "A set of limits files came into use by the limiter.",
        Shape(
            (
                Field("digest", DIGEST, "The files in order, each after its length and a colon."),
                Field("domains", COUNT, "Domains that they limit."),
            )
        ),
    ),
    RecordType(
        "limit.refuse",
        "A limit refused a request that the law had let pass. It names no value of the request.",
        Shape(
            (
                Field("req", _LIMITED, "What joins the record to others."),
                Field("rule", _RULE, "The rule that refused, by its place in the limits files."),
                Field("algorithm", _ALGORITHM, "How it counts."),
                Field("amount", COUNT, "How many it lets pass."),
                Field("window_us", COUNT, "In how long, microseconds."),
                Field(
                    "source",
                    Choice(("store", "near_cache", "estimate", "assumed")),
                    "Whose count it was: the store's, the store's of a moment ago, this process's own while the store "
                    "was away, or nobody's.",
                ),
            )
        ),
    ),
    RecordType(
        "limit.refusals",
        "Requests that limits refused and that have no record of their own.",
        Shape(
            (
                Field("since", Stamp(), "When the first of them was refused; the last was by this record."),
                Field("count", COUNT, "How many."),
                Field("rules", CountsOf(_RULE, limits.RECORDED_RULES_MAX), "How many by rule; `other` are the rest."),
                Field("flood", COUNT, "Those beyond what has records of its own in one second."),
                Field("untaken", COUNT, "Those of which the log took no record: it was down, or too many waited."),
            )
        ),
    ),
)
