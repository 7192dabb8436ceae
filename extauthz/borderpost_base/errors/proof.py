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
    ErrorSpec(
        "BP1210",
        "a test proves nothing",
        "A case expects nothing, a file has no case, or a request says what the configuration does not read: whatever "
        "the policy says, the test would pass.",
        "Say what shall hold, or take the case out.",
    ),
    ErrorSpec(
        "BP1211",
        "too many cases",
        "The lists under `each` multiply: the cases of one file are more than one run goes through.",
        "Split the file, or let `borderpost policy prove` go through all kinds of requests.",
    ),
    ErrorSpec(
        "BP1260",
        "nothing that `policy fmt` lays out",
        "It lays out YAML files that people write. A JSON file, such as a signed event, would no longer be JSON.",
        "Leave the file out.",
    ),
    ErrorSpec(
        "BP1261",
        "formatting would change the file's content",
        "What would have been written was read again and is not what the file says. This is a mistake of the program; "
        "nothing was written.",
        "Leave the file as it is, and report it with the file.",
    ),
)
