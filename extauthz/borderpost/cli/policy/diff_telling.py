"""A comparison of two policies, told: in a terminal, as Markdown for a pull request, as annotations, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from borderpost.cli.output import Output, counted
from borderpost.cli.policy.diff import KINDS, Report, sentence_counts
from borderpost.cli.policy.diff_words import command, reading_sentence, region_sentence, sentence
from borderpost.policy.fields import format_instant
from borderpost.proof.changes import Change
from borderpost.proof.changes import as_dict as change_as_dict
from borderpost.proof.surroundings import ReadingChange
from borderpost.reports.finding import Finding, Level, Rule

_COLOURS: Final = {"widened": "red", "region": "red", "narrowed": "yellow", "basis": "cyan", "reason": "cyan"}
_RULE: Final = Rule(
    "BPD001",
    "the policy widens",
    "Data may go where the policy before did not let it, or requests are read so that it may.",
    "Correct the change, or accept it by its id in the file that `--accept` names, with a reason and a date.",
)
_NOTE: Final = Rule(
    "BPD002", "the policy changes", "Some request meets another answer than before.", "Nothing, if it is meant."
)


def tell(report: Report, after: str, output: Output, *, headings: Mapping[str, str], limit: int | None) -> None:
    """Print it for people: each kind with its changes, who is exposed, and a command that shows it."""
    evidence = report.after.bundle.evidence
    for kind in KINDS[:-1]:
        found = [change for change in report.changes if change.kind == kind]
        if not found:
            continue
        output.data(output.paint(headings[kind], _COLOURS[kind], stream=output.stdout))
        for change in found[:limit]:
            output.data(f"  {change.kind}: {sentence(change, report.space)}{_mark(report, change)}")
            if change.kind not in ("basis", "reason") or change.before:
                output.data(f"    before: {_several(change.before)}; {counted(change.atoms, 'atom')}; id {change.id}")
            output.data(f"    $ {command(change, after, evidence)}")
        if limit is not None and len(found) > limit:
            output.data(f"  and {len(found) - limit:,} more (--all)")
        output.data("")
    for title, lines in (
        ("Regions", [region_sentence(change) for change in report.regions]),
        ("Requests are read otherwise", [_reading(report, change) for change in report.reading]),
        ("Accepted, and no change any longer", report.unused),
        ("Acceptances that have run out", [f"{one.id} ({one.reason})" for one in report.expired.values()]),
    ):
        if lines:
            output.data(title)
            for line in lines:
                output.data(f"  {line}")
            output.data("")
    output.data(sentence_counts(report))
    if report.failing:
        text = f"{counted(len(report.failing), 'change')} that nobody has accepted"
        output.data(output.paint(text, "red", stream=output.stdout))


def _several(texts: tuple[str, ...]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} and {counted(len(texts) - 1, 'other')}"


def _mark(report: Report, change: Change | ReadingChange) -> str:
    known = report.accepted.get(change.id)
    return f" (accepted until {format_instant(known.until)[:10]}: {known.reason})" if known is not None else ""


def _reading(report: Report, change: ReadingChange) -> str:
    return f"{reading_sentence(change)}; id {change.id}{_mark(report, change)}"


def tell_markdown(report: Report, after: str, output: Output) -> None:
    """Print it as Markdown, for a comment on a pull request."""
    for line in _markdown(report, after):
        output.data(line)


def _markdown(report: Report, after: str) -> Iterator[str]:
    failing = report.failing
    yield (
        f"### Policy: {counted(len(failing), 'change')} to accept"
        if failing
        else "### Policy: nothing widens unaccepted"
    )
    yield ""
    yield f"{sentence_counts(report)}."
    evidence = report.after.bundle.evidence
    for kind in KINDS[:-1]:
        found = [change for change in report.changes if change.kind == kind]
        if not found:
            continue
        yield ""
        is_open = " open" if any(report.fails(change) for change in found) else ""
        yield f"<details{is_open}><summary>{kind}: {len(found)}</summary>"
        yield ""
        for change in found:
            yield f"- {_escaped(sentence(change, report.space))}{_escaped(_mark(report, change))}"
            yield f"  `{change.id}`, {counted(change.atoms, 'atom')}: `{command(change, after, evidence)}`"
        yield ""
        yield "</details>"
    others = [region_sentence(change) for change in report.regions]
    others += [_reading(report, change) for change in report.reading]
    if others:
        yield ""
        yield from (f"- {_escaped(line)}" for line in others)


def _escaped(text: str) -> str:
    for mark in ("\\", "`", "*", "_", "<", "[", "|"):
        text = text.replace(mark, f"\\{mark}")
    return text


def tell_findings(report: Report, after: str, form: str, output: Output) -> None:
    """Print it as annotations of GitHub, or as SARIF."""
    from borderpost.reports.github import workflow_commands
    from borderpost.reports.sarif import sarif_log

    findings = list(_findings(report, after))
    if form == "github":
        for line in workflow_commands(findings, Path.cwd()):
            output.data(line)
        return
    import json

    output.data(json.dumps(sarif_log(findings, Path.cwd()), indent=2, ensure_ascii=False))


def _findings(report: Report, after: str) -> Iterator[Finding]:
    said: list[tuple[Change | ReadingChange, str]] = [(one, sentence(one, report.space)) for one in report.changes]
    said += [(one, reading_sentence(one)) for one in report.reading]
    for change, text in said:
        fails = report.fails(change)
        yield Finding(
            _RULE if fails else _NOTE,
            f"{change.kind}: {text} (id {change.id}){_mark(report, change)}",
            file=after,
            line=1,
            level=Level.ERROR if fails else Level.NOTE,
        )


def as_dict(report: Report, after: str) -> dict[str, Any]:
    """Return the comparison as JSON-ready data."""
    evidence = report.after.bundle.evidence
    return {
        "before": str(report.before.path),
        "after": str(report.after.path),
        "atoms": len(report.space),
        "failing": len(report.failing),
        "changes": [
            {
                **change_as_dict(change),
                "sentence": sentence(change, report.space),
                "example": command(change, after, evidence),
                "accepted": change.id in report.accepted,
                "fails": report.fails(change),
            }
            for change in report.changes
        ],
        "regions": [
            {"region": one.region, "what": one.what, "keys": [list(key) for key in one.keys]} for one in report.regions
        ],
        "reading": [
            {**one._asdict(), "id": one.id, "accepted": one.id in report.accepted, "fails": report.fails(one)}
            for one in report.reading
        ],
        "unused_acceptances": report.unused,
        "expired_acceptances": sorted(report.expired),
    }
