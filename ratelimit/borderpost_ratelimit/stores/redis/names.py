"""What counters are called in the server.

    borderpost:{<key>}:29384724            fixed window number 29384724 since the Unix epoch
    <prefix><key>1763083440                the same in envoyproxy/ratelimit's style: by the second it begins at

The braces are a Cluster's hash tag: all that belongs to a counter lies in one slot. A key that is very long, or that
leaves its region, is replaced by its hash.
"""

from __future__ import annotations

import hashlib
from typing import Final

from borderpost_ratelimit.charges import Charge
from borderpost_ratelimit.limits import SECOND_US

KEY_BYTES_MAX: Final = 256
"""A longer key is replaced by its hash, so that 64 KB of a header take no 64 KB of the server's memory."""
_HASH_BYTES: Final = 20
"""160 bits: two keys share a counter by chance in one of 2^80 keys."""


class Names:
    """Names counters for one store."""

    def __init__(
        self, prefix: str, *, secret: bytes | None = None, by_domain: bool = False, by_second: bool = False
    ) -> None:
        """`secret` has every key replaced by its hash under it; `by_domain` puts all counters of a domain into one
        slot of a Cluster; `by_second` is envoyproxy/ratelimit's style."""
        self._prefix = prefix.encode()
        self._secret = secret or b""
        self._hashed = secret is not None
        self._by_domain = by_domain
        self._by_second = by_second

    def base(self, charge: Charge) -> bytes:
        """Return what all names of a charge's counter begin with."""
        key = charge.key.encode("utf-8", "surrogatepass")
        if self._hashed or len(key) > KEY_BYTES_MAX:
            key = self._hash(key)
        if self._by_second:
            return self._prefix + key
        if self._by_domain:
            domain = charge.limit.domain.encode("utf-8", "surrogatepass")
            tag = self._hash(domain) if self._hashed or len(domain) > KEY_BYTES_MAX else domain
            return b"%b{%b}%b:" % (self._prefix, tag, key)
        return b"%b{%b}:" % (self._prefix, key)

    def window(self, charge: Charge, number: int) -> bytes:
        """Return the name of a fixed window's counter; `number` counts windows since the Unix epoch."""
        if self._by_second:
            return b"%b%d" % (self.base(charge), number * charge.limit.window_us // SECOND_US)
        return b"%b%d" % (self.base(charge), number)

    def _hash(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, digest_size=_HASH_BYTES, key=self._secret).hexdigest().encode()
