"""The script as servers get it: `take.lua` behind its constants, each of which has its home in Python."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from borderpost_base.limits import LIMITER_HOLDS_EXPIRED_MAX, LIMITER_HOLDS_MAX
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX
from borderpost_ratelimit.stores.redis.batch import GRACE_US

_CONSTANTS: Final = {
    "COUNT_MAX": COUNT_MAX,
    "GRACE_US": GRACE_US,
    "HOLDS_MAX": LIMITER_HOLDS_MAX,
    "HOLDS_EXPIRED_MAX": LIMITER_HOLDS_EXPIRED_MAX,
}
SCRIPT: Final = (
    f"local {', '.join(_CONSTANTS)} = {', '.join(str(value) for value in _CONSTANTS.values())}\n".encode()
    + resources.files("borderpost_ratelimit.stores.redis").joinpath("take.lua").read_bytes()
)
DIGEST: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
"""By which a server knows a script that it has been given."""
