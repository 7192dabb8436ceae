"""The curves of a result as SVG files: the median of all rounds, and between which values the rounds lay.

The same result gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost_base.errors import BorderpostError

_WIDTH_INCHES, _HEIGHT_INCHES = 6.4, 3.2
_SETTINGS: Any = {
    "svg.hashsalt": "borderpost", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def write_plots(document: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write one file for each experiment with curves, one panel a curve; return their paths.

    Raises BorderpostError BP0923 if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise BorderpostError("BP0923", "`matplotlib` is not installed") from error
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(_SETTINGS):
        for one in document["experiments"]:
            if one["curves"]:
                path = directory / f"{one['name'].replace('@', '-')}.svg"
                _draw(one, path)
                written.append(path)
    return written


def _draw(experiment: Mapping[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure  # not pyplot: no display, no state that outlives this

    curves = list(experiment["curves"].values())
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), squeeze=False)[:, 0]
    figure.suptitle(experiment["title"])
    for panel, curve in zip(panels, curves, strict=True):
        x = [point["x"] for point in curve["points"]]
        panel.fill_between(
            x, [point["min"] for point in curve["points"]], [point["max"] for point in curve["points"]], alpha=0.25
        )
        panel.plot(x, [point["median"] for point in curve["points"]], marker="o")
        panel.set_xlabel(curve["x"])
        panel.set_ylabel(curve["y"])
        panel.set_ylim(bottom=0)
        if curve["logarithmic"]:
            panel.set_xscale("log")
        panel.grid(alpha=0.3)
    figure.savefig(path, format="svg", metadata={"Date": None})
