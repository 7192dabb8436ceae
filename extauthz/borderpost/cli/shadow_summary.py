"""Sum up a log: what would have been refused or moved on observed routes, and on which requests a shadow differs.

    borderpost shadow-summary run/audit
    borderpost shadow-summary run/audit --from 2026-11-21 --json

The log is verified first. Exit 0: nothing would have changed. 1: something would, or nobody knows where requests went.
2: the log cannot be read or does not verify, or nothing in it was observed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost.cli.progress import reading_bar
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.foresight.log import LogTraffic


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("log", type=Path, metavar="DIR", help="an audit directory or a stream of it")
    parser.add_argument("--from", dest="from_", metavar="TIME", help="only decisions from then on")
    parser.add_argument("--to", metavar="TIME", help="only decisions before then")
    parser.add_argument("--unverified", action="store_true", help="go on with a log that does not verify")
    parser.add_argument("--rows", type=int, default=10, metavar="N", help="rows shown of each list (default: 10)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, also in a terminal")
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Verify, sum up, report."""
    from borderpost.foresight.observed import summarise

    if arguments.rows < 1:
        raise BorderpostError("BP0004", "show one row at least", place=Place("--rows"))
    log = _open(arguments, output)
    summary = summarise(log.records())
    if not summary.found:
        raise BorderpostError("BP1445", f"{summary.decisions:,} decisions", place=Place(str(arguments.log)))
    if output.as_json:
        from borderpost.cli.shadow_summary_page import as_dict

        output.result(as_dict(summary, log))
    else:
        from borderpost.cli.shadow_summary_page import tell

        tell(summary, log, output, arguments.rows)
    return FINDINGS if summary.changing else CLEAN


def _open(arguments: argparse.Namespace, output: Output) -> LogTraffic:
    from borderpost.foresight.log import LogTraffic
    from borderpost.policy.fields import parse_instant, to_us

    with reading_bar(output, "verify", wanted=not arguments.no_progress) as progress:
        return LogTraffic.open(
            arguments.log,
            from_us=None if arguments.from_ is None else to_us(parse_instant(arguments.from_)),
            until_us=None if arguments.to is None else to_us(parse_instant(arguments.to)),
            unverified=arguments.unverified,
            progress=progress,
        )
