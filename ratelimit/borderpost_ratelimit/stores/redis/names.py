"""What counters are called in the server.

    <prefix><key>:29384724          fixed window number 29384724 since the Unix epoch
    <prefix><key>1763083440         the same in envoyproxy/ratelimit's style: by the second it begins at
    <prefix><key>:1.60000000        a bucket, by what a tick is: one whose rate has changed begins full
    <prefix><key>                   anything else
    <prefix>{<domain>}<key>…        where all counters of a domain are to lie in one slot of a Cluster

A key that leaves its region is replaced by its hash.
"""

from __future__ import annotations

import hashlib
from typing import Final

from borderpost_ratelimit.algorithms.token_bucket import BucketTerms
from borderpost_ratelimit.charges import Charge
from borderpost_ratelimit.limits import SECOND_US

_HASH_BYTES: Final = 20
"""160 bits: two keys share a counter by chance once there are some 2^80."""


class Names:
    """Names counters for one store."""

    def __init__(
        self, prefix: str, *, secret: bytes | None = None, by_domain: bool = False, by_second: bool = False
    ) -> None:
        """`secret` has every key replaced by its hash under it; `by_domain` puts all counters of a domain into one
        slot of a Cluster; `by_second` is envoyproxy/ratelimit's style."""
        self._prefix = prefix.encode()
        self._secret = secret
        self._by_domain = by_domain
        self._by_second = by_second

    def window(self, charge: Charge, number: int) -> bytes:
        """Return the name of a fixed window's counter; `number` counts windows since the Unix epoch."""
        if self._by_second:
            return b"%b%d" % (self.plain(charge), number * charge.limit.window_us // SECOND_US)
        return b"%b:%d" % (self.plain(charge), number)

    def bucket(self, charge: Charge, terms: BucketTerms) -> bytes:
        """Return the name of a bucket."""
        return b"%b:%d.%d" % (self.plain(charge), terms.ticks_per_us, terms.hit_ticks)

    def plain(self, charge: Charge) -> bytes:
        """Return the name of a counter that has but one."""
        key = charge.key.encode("utf-8", "surrogatepass")
        if self._secret is not None:
            key = self._hash(key)
        if self._by_domain:
            return b"%b{%b}%b" % (self._prefix, self._tag(charge.limit.domain), key)
        return self._prefix + key

    def _tag(self, domain: str) -> bytes:
        tag = domain.encode("utf-8", "surrogatepass")
        if self._secret is not None or not tag or tag.startswith(b"}"):  # `{}` would be no hash tag
            return self._hash(tag)
        return tag

    def _hash(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, digest_size=_HASH_BYTES, key=self._secret or b"").hexdigest().encode()
