"""Errors of area 01: the configuration file."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0101",
        "not valid YAML",
        "The file does not parse as YAML 1.2.",
        "Look at the line named; quotes, indentation and tabs are the usual cause.",
    ),
    ErrorSpec(
        "BP0102",
        "unknown key",
        "The key is not part of the schema; a silent typo would be a silent gap.",
        "Remove the key or correct its spelling; `borderpost schema` lists every key.",
    ),
    ErrorSpec("BP0103", "missing key", "The schema requires this key.", "Add the key."),
    ErrorSpec(
        "BP0104", "wrong value", "The value does not fit the key.", "Give a value of the kind the message names."
    ),
    ErrorSpec(
        "BP0105",
        "duplicate key",
        "A mapping names the same key twice; YAML readers disagree on which one wins.",
        "Keep one of the two.",
    ),
    ErrorSpec(
        "BP0106",
        "file too large or too deep",
        "The file exceeds a bound that protects the loader.",
        "Split the file, or remove anchors that expand without bound.",
    ),
    ErrorSpec(
        "BP0107",
        "unknown environment variable",
        "A BORDERPOST_ variable names no configuration key.",
        "Unset it or correct its name; `borderpost help --variables` lists them.",
    ),
    ErrorSpec(
        "BP0108",
        "one name for two things",
        "Two entries claim the same name, and which of them it stands for would be chance.",
        "Give each of the two a name of its own.",
    ),
    ErrorSpec(
        "BP0109",
        "unknown sink",
        "A section names a sink that is not described: nobody could say whether the law allows its place.",
        "Describe it under `sinks`: country, operator, contracts.",
    ),
    ErrorSpec(
        "BP0110",
        "location unknown",
        "It is not said where a region keeps what it is sent, or where its telemetry goes. Unknown counts as anywhere, "
        "which no regime that denies by default allows.",
        "Read the provider's contract and set `retention` and `telemetry` of the region, or `region_defaults`.",
    ),
)
