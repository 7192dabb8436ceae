"""Quotas that a client may use up without asking (`RateLimitResponse.Quota`).

A grant is charged when it is given, together with the request that asked, so no more passes than the limit says whether
it is used or not. Given is what is left, at most so much as is configured; a fixed window counts what is over, so the
counter may stand above the amount by what could not be given any more.
"""

from __future__ import annotations

import hashlib
from typing import Final

from borderpost_ratelimit.charges import Charge, Phase, Source, Verdict
from borderpost_ratelimit.limits import SECOND_US, Algorithm
from borderpost_wire.protobuf import bytes_field, number_field

_COUNTED: Final = (Source.STORE, Source.ESTIMATE)
_ID_BYTES: Final = 16


def with_grant(charges: list[Charge], grant: int) -> int:
    """Add a grant to a request's charges, and return it: 0 where there is none.

    There is one for a request with one charge, to a fixed window that refuses: several limits would each have to be
    asked what they have left before any of them is charged for it.
    """
    if len(charges) != 1:
        return 0
    (charge,) = charges
    limit = charge.limit
    if limit.algorithm is not Algorithm.FIXED_WINDOW or not limit.binding:
        return 0
    if charge.phase is not Phase.BEGIN or charge.hits <= 0:
        return 0
    charges[0] = charge._replace(hits=charge.hits + grant)
    return grant


def granted(amount: int, grant: int, verdict: Verdict) -> tuple[Verdict, int]:
    """Return the verdict on the request by itself, given that on both, and how much it is granted."""
    if verdict.source not in _COUNTED:
        return verdict, 0
    used = verdict.used - grant
    if used > amount:
        return verdict._replace(used=used), 0
    given = min(grant, amount - used)
    return verdict._replace(over=False, used=used + given, remaining=amount - used - given, retry_us=0), given


def quota(key: str, given: int, until_us: int) -> bytes:
    """Return field `quota` of a status: so many until then, by an id that is the counter's own and says nothing."""
    seconds, rest_us = divmod(until_us, SECOND_US)
    until = number_field(1, seconds) + number_field(2, rest_us * 1000)
    name = hashlib.blake2b(key.encode(), digest_size=_ID_BYTES).hexdigest()
    return bytes_field(5, number_field(1, given) + bytes_field(2, until) + bytes_field(3, name.encode()))
