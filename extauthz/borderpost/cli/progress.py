"""A progress bar on stderr for work over many bytes, drawn only where somebody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from borderpost.cli.output import Output, wants_colour

Progress = Callable[[int, int], None]
"""Told how many bytes are done, of how many."""


@contextmanager
def reading_bar(output: Output, what: str, *, wanted: bool = True) -> Iterator[Progress | None]:
    """Give a callback that draws a bar, or None where nobody would see it."""
    if not wanted or not output.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(file=output.stderr, no_color=not wants_colour(output.stderr))
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done_bytes, total_bytes: bar.update(task, completed=done_bytes, total=total_bytes)
