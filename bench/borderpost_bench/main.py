"""Measure requests a second, latency, CPU and log bytes through a real Envoy, and check every answer against the log.

Scenarios and experiments run in turn, round after round, each on a stage of its own that ends with it. Only ratios
inside one run say something: the pace of a machine changes from day to day. Exit 0: every check passed; 1: one did
not.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from borderpost_base.errors import BorderpostError, Problems
from borderpost_bench.arguments import add_arguments, command_of, settings_of
from borderpost_bench.machine import facts, need_disk
from borderpost_bench.plan import choose, possible, unasked
from borderpost_bench.plots import write_plots
from borderpost_bench.report import result
from borderpost_bench.rounds import measure_all
from borderpost_bench.table import markdown
from borderpost_bench.telling import Teller


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure as the arguments say; write the files that they name; return the result as JSON-ready data.

    Raises BorderpostError where something is missing or cannot be started.
    """
    settings = settings_of(arguments)
    need_disk(settings.directory)
    # Ended from outside, it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with Teller() as teller:
        plan, skipped = possible(choose(arguments.scenario, arguments.engine), settings, teller.skipped)
        teller.expect(plan.measurements(settings.runs))
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        machine = facts(settings.directory)
        taken = measure_all(plan, settings, teller)
    document = result(
        taken, settings, command=command_of(arguments), when=when, machine=machine, skipped=skipped,
        unasked=() if arguments.scenario else unasked(),
    )  # fmt: skip
    if arguments.result is not None:
        arguments.result.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_files(document, arguments)
    return document


def write_files(document: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Write the tables and plots of a result where the arguments want them. Raises BorderpostError BP0923."""
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(document))
    if arguments.plots is not None:
        write_plots(document, arguments.plots)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code: 0 clean, 1 a check failed, 2 could not run."""
    parser = argparse.ArgumentParser(
        prog="python -m borderpost_bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        document = measured(arguments)
    except (BorderpostError, Problems) as error:
        for one in error.errors if isinstance(error, Problems) else (error,):
            print(f"error[{one.code}]: {one.spec.title}\n  {one.detail}\n  hint: {one.mend}", file=sys.stderr)
        return 2
    print(markdown(document), end="")
    return 0 if document["passed"] else 1
