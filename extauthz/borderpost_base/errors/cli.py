"""Errors of area 00: the command line."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0001",
        "internal error",
        "Borderpost met a state its authors did not foresee.",
        "Report the traceback that stands above this line; nothing was changed.",
    ),
    ErrorSpec(
        "BP0002",
        "no such error code",
        "The code is not in this version's registry.",
        "List the codes with `borderpost help --errors`.",
    ),
    ErrorSpec(
        "BP0003",
        "file cannot be read",
        "The file is missing, is a directory, or may not be read by this user.",
        "Check the path and its permissions.",
    ),
    ErrorSpec(
        "BP0004",
        "wrong argument",
        "An argument of the command line does not have the form that the option needs.",
        "Look at `borderpost COMMAND --help`.",
    ),
    ErrorSpec(
        "BP0005",
        "gateway does not answer",
        "Nothing answers at the admin address of this configuration: the gateway is not running, or runs with "
        "another configuration.",
        "Start it with `borderpost serve`, or name its configuration with `--config`.",
    ),
)
