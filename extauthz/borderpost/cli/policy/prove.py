"""Assertions over everything that a policy tells apart: `borderpost policy prove`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.world import World

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.proof.leftovers import Leftover, Scarcity
    from borderpost.proof.prove import Breach, Proof
    from borderpost.proof.space import Space
    from borderpost.reports.finding import Finding

_BREACHES_TOLD = 5
_SCARCE_TOLD = 12
_KINDS = ("dead", "shadowed", "idle", "unreachable", "no-region", "one-region", "one-operator")


def configure_prove(parser: argparse.ArgumentParser) -> None:
    """Hold assertions against every kind of request that the policy tells apart, at every time from today on, and print
    a request for which one does not hold. Say also which rules are dead or shadowed, which regions nobody can reach,
    and whose data has no legal region, one, or one operator only. Exit 1: one does not hold, or is about nobody."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="files of assertions")
    parser.add_argument("--from", dest="from_", metavar="TIME", help="first instant (default: today; `ever` for all)")
    parser.add_argument("--until", metavar="TIME", help="first instant no longer looked at (default: none)")
    parser.add_argument(
        "--fail-on", action="append", default=[], choices=_KINDS, metavar="KIND",
        help=f"exit 1 if there is one of this kind too; may be repeated: {', '.join(_KINDS)}",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="list everything that was found, idle rules too")
    parser.add_argument("--format", choices=("text", "github", "sarif"), default="text", help="how to print it")
    add_config(parser)
    add_json(parser)


@dataclass(frozen=True, slots=True)
class _Report:
    """Everything that a run found."""

    space: Space
    proofs: list[tuple[Proof, Place]]
    leftovers: list[Leftover]
    scarcities: list[Scarcity]
    fail_on: frozenset[str]

    @property
    def code(self) -> int:
        """Return the exit code."""
        kinds = {one.kind for one in self.leftovers} | {one.kind for one in self.scarcities}
        failed = any(not proof.holds for proof, _ in self.proofs)
        return FINDINGS if failed or kinds & self.fail_on else CLEAN


def run_prove(arguments: argparse.Namespace, output: Output) -> int:
    """Prove and report."""
    from borderpost.cli.policy.instants import from_and_until
    from borderpost.policy.compile import compile_policy
    from borderpost.policy.events import compile_events
    from borderpost.proof.grounds import Side
    from borderpost.proof.leftovers import leftovers, scarcities
    from borderpost.proof.prove import also_of, prove
    from borderpost.proof.space import Space

    loaded = load(arguments)
    stated = _assertions(arguments.files, loaded)
    assertions = [assertion for assertion, _ in stated]
    policy = compile_policy(loaded.bundle, loaded.regions)
    now_us = World().now_us()
    from_us, until_us = from_and_until(arguments, now_us)
    side = Side(policy, compile_events(loaded.events, policy))
    space = Space(
        [side],
        from_us=from_us,
        until_us=until_us,
        also=also_of(assertions),
        may_be_stale=loaded.config.events.max_age_s is not None,
    )
    if output.stderr.isatty():
        output.note(f"{len(space):,} atoms…")
    report = _Report(
        space,
        list(zip(prove(space, assertions), (place for _, place in stated), strict=True)),
        leftovers(space),
        scarcities(space),
        frozenset(arguments.fail_on),
    )
    if output.as_json:
        output.result(_as_dict(report))
    elif arguments.format != "text":
        _write_findings(report, arguments.format, output)
    else:
        _tell(report, output, everything=arguments.all)
    return report.code


def _assertions(paths: Sequence[Path], loaded: Loaded) -> list[tuple[Any, Place]]:
    """Read every file; return each assertion with its place. Raises Problems with the mistakes of all."""
    from borderpost.proof.assertions import read_assertions
    from borderpost_base.yaml_source import load_yaml_file

    found: list[tuple[Any, Place]] = []
    errors: list[BorderpostError] = []
    for path in paths:
        try:
            document = load_yaml_file(path)
            read = read_assertions(document, loaded.bundle, loaded.regions)
            found += [(one, document.place(("assertions", index))) for index, one in enumerate(read)]
        except BorderpostError as error:
            errors.append(error)
        except Problems as several:
            errors += several.errors
    if errors:
        raise Problems(errors)
    return found


def _sentence(breach: Breach) -> str:
    """Say what a counterexample is: whose data, where it may go, and why."""
    from borderpost.proof import words

    who = words.subject(tuple(breach.grounds.values()))
    party = words.party(breach.asking)
    whose = f"{words.data(breach.asking)} of {who}{f' ({party})' if party else ''}"
    stale = ", where the legal events are stale" if breach.stale else ""
    when = words.time_of(breach.span)
    if breach.region is None:
        return f"{whose} has {breach.bases}, {when}{stale}"
    return f"{whose} may go to {breach.region}, by `{breach.bases}`, {when}{stale}"


def _command(report: _Report, breach: Breach) -> str:
    from borderpost.proof import words

    return words.explain_line(breach.first, report.space.readers[0].evidence)


def _verdict(proof: Proof) -> str:
    return "holds" if proof.holds else "is about nobody" if not proof.atoms else "FAILS"


