"""Errors of area 07: regions and probes."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0701",
        "unusable probe target",
        "A probe needs an address and a path that can stand in a request as they are.",
        "Write `host:port`, `[2001:db8::1]:port`, and a path such as `/health`.",
    ),
    ErrorSpec(
        "BP0702",
        "contradictory ranking settings",
        "Two settings of the ranking section do not go together.",
        "Change the one that the message names.",
    ),
    ErrorSpec(
        "BP0703",
        "ranking of an unknown region",
        "A probe or a latency figure names a region that the catalogue does not have, so it would never count.",
        "Correct the id, or add the region under `regions`.",
    ),
    ErrorSpec(
        "BP0704",
        "latency of an unknown area",
        "An area of `latency_ms` is neither a country, a subdivision, a group of the policy, nor `*`.",
        "Use an ISO 3166 code, a group's name, or `*`.",
    ),
    ErrorSpec(
        "BP0705",
        "signals or ranking table cannot be read",
        "A snapshot or an audit input does not have the shape that this version writes.",
        "Restart the steward so that it publishes a new snapshot; for a log, use the version that wrote it.",
    ),
)
