"""Measure requests a second, latency, CPU and log bytes through a real Envoy, and check every answer against the log.

Scenarios run in turn, round after round, each on a stage of its own that ends with it. Only ratios inside one run
say something: the pace of a machine changes from day to day. Exit 0: every check passed; 1: one did not.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from borderpost_base.errors import BorderpostError, Problems
from borderpost_bench.experiment import Round
from borderpost_bench.machine import facts, need_disk
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.plan import NAMES, choose, possible
from borderpost_bench.report import result
from borderpost_bench.rounds import measure_all
from borderpost_bench.table import markdown
from borderpost_wire.engines import ENGINE_NAMES

_RUNS_MAX, _SECONDS_MAX, _CONNECTIONS_MAX = 50, 300, 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, for `python -m borderpost_bench` and `borderpost bench` alike."""
    defaults = Settings()
    parser.add_argument("--runs", type=_count(_RUNS_MAX), default=defaults.runs, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=_count(_SECONDS_MAX), default=round(defaults.seconds),
        help="length of each load (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--connections", type=_count(_CONNECTIONS_MAX), default=defaults.connections,
        help="connections to Envoy, each with one request in flight (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--scenario", action="append", choices=NAMES, metavar="NAME", default=[],
        help=f"only this one, may be repeated: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--engine", action="append", choices=ENGINE_NAMES, default=[],
        help="run our own scenarios on this engine, may be repeated (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--directory", type=Path, default=defaults.directory, metavar="DIR",
        help="where logs are written while it runs; on a disk (default: the system's directory for temporary files)",
    )  # fmt: skip
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure as the arguments say; write the table if asked; return the result as JSON-ready data.

    Raises BorderpostError where something is missing or cannot be started.
    """
    settings = Settings(
        runs=arguments.runs,
        seconds=arguments.seconds,
        connections=arguments.connections,
        directory=arguments.directory,
    )
    need_disk(settings.directory)
    plan, skipped = possible(choose(arguments.scenario, arguments.engine), settings, _skipped)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    machine = facts(settings.directory)
    taken = measure_all(plan, settings, _Lines())
    document = result(
        taken, settings, command=_command(arguments), when=when, machine=machine, skipped=skipped
    )  # fmt: skip
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(document))
    return document


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code: 0 clean, 1 a check failed, 2 could not run."""
    parser = argparse.ArgumentParser(
        prog="python -m borderpost_bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result")
    arguments = parser.parse_args(argv)
    try:
        document = measured(arguments)
    except (BorderpostError, Problems) as error:
        for one in error.errors if isinstance(error, Problems) else (error,):
            print(f"error[{one.code}]: {one.spec.title}\n  {one.detail}\n  hint: {one.mend}", file=sys.stderr)
        return 2
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(markdown(document), end="")
    return 0 if document["passed"] else 1


class _Lines:
    """Tells on stderr how each measurement went, a line each."""

    def begins(self, number: int, name: str) -> None:
        """Say nothing: lines are for what is done."""

    def sampled(self, number: int, name: str, sample: Sample) -> None:
        """Tell of a scenario."""
        parts = [f"{number} {name:<24}{sample.requests_s:>9,.0f} req/s  p99 {sample.p99_ms:.1f} ms"]
        if sample.server_cpu_us is not None:
            parts.append(f"server {sample.server_cpu_us:.1f} µs")
        if sample.check is not None and not sample.check.passed:
            parts.append(f"CHECK FAILED {sample.check}")
        if sample.failed:
            parts.append(f"{sample.failed} FAILED")
        print("  ".join(parts), file=sys.stderr, flush=True)

    def tried(self, number: int, name: str, found: Round) -> None:
        """Tell of an experiment."""
        figures = ", ".join(f"{figure} {value:,.4g}" for figure, value in found.figures.items())
        print("  ".join([f"{number} {name:<24}{figures}", *found.faults]), file=sys.stderr, flush=True)


def _skipped(name: str, reason: str) -> None:
    print(f"not measured: {name}: {reason}", file=sys.stderr, flush=True)


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that measures the same again."""
    words = ["python", "-m", "borderpost_bench", "--runs", str(arguments.runs), "--seconds", str(arguments.seconds)]
    words += ["--connections", str(arguments.connections)]
    words += [word for name in arguments.scenario for word in ("--scenario", name)]
    words += [word for name in arguments.engine for word in ("--engine", name)]
    return shlex.join(words)


class _Count:
    """An argument from 1 to a bound, so that a slip of a finger does not load a machine for hours."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= number <= self._most:
            raise argparse.ArgumentTypeError(f"`{text}` is not a number from 1 to {self._most}")
        return number


def _count(most: int) -> _Count:
    return _Count(most)
