"""Where h2spec, written for RFC 7540, and RFC 9113 differ, and which of the two the wire engine follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the two differ."""

    cases: str
    """h2spec's cases."""
    rfc_7540: str
    rfc_9113: str
    here: str


DIFFERENCES = (
    Difference(
        "http2/5.3.1 1, 2: a stream that depends on itself",
        "section 5.3.1: a stream error",
        "section 5.3.2: priorities are deprecated, nothing is demanded of their content",
        "as RFC 7540 had it: a connection error, since no client sends it. Priorities are ignored otherwise",
    ),
    Difference(
        "whatever opens stream 31: h2spec acknowledges SETTINGS_HEADER_TABLE_SIZE 0 and goes on without a size update",
        "RFC 7541 section 4.2 wants the update of the encoder; nobody has to check",
        "section 4.3.1: a block without it is a COMPRESSION_ERROR",
        "as RFC 9113 has it; the setting is sent with stream 31, so that simple clients, h2spec among them, never "
        "meet it",
    ),
)


def as_markdown() -> str:
    """Return the table for people."""
    lines = ["| h2spec | RFC 7540 | RFC 9113 | here |", "|---|---|---|---|"]
    lines += [f"| {each.cases} | {each.rfc_7540} | {each.rfc_9113} | {each.here} |" for each in DIFFERENCES]
    return "\n".join(lines) + "\n"
