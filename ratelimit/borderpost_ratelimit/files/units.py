"""Units of time by the words of limits files."""

from __future__ import annotations

import difflib

from borderpost_ratelimit.limits import Unit

UNIT_WORDS = tuple(unit.name.lower() for unit in Unit if unit is not Unit.UNKNOWN)
"""As limits files write them; in any case."""


def unit_of(word: str) -> Unit:
    """Return the unit; UNKNOWN if it is none."""
    return Unit.__members__.get(word.upper(), Unit.UNKNOWN)


def near_unit(word: str) -> str:
    """Return a mend that names the nearest unit, or all of them."""
    near = difflib.get_close_matches(word.lower(), UNIT_WORDS, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"units are: {', '.join(UNIT_WORDS)}"
