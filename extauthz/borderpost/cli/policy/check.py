"""`borderpost policy check`: manifests and plans that put labelled data where the policy forbids it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_config, load
from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, counted
from borderpost.cli.reporting import add_format, choose, fails, print_findings, summed, write_report
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.manifests.check import Asked, Checked
    from borderpost.reports.finding import Finding


def configure_check(parser: argparse.ArgumentParser) -> None:
    """Find labelled data in places that the policy forbids, before anything is deployed.

    Kubernetes, KServe, Istio and Gateway API manifests (YAML or JSON, rendered: `helm template . | borderpost policy
    check -`), and Terraform plans (`terraform show -json`). Labels say what data is handled and whose:
    `borderpost.dev/data-class: health`, `borderpost.dev/subjects: EEA`. Exit 0: nothing at the level of `--fail-on`.
    Exit 1: findings. Exit 2: a file could not be read.
    """
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files, folders, or - for standard input")
    parser.add_argument("--at", metavar="TIME", help="the instant, YYYY-MM-DD or with time and zone (default: now)")
    parser.add_argument(
        "--cluster", metavar="PLACE", help="where the cluster is, for objects that do not say: a region or a code"
    )
    parser.add_argument(
        "--subjects", action="append", default=[], metavar="PLACES",
        help="whose data it is where no label says so: codes and groups, such as EEA,CH",
    )  # fmt: skip
    parser.add_argument("--namespace", default="default", metavar="NAME", help="of objects that name none")
    parser.add_argument(
        "--label-prefix", default="borderpost.dev/", metavar="TEXT", help="what label keys begin with (%(default)s)"
    )
    parser.add_argument(
        "--require-labels", action="store_true", help="workloads that do not say their data are findings"
    )
    parser.add_argument(
        "--unknown-place", choices=("error", "warning"), default="error",
        help="the level of places that cannot be told (default: error)",
    )  # fmt: skip
    parser.add_argument("--select", action="append", default=[], metavar="RULES", help="only these, such as BPM001")
    parser.add_argument("--ignore", action="append", default=[], metavar="RULES", help="none of these")
    parser.add_argument(
        "--fail-on", choices=("error", "warning"), default="error", help="the least level that exits with 1"
    )
    add_config(parser)
    add_format(parser)


def run_check(arguments: argparse.Namespace, output: Output) -> int:
    """Check the files."""
    from borderpost.manifests.check import check_files
    from borderpost.reports.finding import findings_of

    report = choose(arguments, output)
    select, ignore = _rules("--select", arguments.select), _rules("--ignore", arguments.ignore)
    checked = check_files(arguments.files, _asked(load(arguments), arguments))
    findings = [
        finding
        for finding in checked.findings
        if (not select or finding.rule.id in select) and finding.rule.id not in ignore
    ]
    if report in ("sarif", "github"):
        write_report([*findings_of(checked.errors), *findings], report, output)
    elif report == "json":
        output.result(_told(checked, findings))
    else:
        _print(checked, findings, output)
    if checked.errors:
        return COULD_NOT_RUN
    return FINDINGS if fails(findings, arguments.fail_on) else CLEAN


def _asked(loaded: Loaded, arguments: argparse.Namespace) -> Asked:
    from borderpost.cli.grounds import refusing_source
    from borderpost.manifests.check import Asked
    from borderpost.policy.fields import parse_instant, to_us
    from borderpost.reports.finding import Level

    at_us = to_us(parse_instant(arguments.at)) if arguments.at is not None else World().now_us()
    return Asked(
        bundle=loaded.bundle,
        regions=dict(loaded.regions),
        events=loaded.events,
        at_us=at_us,
        source_of=lambda reason: refusing_source(loaded.bundle, loaded.events, reason, at_us),
        cluster=arguments.cluster,
        subjects=tuple(_listed(arguments.subjects)),
        namespace=arguments.namespace,
        prefix=arguments.label_prefix,
        require_labels=arguments.require_labels,
        unknown_level=Level(arguments.unknown_place),
    )


def _listed(given: Iterable[str]) -> list[str]:
    return [part for text in given for part in text.replace(",", " ").split()]


def _rules(option: str, given: Iterable[str]) -> frozenset[str]:
    """Return ids of rules. Raises BorderpostError BP1236 for one that nobody knows."""
    from borderpost.manifests.rules import RULES

    named = frozenset(_listed(given))
    for name in sorted(named - RULES.keys()):
        mend = f"known: {', '.join(RULES)}"
        raise BorderpostError("BP1236", f"`{name}` is no rule", place=Place(option), mend=mend)
    return named


def _told(checked: Checked, findings: list[Finding]) -> dict[str, object]:
    return {
        "files": checked.files,
        "judged": checked.judged,
        "findings": [finding.as_dict() for finding in findings],
        "errors": [error.as_dict() for error in checked.errors],
    }


def _print(checked: Checked, findings: list[Finding], output: Output) -> None:
    """Print findings for people, then what could not be read and how much was judged."""
    print_findings(findings, output)
    if checked.errors:
        output.errors(checked.errors)
        output.note("")
    place = counted(checked.judged, "place")
    output.data(f"{counted(checked.files, 'file')}, {place} of labelled data judged: {summed(findings)}")
