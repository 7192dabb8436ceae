"""Have a running gateway take its changed configuration, and say what came of it. No request fails meanwhile.

The same as SIGHUP, but it waits. Law, regions and ranking reach the workers as a snapshot; if workers have to be
started anew for what has changed (the engine, the audit log's settings, certificates…), they are, one after another,
each serving before the one it replaces goes. A configuration with a mistake changes nothing.

Exit 0: done. Exit 1: refused, or a worker was not replaced; the one before it serves on. Exit 2: could not ask.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost.runtime_directory import ReloadOutcome, steward_of
from borderpost_base.errors import BorderpostError, Place

_POLL_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--workers", action="store_true", help="start every worker anew, whatever has changed")
    parser.add_argument(
        "--wait-s", type=float, default=120.0, metavar="SECONDS", help="longest wait for the outcome (default: 120)"
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the steward that holds the configuration's runtime directory, and wait for the outcome."""
    runtime = load(arguments).config.runtime.directory
    steward = steward_of(runtime)
    before = ReloadOutcome.read(runtime)
    try:
        os.kill(steward, signal.SIGUSR2 if arguments.workers else signal.SIGHUP)
    except OSError as error:
        raise BorderpostError("BP0609", f"process {steward}: {error.strerror}", place=Place(str(runtime))) from error
    outcome = _await(runtime, before.number if before is not None else 0, arguments.wait_s)
    if output.as_json:
        told = {"configuration": outcome.configuration, "workers": outcome.workers}
        output.result({**told, "errors": list(outcome.problems)})
    else:
        output.data(f"configuration: {outcome.configuration}")
        output.data(f"workers: {outcome.workers}")
        output.errors([_error(problem) for problem in outcome.problems])
    return FINDINGS if outcome.problems else CLEAN


def _await(runtime: Path, number: int, wait_s: float) -> ReloadOutcome:
    until_s = time.monotonic() + wait_s
    while time.monotonic() < until_s:
        outcome = ReloadOutcome.read(runtime)
        if outcome is not None and outcome.number > number:
            return outcome
        steward_of(runtime)  # raises if it has gone
        time.sleep(_POLL_S)
    raise BorderpostError("BP0609", f"no outcome within {wait_s:g} s", place=Place(str(runtime)))


def _error(told: dict[str, object]) -> BorderpostError:
    place = told["place"]
    assert isinstance(place, dict)
    return BorderpostError(str(told["code"]), str(told["detail"]), place=Place(**place), mend=str(told["mend"]))
