"""Where programs that are built on this machine are kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(part: str) -> Path:
    """Return the folder of one part of ours in the user's cache (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "borderpost" / part
