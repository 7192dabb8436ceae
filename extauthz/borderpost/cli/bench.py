"""Measure it on this machine, through a real Envoy: requests a second, latency, CPU and log bytes a decision.

Needs the load generators wrk and h2load. Exit 0: every answer was legal and on record; 1: one was not.
"""

from __future__ import annotations

import argparse

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, FINDINGS, Output


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from borderpost_bench.main import add_arguments

    add_arguments(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the bench."""
    from borderpost_bench.main import measured
    from borderpost_bench.table import markdown

    document = measured(arguments)
    if output.as_json:
        output.result(document)
    else:
        output.data(markdown(document).rstrip())
    return CLEAN if document["passed"] else FINDINGS
