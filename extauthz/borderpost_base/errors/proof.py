"""Errors of area 12: proofs, comparisons, tests, exports and checks of law before traffic."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1201",
        "an assertion cannot be read",
        "An assertion names a region, group, data class, tenant or basis that the configuration does not have, or "
        "claims nothing. It would hold whatever the policy says.",
        "Correct the name, or take the assertion out.",
    ),
    ErrorSpec(
        "BP1202",
        "the policy tells too many requests apart",
        "The atoms, kinds of requests that the law tells apart, are more than one run goes through.",
        "Ask about less: a shorter time (`--from`, `--until`), or fewer packs.",
    ),
)
