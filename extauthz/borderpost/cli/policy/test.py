"""Tests of a policy: `borderpost policy test`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.world import World

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.policy.compile import CompiledPolicy
    from borderpost.proof.boundaries import Turn
    from borderpost.proof.cases import Case, CaseRequest
    from borderpost.proof.coverage import Coverage, Rule
    from borderpost.proof.expectations import Unmet
    from borderpost.proof.hearing import Heard, Hearing

_UNTOUCHED_TOLD = 20
"""Rules without a case that are listed where nobody asked for the whole list."""


def configure_test(parser: argparse.ArgumentParser) -> None:
    """Ask the policy what YAML cases describe, and hold its answers against what they expect; say which rules no case
    touched. With --boundaries also ask around each date of the policy. Exit 1: a case is not as expected, or too little
    is covered."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files of cases; of a folder every *.yaml in it"
    )
    parser.add_argument("--coverage", action="store_true", help="list each rule with the number of cases that touch it")
    parser.add_argument(
        "--min-coverage", type=_percent, metavar="PERCENT", help="exit 1 if fewer of the rules are touched by a case"
    )
    parser.add_argument(
        "--pack", action="append", default=[], dest="packs", metavar="NAME",
        help="count coverage of this pack's rules alone; may be repeated; `own` is the configuration's own",
    )  # fmt: skip
    parser.add_argument(
        "--boundaries", action="store_true", help="ask just before, at and after each date of the policy"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write what the boundaries change as cases")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    add_config(parser)
    add_json(parser)


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value


@dataclass(frozen=True, slots=True)
class _Tried:
    """One case with what became of it."""

    case: Case
    heard: Heard
    unmet: list[Unmet]


@dataclass(frozen=True, slots=True)
class _Dates:
    """What the boundaries showed."""

    turns: list[Turn]
    found: list[str | None]
    """For each turn, what is inconsistent about it; None if nothing is."""

    @property
    def faults(self) -> list[tuple[Turn, str]]:
        """Return the turns about which something is inconsistent."""
        return [(turn, fault) for turn, fault in zip(self.turns, self.found, strict=True) if fault is not None]


@dataclass(frozen=True, slots=True)
class _Report:
    """Everything that a run found."""

    tried: list[_Tried]
    rules: list[tuple[Rule, int]]
    """Each rule that counts, with the number of cases that touched it."""
    dates: _Dates | None
    min_coverage: float | None

    @property
    def failed(self) -> list[_Tried]:
        """Return the cases that are not as expected."""
        return [one for one in self.tried if one.unmet]

    @property
    def percent(self) -> float:
        """Return how many of the rules are touched, in percent; 100 where there are none."""
        return 100 * sum(count > 0 for _, count in self.rules) / len(self.rules) if self.rules else 100.0

    @property
    def is_thin(self) -> bool:
        """Return True if less is covered than was asked for."""
        return self.min_coverage is not None and self.percent < self.min_coverage

    @property
    def code(self) -> int:
        """Return the exit code."""
        return FINDINGS if self.failed or self.is_thin or (self.dates and self.dates.faults) else CLEAN


def run_test(arguments: argparse.Namespace, output: Output) -> int:
    """Try the cases and report."""
    from borderpost.policy.compile import compile_policy
    from borderpost.proof.coverage import Coverage
    from borderpost.proof.hearing import Hearing

    if not arguments.files and not arguments.boundaries:
        mend = "name files of cases, or ask for --boundaries"
        raise BorderpostError("BP0004", "there is nothing to test", place=Place("policy test"), mend=mend)
    if arguments.write is not None and not arguments.boundaries:
        raise BorderpostError("BP0004", "--write goes with --boundaries", place=Place("--write"))
    loaded = load(arguments)
    policy = compile_policy(loaded.bundle, loaded.regions)
    hearing = Hearing(policy, loaded.events, now_us=World().now_us())
    cases = _cases(arguments.files, loaded)
    coverage = Coverage(policy, [event.id for event in loaded.events.events if event.mode == "enforce"])
    tried = [_try(case, hearing, coverage) for case in cases]
    dates = _dates(hearing, policy, cases) if arguments.boundaries else None
    report = _Report(tried, coverage.touched(_packs(arguments.packs, loaded)), dates, arguments.min_coverage)
    if arguments.junit is not None:
        _write(arguments.junit, _junit(report, loaded))
    if arguments.write is not None and dates is not None:
        _write(arguments.write, _snapshot(dates, loaded))
    if output.as_json:
        output.result(_as_dict(report, hearing.now_us))
    else:
        _tell(report, arguments, loaded, hearing, output)
    return report.code


def _cases(paths: Sequence[Path], loaded: Loaded) -> list[Case]:
    """Read every file. Raises Problems with the mistakes of all."""
    from borderpost.proof.cases import read_cases
    from borderpost_base.yaml_source import load_yaml_file

    cases: list[Case] = []
    errors: list[BorderpostError] = []
    for path in paths:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not files:
            errors.append(BorderpostError("BP0003", f"{path}: no *.yaml in it", place=Place(str(path))))
        for file in files:
            try:
                cases += read_cases(load_yaml_file(file), loaded.bundle, loaded.regions)
            except BorderpostError as error:
                errors.append(error)
            except Problems as several:
                errors += several.errors
    if errors:
        raise Problems(errors)
    return cases


def _packs(named: Sequence[str], loaded: Loaded) -> set[str] | None:
    """Return the packs whose rules count, None for all. Raises BorderpostError BP0213 for one that is not loaded."""
    from borderpost.proof.coverage import OWN

    known = {pack.metadata.id for pack in loaded.bundle.packs}
    for name in named:
        if name != "own" and name not in known:
            mend = f"loaded: {', '.join(sorted(known))}; `own` for the configuration's own"
            raise BorderpostError("BP0213", f"no pack `{name}` is loaded", place=Place("--pack"), mend=mend)
    return {OWN if name == "own" else name for name in named} or None


def _try(case: Case, hearing: Hearing, coverage: Coverage) -> _Tried:
    from borderpost.proof.expectations import unmet

    try:
        heard = hearing.hear(case.request)
    except BorderpostError as error:
        raise BorderpostError(error.code, error.detail, place=case.place, mend=error.mend) from error
    tenants = [case.request.tenant_header] if case.request.tenant_header is not None else []
    coverage.count(heard, tenants=tenants, route=case.request.route)
    return _Tried(case, heard, unmet(case.expect, heard))


def _dates(hearing: Hearing, policy: CompiledPolicy, cases: Sequence[Case]) -> _Dates:
    """Ask around each boundary: the requests of the cases, each once, and one of each regime."""
    from borderpost.proof.boundaries import representatives, turns

    requests: dict[str, CaseRequest] = {}
    seen: set[CaseRequest] = set()
    for title, request in [*((case.title, case.request) for case in cases), *representatives(policy).items()]:
        bare = request.model_copy(update={"at": None})
        if bare not in seen:
            seen.add(bare)
            requests[title] = bare
    found = list(turns(hearing, requests))
    return _Dates(found, [turn.fault() for turn in found])


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BorderpostError("BP0003", f"{path}: {error.strerror}", place=Place(str(path))) from error


def _snapshot(dates: _Dates, loaded: Loaded) -> bytes:
    import yaml

    from borderpost.proof.boundaries import snapshot

    data = snapshot(dates.turns)
    if not data["groups"]:
        raise BorderpostError("BP1210", "no boundary changes what any request meets, so there is nothing to write")
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    heading = "# What requests meet around each date of the policy, found by `borderpost policy test --boundaries`.\n"
    return (heading + text).encode()


def _failure_lines(one: _Tried, loaded: Loaded) -> Iterator[str]:
    """Yield what is not as expected, and what law says of each region."""
    from borderpost.proof.expectations import regions_said

    wide = max(len(unmet.key) for unmet in one.unmet)
    for unmet in one.unmet:
        yield f"{unmet.key.ljust(wide)}  expected {unmet.expected}; got {unmet.got}"
    said = regions_said(one.heard, loaded.regions)
    wide = max((len(region.region) for region in said), default=0)
    for region in said:
        yield f"  {region.region.ljust(wide)}  {'legal  ' if region.legal else 'refused'}  {region.why}"


def _junit(report: _Report, loaded: Loaded) -> bytes:
    from borderpost.cli.policy.junit import Result, junit_xml

    suites: dict[str, list[Result]] = {}
    for one in report.tried:
        failure = "\n".join(_failure_lines(one, loaded)) if one.unmet else None
        name = f"{one.case.name} ({one.case.asked})" if one.case.asked else one.case.name
        result = Result(one.case.group, name, one.case.place.line or 1, failure)
        suites.setdefault(str(one.case.place.file), []).append(result)
    if report.dates is not None:
        asked = zip(report.dates.turns, report.dates.found, strict=True)
        suites["boundaries"] = [Result("boundaries", _turn(turn), 1, fault) for turn, fault in asked]
    if report.min_coverage is not None:
        failure = f"{report.percent:.1f} % of the rules are touched, {report.min_coverage:g} % are asked for"
        suites["coverage"] = [Result("coverage", "rules touched", 1, failure if report.is_thin else None)]
    return junit_xml(suites)


def _turn(turn: Turn) -> str:
    return f"{turn.title}: {_instant(turn.boundary.at_us)} {', '.join(turn.boundary.what)}"


def _datetime(at_us: int) -> datetime:
    from borderpost.policy.fields import EPOCH

    return EPOCH + timedelta(microseconds=at_us)


def _instant(at_us: int) -> str:
    from borderpost.policy.fields import format_instant

    return format_instant(_datetime(at_us))


def _tell(
    report: _Report, arguments: argparse.Namespace, loaded: Loaded, hearing: Hearing, output: Output
) -> None:  # fmt: skip
    from borderpost.cli.policy.asking import beside, explain_command

    for one in report.failed:
        request, evidence = one.case.request, loaded.bundle.evidence
        output.data(f"{output.paint('NOT as expected', 'red', stream=output.stdout)}: {one.case.title}")
        output.data(f"  --> {one.case.place}")
        for line in _failure_lines(one, loaded):
            output.data(f"  {line}")
        output.data(f"  $ {explain_command(request, evidence, at=_datetime(hearing.now_us))}")
        for note in beside(request, evidence):
            output.data(f"    {note}")
        output.data("")
    if report.dates is not None:
        _tell_dates(report.dates, output)
    if report.tried:
        _tell_coverage(report, output, whole=arguments.coverage)
        failed = f"{len(report.failed):,} not as expected" if report.failed else "all as expected"
        colour = "red" if report.failed else "green"
        output.data(f"{counted(len(report.tried), 'case')}, {output.paint(failed, colour, stream=output.stdout)}")


def _tell_dates(dates: _Dates, output: Output) -> None:
    """Tell each boundary with the number of requests that meet something else from then on."""
    changing: dict[int, int] = {}
    words: dict[int, str] = {}
    for turn in dates.turns:
        changing[turn.boundary.at_us] = changing.get(turn.boundary.at_us, 0) + turn.changes
        words.setdefault(turn.boundary.at_us, ", ".join(turn.boundary.what))
    rows = [(_instant(at_us), words[at_us], str(changing[at_us])) for at_us in sorted(words)]
    output.table(("boundary", "what", "requests that it changes"), rows)
    for turn, fault in dates.faults:
        output.data(f"{output.paint('INCONSISTENT', 'red', stream=output.stdout)}: {_turn(turn)}: {fault}")
    requests = counted(len({turn.title for turn in dates.turns}), "request")
    changes = counted(sum(turn.changes for turn in dates.turns), "change")
    boundary = "1 boundary" if len(words) == 1 else f"{len(words):,} boundaries"
    output.data(f"{boundary}, {requests}, {changes}, {len(dates.faults):,} inconsistent")
    output.data("")


def _tell_coverage(report: _Report, output: Output, *, whole: bool) -> None:
    if whole:
        rows = [(rule.pack, rule.key, rule.name, str(count)) for rule, count in report.rules]
        output.table(("pack", "kind", "rule", "cases"), rows)
        output.data("")
    touched = sum(count > 0 for _, count in report.rules)
    untouched = [rule for rule, count in report.rules if not count]
    text = f"{touched:,} of {counted(len(report.rules), 'rule')} touched ({report.percent:.1f} %)"
    if report.is_thin:
        text = output.paint(f"{text}, {report.min_coverage:g} % asked for", "red", stream=output.stdout)
    output.data(text)
    if report.is_thin and not whole:
        for rule in untouched[:_UNTOUCHED_TOLD]:
            output.data(f"  no case touches {rule.name}  ({rule.pack})")
        if len(untouched) > _UNTOUCHED_TOLD:
            output.data(f"  and {len(untouched) - _UNTOUCHED_TOLD:,} more (--coverage)")


def _as_dict(report: _Report, now_us: int) -> dict[str, Any]:
    """Return the report as JSON-ready data."""
    told: dict[str, Any] = {
        "now": _instant(now_us),
        "cases": [_case_as_dict(one) for one in report.tried],
        "failed": len(report.failed),
        "coverage": {
            "percent": round(report.percent, 2),
            "min_percent": report.min_coverage,
            "rules": [{"pack": r.pack, "kind": r.key, "rule": r.name, "cases": n} for r, n in report.rules],
        },
    }
    if report.dates is not None:
        told["boundaries"] = {
            "asked": len(report.dates.turns),
            "changes": [
                {"request": turn.title, "at": _instant(turn.boundary.at_us), "what": list(turn.boundary.what)}
                for turn in report.dates.turns
                if turn.changes
            ],
            "inconsistent": [
                {"request": turn.title, "at": _instant(turn.boundary.at_us), "fault": fault}
                for turn, fault in report.dates.faults
            ],
        }
    return told


def _case_as_dict(one: _Tried) -> dict[str, Any]:
    law = one.heard.law
    return {
        "group": one.case.group,
        "name": one.case.name,
        "asked": one.case.asked,
        "file": one.case.place.file,
        "line": one.case.place.line,
        "at": _instant(one.heard.at_us),
        "as_expected": not one.unmet,
        "unmet": [unmet._asdict() for unmet in one.unmet],
        "ruling": one.heard.ruling,
        "reason": one.heard.reason,
        "legal": list(one.heard.legal),
        "bases": dict(law.bases) if law is not None else {},
        "refused": dict(law.refused) if law is not None else {},
        "regimes": list(law.regimes) if law is not None else [],
    }
