"""Measure it on this machine, through a real Envoy: requests a second, latency, CPU and log bytes a decision.

    borderpost bench --runs 5 --result after.json
    borderpost bench compare before.json after.json
    borderpost bench report after.json --markdown after.md --plots plots

Needs the load generators wrk and h2load; what needs Go is left out, with the reason, where there is none. A measuring
run exits with 0 if every answer was legal and on record, else 1. A comparison exits with 0 if no figure is worse, with
1 if one is, with 2 if the results cannot be compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, FINDINGS, Output

if TYPE_CHECKING:
    from borderpost_bench.compare import Comparison


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from borderpost_bench.arguments import add_arguments, add_files

    add_arguments(parser)
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="compare|report", help="what to do with recorded results")
    compare = actions.add_parser("compare", description="Compare two recorded results, before and after.")
    compare.add_argument("before", type=Path, help="a file written by --result or --json")
    compare.add_argument("after", type=Path, help="another")
    compare.add_argument(
        "--ratios", action="store_true", help="only ratios inside a run, which hold from machine to machine"
    )
    add_json(compare)
    report = actions.add_parser("report", description="Show a recorded result again, and write its tables and plots.")
    report.add_argument("recorded", type=Path, help="a file written by --result or --json")
    add_files(report)
    add_json(report)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the bench, or make something of its results."""
    if arguments.action == "compare":
        return _compare(arguments, output)
    from borderpost_bench.compare import read_result
    from borderpost_bench.main import measured, write_files
    from borderpost_bench.table import markdown

    if arguments.action == "report":
        document = read_result(arguments.recorded)
        write_files(document, arguments)
    else:
        document = measured(arguments)
    if output.as_json:
        output.result(document)
    elif output.stdout.isatty():
        _draw(document, output)
    else:
        output.data(markdown(document).rstrip())
    return CLEAN if document["passed"] else FINDINGS


def _draw(document: Mapping[str, Any], output: Output) -> None:
    """Draw what fits into a terminal; the whole table is what `--markdown` writes."""
    from borderpost_bench.table import brief, verdicts

    if document["scenarios"]:
        output.table(*brief(document), title="Scenarios (medians)")
    if document["targets"]:
        output.table(*verdicts(document), title="What must be reached")
    for name, reason in document["skipped"].items():
        output.note(f"not measured: {name}: {reason}")
    passed = document["passed"]
    word = output.paint("passed", "green") if passed else output.paint("FAILED", "red")
    output.note(f"all checks: {word}")


def _compare(arguments: argparse.Namespace, output: Output) -> int:
    from borderpost_bench.compare import compare, read_result

    made = compare(read_result(arguments.before), read_result(arguments.after), ratios_only=arguments.ratios)
    if output.as_json:
        output.result(made.as_dict())
    else:
        _tell(made, output)
    return FINDINGS if made.worse else CLEAN


def _tell(made: Comparison, output: Output) -> None:
    from borderpost_bench.table import difference_rows

    for text in made.unlike:
        output.note(f"{output.paint('warning:', 'yellow')} not alike: {text}")
    output.table(("measured", "figure", "before", "after", "change", "verdict"), difference_rows(made.differences))
    for word, names in (("before", made.only_before), ("after", made.only_after)):
        if names:
            output.note(f"measured only {word}: {', '.join(names)}")
