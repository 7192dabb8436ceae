"""What code decided: the version and a digest of the deciding modules, as records name it.

Replay needs to know which engine made a record. The digest covers the source of every module whose change
may change a decision or its record, so two builds of one version that differ are told apart.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from borderpost.version import __version__

_DECIDING = ("decision.py", "facts.py", "facts", "geoip", "policy", "regions", "audit", "decision_record.py")


@cache
def engine_identity() -> str:
    """Return `<version>+sha256:<hex>` over the deciding modules, in order of their names."""
    digest = hashlib.sha256()
    for name, data in sorted(_sources()):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return f"{__version__}+sha256:{digest.hexdigest()}"


def _sources() -> list[tuple[str, bytes]]:
    root = resources.files("borderpost")
    found = []
    for name in _DECIDING:
        entry = root / name
        if entry.is_file():
            found.append((name, entry.read_bytes()))
        elif entry.is_dir():
            found += [
                (f"{name}/{child.name}", child.read_bytes()) for child in entry.iterdir() if child.name.endswith(".py")
            ]
    return found
