"""How a run goes on, told on stderr: a bar in a terminal, a line for each measurement anywhere."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from borderpost_bench.experiment import Round
from borderpost_bench.measure import Sample


class Teller:
    """Tells of each measurement of a run; use it as a context."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        console = Console(file=self._stream, no_color=bool(os.environ.get("NO_COLOR")) or None)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True, disable=not self._stream.isatty(),
        )  # fmt: skip
        self._bar = self._progress.add_task("", total=None)

    def __enter__(self) -> Teller:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, measurements: int) -> None:
        """Learn how many measurements there will be."""
        self._progress.update(self._bar, total=measurements)

    def skipped(self, name: str, reason: str) -> None:
        """Tell of something that cannot be measured here."""
        self._line(f"not measured: {name}: {reason}")

    def begins(self, number: int, name: str) -> None:
        """Show what is being measured."""
        self._progress.update(self._bar, description=f"round {number}  {name}")

    def sampled(self, number: int, name: str, sample: Sample) -> None:
        """Tell of a scenario."""
        parts = [f"{number} {name:<24}{sample.requests_s:>9,.0f} req/s  p99 {sample.p99_ms:.1f} ms"]
        if sample.server_cpu_us is not None:
            parts.append(f"server {sample.server_cpu_us:.1f} µs")
        if sample.too_late:
            parts.append(f"INVALID: the generator was {sample.late_p99_ms} ms late")
        if sample.check is not None and not sample.check.passed:
            parts.append(f"CHECK FAILED {sample.check}")
        if sample.judgement is not None and not sample.judgement.passed:
            parts.append(f"CHECK FAILED {'; '.join(sample.judgement.wrong)}")
        if sample.failed:
            parts.append(f"{sample.failed} FAILED")
        self._done("  ".join(parts))

    def tried(self, number: int, name: str, found: Round) -> None:
        """Tell of an experiment."""
        figures = ", ".join(f"{figure} {value:,.4g}" for figure, value in found.figures.items())
        self._done("  ".join([f"{number} {name:<24}{figures}", *found.faults]))

    def _done(self, text: str) -> None:
        self._line(text)
        self._progress.advance(self._bar)

    def _line(self, text: str) -> None:
        if self._stream.isatty():
            self._progress.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self._stream, flush=True)
