"""Check an audit log, one stream of it, or one segment file: chain, sequence, completeness, inputs.

It reads the log alone, without the gateway, and may run while the gateway writes. Exit 0: nothing is wrong.
Exit 10 to 19: the gravest kind of damage that was found (`borderpost help BP0410` to `BP0419`). Exit 2: the
path could not be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_json
from borderpost.cli.output import Output
from borderpost.cli.progress import reading_bar

if TYPE_CHECKING:
    from borderpost.audit.findings import Finding, Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the audit directory, a stream in it, or a segment")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, also in a terminal")
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Verify and report."""
    from borderpost.audit.verify import verify

    with reading_bar(output, "verify", wanted=not arguments.no_progress) as progress:
        report = verify(arguments.path, progress)
    if output.as_json:
        output.result(report.as_dict())
    else:
        _tell(report, output)
    return report.exit_code


def _tell(report: Report, output: Output) -> None:
    headings = (
        "stream", "segments", "records", "routed", "refused", "observed", "limited", "epochs", "crashes", "gaps",
        "head",
    )  # fmt: skip
    rows = [
        (
            f"{x.stream}{' (in use)' if x.live else ''}", str(x.segments), f"{x.records:,}", f"{x.routed:,}",
            f"{x.refused:,}", f"{x.observed:,}", f"{x.limited:,}", str(x.epochs), str(x.unclean_epochs), str(x.gaps),
            (x.head or "-")[:16],
        )
        for x in report.streams
    ]  # fmt: skip
    output.table(headings, rows)
    for finding in report.findings:
        _tell_finding(finding, output)
    if report.unlisted:
        output.data(f"\nand {report.unlisted:,} more findings")
    for note in report.notes:
        output.data(f"note: {note}")
    verdict = "nothing is wrong" if report.clean else f"{len(report.findings) + report.unlisted:,} findings"
    colour = "green" if report.clean else "red"
    told = output.paint(verdict, colour, stream=output.stdout)
    output.data(f"\n{report.records:,} records, {report.inputs_checked:,} inputs: {told}")
    output.note(f"note: {report.caveat}")


def _tell_finding(finding: Finding, output: Output) -> None:
    where = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    seq = "" if finding.seq is None else f" (seq {finding.seq})"
    head = output.paint(f"{finding.kind.code} {finding.kind.title}", "red", stream=output.stdout)
    output.data(f"\n{head}\n  --> {output.paint(where, 'cyan', stream=output.stdout)}{seq}\n  {finding.what}")
    output.data(f"  hint: {finding.kind.mend}")
