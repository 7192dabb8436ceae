"""What counters are called in the server.

    <prefix><key>:29384724          fixed window number 29384724 since the Unix epoch
    <prefix><key>1763083440         the same in envoyproxy/ratelimit's style: by the second it begins at
    <prefix><key>:1.60000000        a bucket, by what a tick is: one whose rate has changed begins full
    <prefix><key>                   anything else
    <prefix>{<key>}…                in a Cluster: all windows of a counter lie in one slot
    <prefix>{<domain>}<key>…        in a Cluster, where all counters of a domain are to lie in one slot

A key that leaves its region is replaced by its hash.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from borderpost_ratelimit.algorithms.token_bucket import BucketTerms, terms_of
from borderpost_ratelimit.charges import Charge
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Unit

_LENGTHS_US: Final = tuple(unit.length_us for unit in Unit if unit is not Unit.UNKNOWN)
_HASH_BYTES: Final = 20
"""160 bits: two keys share a counter by chance once there are some 2^80."""


class Names:
    """Names counters for one store."""

    def __init__(
        self,
        prefix: str,
        *,
        secret: bytes | None = None,
        by_second: bool = False,
        tag: Literal["key", "domain"] | None = None,
    ) -> None:
        """`secret` has every key replaced by its hash under it. `by_second` is envoyproxy/ratelimit's style. `tag` is
        what is in the braces that choose a Cluster's slot."""
        self._prefix = prefix.encode()
        self._secret = secret
        self._tag = tag
        self._by_second = by_second

    def window(self, charge: Charge, number: int) -> bytes:
        """Return the name of a fixed window's counter; `number` counts windows since the Unix epoch."""
        if self._by_second:
            return b"%b%d" % (self.plain(charge), number * charge.limit.window_us // SECOND_US)
        return b"%b:%d" % (self.plain(charge), number)

    def kept_until_us(self, charge: Charge, number: int) -> int:
        """Return when a fixed window's counter may go.

        By second, windows of different lengths share a counter where they begin at the same one, as a request's own
        limit by the minute and its rule by the hour can. So it stays for the longest of them that there may be.
        """
        window_us = charge.limit.window_us
        begin_us = number * window_us
        if self._by_second:
            window_us = max([window_us, *[length for length in _LENGTHS_US if begin_us % length == 0]])
        return begin_us + window_us

    def bucket(self, charge: Charge, terms: BucketTerms) -> bytes:
        """Return the name of a bucket."""
        return b"%b:%d.%d" % (self.plain(charge), terms.ticks_per_us, terms.hit_ticks)

    def plain(self, charge: Charge) -> bytes:
        """Return the name of a counter that has but one."""
        key = charge.key.encode("utf-8", "surrogatepass")
        if self._secret is not None:
            key = self._hash(key)
        if self._tag == "domain":
            return b"%b{%b}%b" % (self._prefix, self._tagged(charge.limit.domain), key)
        if self._tag == "key" and not self._by_second:
            return b"%b{%b}" % (self._prefix, self._hash(key) if _is_no_tag(key) else key)
        return self._prefix + key

    def place(self, charge: Charge, now_us: int) -> bytes:
        """Return what chooses the slot of a charge's counter; `now_us` chooses it only in envoyproxy's style."""
        if self._by_second and self._tag != "domain" and charge.limit.algorithm is Algorithm.FIXED_WINDOW:
            return self.window(charge, now_us // charge.limit.window_us)
        if charge.limit.algorithm is Algorithm.TOKEN_BUCKET:
            return self.bucket(charge, terms_of(charge.limit))
        return self.plain(charge)

    def _tagged(self, domain: str) -> bytes:
        tag = domain.encode("utf-8", "surrogatepass")
        return self._hash(tag) if self._secret is not None or _is_no_tag(tag) else tag

    def _hash(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, digest_size=_HASH_BYTES, key=self._secret or b"").hexdigest().encode()


def _is_no_tag(text: bytes) -> bool:
    """Return whether braces around it would hold nothing, and choose no slot."""
    return not text or text.startswith(b"}")
