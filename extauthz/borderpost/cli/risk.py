"""Rank workloads by what one single loss would take from them, and say what would help.

    borderpost risk traffic.yaml
    borderpost risk --log run/audit --criticality clinic=5

Each region, operator, country, jurisdiction of operators and revocable basis is really taken away, one at a time, and
the news of legal events too; every kind of request is decided again by the engine that decides live ones.

    fragility = mean, over the kinds of loss that are possible, of the worst share of the workload that one loss takes
    score     = criticality (1 to 5) x (1 + sensitivity (0 to 9)) x fragility (0 to 1)

Exit 0: no single loss ends a workload's service. 1: some does.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from borderpost.cli.foreseeing import Foreseen, add_traffic, foreseen
from borderpost.cli.options import pairs
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.foresight.risk import Exposures
    from borderpost.foresight.traffic import Workload


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_traffic(parser)
    parser.add_argument(
        "--criticality", action="append", default=[], metavar="WORKLOAD=1-5",
        help="how much depends on a workload, over what the file says; may be repeated",
    )  # fmt: skip


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Expose every workload to every loss, and report."""
    from borderpost.cli.risk_page import RiskReport, tell
    from borderpost.foresight.hedges import hedges_for
    from borderpost.foresight.risk import Exposures

    seen = foreseen(arguments, output)
    workloads = _workloads(arguments, seen)
    exposures = Exposures(seen.scenario, workloads)
    _gather(seen, exposures)
    found = exposures.exposed()
    unknown = sorted({pair[0] for pair in pairs("--criticality", arguments.criticality)} - {e.name for e in found})
    if unknown:
        mend = f"there are: {', '.join(each.name for each in found[:10])}"
        raise BorderpostError("BP0004", f"no workload `{unknown[0]}`", place=Place("--criticality"), mend=mend)
    report = RiskReport(seen, exposures, found, hedges_for(found, seen.scenario, exposures.possible))
    if output.as_json:
        output.result(report.as_dict())
    else:
        tell(report, output, arguments.rows)
    return FINDINGS if any(exposure.ends_with for exposure in found) else CLEAN


def _gather(seen: Foreseen, exposures: Exposures) -> None:
    from borderpost.foresight.whatif import Flow, flows_of

    if seen.file is not None:
        for flow in flows_of(seen.file, seen.scenario):
            exposures.add(flow)
    elif seen.log is not None:
        for batch in seen.log.batches():
            for kind, count in batch.items():
                exposures.add(Flow(kind.facts, kind.stale, count))


def _workloads(arguments: argparse.Namespace, seen: Foreseen) -> dict[str, Workload]:
    from borderpost.foresight.traffic import Workload

    known = dict(seen.file.traffic.workloads) if seen.file is not None else {}
    for name, text in pairs("--criticality", arguments.criticality):
        if text not in {"1", "2", "3", "4", "5"}:
            raise BorderpostError("BP0004", f"`{text}` is no number from 1 to 5", place=Place("--criticality"))
        known[name] = Workload(criticality=int(text))
    return known