def _tell(report: _Report, output: Output, *, everything: bool) -> None:
    from borderpost.proof import words

    space = report.space
    output.data(
        f"{counted(len(space), 'atom')}: {counted(len(space.grounds.grounds), 'kind')} of places, "
        f"{counted(len(space.spans), 'time')} from {words.instant(space.spans[0].from_us)} on"
    )
    colours = {"holds": "green", "FAILS": "red", "is about nobody": "yellow"}
    for proof, place in report.proofs:
        verdict = _verdict(proof)
        painted = output.paint(verdict, colours[verdict], stream=output.stdout)
        failed = f"{proof.failed:,} of " if proof.failed else ""
        output.data(f"{painted}  {proof.assertion.id}  {failed}{counted(proof.atoms, 'atom')}  {place}")
        output.data(f"  {proof.assertion.says}")
        breaches = list(proof.breaches.values())
        for breach in breaches if everything else breaches[:_BREACHES_TOLD]:
            output.data(f"  - {_sentence(breach)}")
            output.data(f"    {_command(report, breach)}")
        if not everything and len(breaches) > _BREACHES_TOLD:
            output.data(f"  and {counted(len(breaches) - _BREACHES_TOLD, 'more kind')} of requests; see --all")
    _tell_leftovers(report.leftovers, output, everything=everything)
    _tell_scarcities(report.scarcities, output, everything=everything)


def _tell_leftovers(leftovers: Sequence[Leftover], output: Output, *, everything: bool) -> None:
    shown = [one for one in leftovers if everything or one.kind != "idle"]
    if shown:
        rows = [(one.kind, one.what, one.pack or "own", one.why) for one in shown]
        output.table(("of no use", "what", "pack", "why"), rows, title="\nOf no use")
    idle = len(leftovers) - len(shown)
    if idle:
        output.data(f"{counted(idle, 'rule')} of no use to this catalogue of regions; see --all")


def _tell_scarcities(scarcities: Sequence[Scarcity], output: Output, *, everything: bool) -> None:
    from borderpost.proof import words

    if not scarcities:
        return
    shown = scarcities if everything else scarcities[:_SCARCE_TOLD]
    rows = [
        (
            one.kind,
            words.data(one.asking),
            words.party(one.asking) or "anybody",
            words.places(one.grounds),
            one.region or "",
            one.why,
            words.instant(one.span.from_us),
        )
        for one in shown
    ]
    headings = ("choice", "data", "who asks", "subjects", "region", "why, or whose", "from")
    output.table(headings, rows, title="\nWithout a choice")
    if len(scarcities) > len(shown):
        output.data(f"and {len(scarcities) - len(shown):,} more; see --all")


def _as_dict(report: _Report) -> dict[str, Any]:
    from borderpost.proof import words

    space = report.space
    return {
        "atoms": len(space),
        "places": len(space.grounds.grounds),
        "times": [words.instant(span.from_us) for span in space.spans],
        "assertions": [
            {
                "id": proof.assertion.id,
                "says": proof.assertion.says,
                "place": str(place),
                "holds": proof.holds,
                "atoms": proof.atoms,
                "failed": proof.failed,
                "counterexamples": [_breach_dict(report, breach) for breach in proof.breaches.values()],
            }
            for proof, place in report.proofs
        ],
        "leftovers": [one._asdict() for one in report.leftovers],
        "scarce": [
            {
                "kind": one.kind,
                "request": _request(one.asking),
                "subjects": [code for ground in one.grounds for code in ground.codes],
                "region": one.region,
                "why": one.why,
                "from": words.instant(one.span.from_us),
            }
            for one in report.scarcities
        ],
    }


def _breach_dict(report: _Report, breach: Breach) -> dict[str, Any]:
    from borderpost.proof import words

    return {
        "sentence": _sentence(breach),
        "region": breach.region,
        "bases": breach.bases,
        "request": _request(breach.asking),
        "subjects": [code for ground in breach.grounds.values() for code in ground.codes],
        "stale": breach.stale,
        "from": words.instant(breach.span.from_us),
        "explain": _command(report, breach),
    }


def _request(asking: Any) -> dict[str, Any]:
    return {name: value for name, value in asking._asdict().items() if value}


def _write_findings(report: _Report, form: str, output: Output) -> None:
    import json

    from borderpost.reports.github import workflow_commands
    from borderpost.reports.sarif import sarif_log

    findings = list(_findings(report))
    if form == "github":
        for line in workflow_commands(findings, Path.cwd()):
            output.data(line)
    else:
        output.data(json.dumps(sarif_log(findings, Path.cwd()), indent=2, ensure_ascii=False))


def _findings(report: _Report) -> Iterator[Finding]:
    """Yield what makes the run fail, as findings."""
    from borderpost.reports.finding import Finding, Rule

    for proof, place in report.proofs:
        said = proof.assertion.says
        rule = Rule(proof.assertion.id, said, said, "Mend the policy, or the assertion where it promises too much.")
        if not proof.atoms:
            detail = "The assertion is about no request at all."
            yield Finding(rule, detail, place.file, place.line, place.column, place.key)
        for breach in list(proof.breaches.values())[:_BREACHES_TOLD]:
            detail = f"{_sentence(breach)}. {_command(report, breach)}"
            yield Finding(rule, detail, place.file, place.line, place.column, place.key)
    for one in report.leftovers:
        if one.kind in report.fail_on:
            rule = Rule(f"leftover-{one.kind}", f"{one.kind} rule", one.why, "Take it out, or mend it.")
            yield Finding(rule, f"{one.what}: {one.why}.", subject=one.what)
    for scarce in report.scarcities:
        if scarce.kind in report.fail_on:
            rule = Rule(f"scarce-{scarce.kind}", "data without a choice of regions", scarce.why, "Add a region.")
            codes = ", ".join(ground.code for ground in scarce.grounds)
            yield Finding(rule, f"{_request(scarce.asking)} of subjects in {codes}: {scarce.kind}, {scarce.why}.")
