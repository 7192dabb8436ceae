"""Errors of area 11: counting for threshold laws."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1101",
        "the count cannot be kept",
        "The file in `counters.directory` is damaged, or cannot be read or written. A gateway that counted "
        "from 0 again would take a threshold for far away that has been reached.",
        "See to the disk. Make a damaged count anew with `borderpost counters rebuild --log`, while no gateway runs.",
    ),
    ErrorSpec(
        "BP1102",
        "the fleet's count cannot be had",
        "The Redis server of `counters.redis` does not answer, refuses, or holds under this key what no "
        "gateway writes. This gateway goes on counting, and takes the others to count as fast as it does.",
        "Bring the server back. What each gateway counted meanwhile is written then; nothing is lost.",
    ),
    ErrorSpec(
        "BP1103",
        "a worker's count cannot be used",
        "The file below `runtime.directory` in which a worker counts cannot be made, has no room, or is of another "
        "version. What cannot be counted is refused.",
        "Stop Borderpost, remove `tally` below `runtime.directory`, and start it again; what was counted there and not "
        "yet saved comes back with `borderpost counters rebuild --log`.",
    ),
    ErrorSpec(
        "BP1104",
        "the count is in use",
        "A running gateway keeps its count in this directory. A second one, or a count made from the log, would be "
        "written over by it.",
        "Give each gateway a `counters.directory` of its own. To rebuild, stop the gateway first.",
    ),
)
