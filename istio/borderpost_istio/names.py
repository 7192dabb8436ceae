"""Names of rendered objects: always the same for the same thing, and always ones that Kubernetes takes."""

from __future__ import annotations

import hashlib
import re

from borderpost_istio.kinds import is_name

PREFIX = "borderpost"
"""How the name of every object of ours begins."""
_DIGEST_CHARACTERS = 8


def object_name(*parts: str) -> str:
    """Return `borderpost-PART-PART…`; a part that cannot stand in a name is spelt so that it can, with a digest.

    Two parts that would be spelt the same (`eu_1`, `eu-1`) so keep two names.
    """
    plain = "-".join((PREFIX, *parts))
    if is_name(plain) and "_" not in plain:
        return plain
    spelt = re.sub(r"[^a-z0-9.-]", "-", plain.lower())
    spelt = re.sub(r"[.-]*\.[.-]*", ".", spelt)[:200].strip("-.")
    return f"{spelt}-{hashlib.sha256(plain.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"
