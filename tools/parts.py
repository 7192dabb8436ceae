"""Pages of which parts are made and the rest is written by hand.

A part stands between `<!-- made from NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_PART = re.compile(r"(<!-- made from (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(root: Path, page: Path, parts: Mapping[str, Callable[[], list[str]]]) -> dict[Path, bytes]:
    """Return the page with its parts brought up to date: {path relative to the repository: content}.

    Raises KeyError for a part that nothing makes.
    """
    text = (root / page).read_text(encoding="utf-8")
    made = _PART.sub(lambda found: "\n".join([found[1], *parts[found[2]](), found[3]]), text)
    return {page: made.encode()}
