"""Two versions of a policy, compared over everything that either tells apart: `borderpost policy diff`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borderpost.cli.options import add_json, overrides_of
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.proof.accepted import Accepted
    from borderpost.proof.changes import Change
    from borderpost.proof.compare import Comparison
    from borderpost.proof.space import Space
    from borderpost.proof.surroundings import ReadingChange, RegionChange

KINDS: Final = ("widened", "region", "narrowed", "basis", "reason", "reading")
_FAILING: Final = ("widened", "region", "reading")
_HEADINGS: Final = {
    "widened": "Widened: a region becomes legal that was not",
    "region": "Other regions than before",
    "narrowed": "Narrowed: a region is no longer legal",
    "basis": "The same regions, by other bases",
    "reason": "Refused for other reasons",
}
_TOLD: Final = 20
"""Changes of a kind that are told where nobody asked for all."""
_ALONE: Final = 20_000
"""Atoms up to which starting further processes costs more than it brings."""


def configure_diff(parser: argparse.ArgumentParser) -> None:
    """Compare two configurations: whose data may go where it might not, whose no longer, by which other bases, each
    with a request that shows it. Every kind of request that either tells apart is asked of both, at every time from
    today on. Exit 1: something widens that nobody has accepted."""
    parser.add_argument("before", type=Path, metavar="BEFORE", help="the configuration before")
    parser.add_argument("after", type=Path, metavar="AFTER", help="the configuration after")
    parser.add_argument("--allow-widening", action="store_true", help="exit 0 whatever widens")
    parser.add_argument(
        "--accept", type=Path, metavar="FILE", help="changes that somebody accepted, by id, with reason and date"
    )
    parser.add_argument(
        "--fail-on", metavar="KINDS", default=",".join(_FAILING),
        help=f"kinds of changes for which to exit 1, of {', '.join(KINDS)} (default: {','.join(_FAILING)})",
    )  # fmt: skip
    parser.add_argument("--from", dest="from_", metavar="TIME", help="first instant (default: today; `ever` for all)")
    parser.add_argument("--until", metavar="TIME", help="first instant no longer looked at (default: none)")
    parser.add_argument("--all", action="store_true", help=f"tell every change, not the first {_TOLD} of a kind")
    parser.add_argument(
        "--format", choices=("text", "markdown", "github", "sarif"), default="text", help="how to print it"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="set one key over both files; may be repeated",
    )  # fmt: skip
    add_json(parser)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a comparison found."""

    space: Space
    before: Loaded
    after: Loaded
    changes: Sequence[Change]
    regions: Sequence[RegionChange]
    reading: Sequence[ReadingChange]
    accepted: Mapping[str, Accepted]
    """Acceptances that hold now, by id."""
    expired: Mapping[str, Accepted]
    fail_on: frozenset[str]

    def fails(self, change: Change | ReadingChange) -> bool:
        """Return True if a change is of a kind to fail on that nobody has accepted."""
        return change.kind in self.fail_on and not change.is_harmless and change.id not in self.accepted

    @property
    def every(self) -> list[Change | ReadingChange]:
        """Return every change, of law and of how requests are read."""
        return [*self.changes, *self.reading]

    @property
    def failing(self) -> list[Change | ReadingChange]:
        """Return every change for which the comparison fails."""
        return [change for change in self.every if self.fails(change)]

    @property
    def unused(self) -> list[str]:
        """Return accepted ids that are no change, or no longer."""
        return sorted(set(self.accepted) - {change.id for change in self.every})


def run_diff(arguments: argparse.Namespace, output: Output) -> int:
    """Compare and report."""
    from borderpost.cli.policy import diff_telling
    from borderpost.proof.surroundings import region_changes

    fail_on = _kinds(arguments)
    now_us = World().now_us()
    before, after = (_loaded(path, arguments) for path in (arguments.before, arguments.after))
    accepted, expired = _accepted(arguments.accept, now_us)
    space = _space(before, after, arguments, now_us)
    if output.stderr.isatty():
        output.note(f"{len(space):,} atoms…")
    report = Report(
        space,
        before,
        after,
        _compared(space),
        region_changes(before.regions, after.regions),
        _read_otherwise(before, after),
        accepted,
        expired,
        fail_on,
    )
    if output.as_json:
        output.result(diff_telling.as_dict(report, str(arguments.after)))
    elif arguments.format == "markdown":
        diff_telling.tell_markdown(report, str(arguments.after), output)
    elif arguments.format != "text":
        diff_telling.tell_findings(report, str(arguments.after), arguments.format, output)
    else:
        limit = None if arguments.all else _TOLD
        diff_telling.tell(report, str(arguments.after), output, headings=_HEADINGS, limit=limit)
    return FINDINGS if report.failing else CLEAN


def _kinds(arguments: argparse.Namespace) -> frozenset[str]:
    if arguments.allow_widening:
        return frozenset()
    named = [name.strip() for name in arguments.fail_on.split(",") if name.strip()]
    for name in named:
        if name not in KINDS:
            mend = f"known: {', '.join(KINDS)}"
            raise BorderpostError("BP0004", f"no kind of change `{name}`", place=Place("--fail-on"), mend=mend)
    return frozenset(named)


def _loaded(path: Path, arguments: argparse.Namespace) -> Loaded:
    from borderpost.config.load import load_config

    return load_config(path, overrides_of(arguments))


def _space(before: Loaded, after: Loaded, arguments: argparse.Namespace, now_us: int) -> Space:
    from borderpost.cli.policy.instants import from_and_until
    from borderpost.policy.compile import compile_policy
    from borderpost.policy.events import compile_events
    from borderpost.proof.grounds import Side
    from borderpost.proof.space import Space

    from_us, until_us = from_and_until(arguments, now_us)
    sides = []
    for loaded in (before, after):
        policy = compile_policy(loaded.bundle, loaded.regions)
        sides.append(Side(policy, compile_events(loaded.events, policy)))
    stale = any(loaded.config.events.max_age_s is not None for loaded in (before, after))
    return Space(sides, from_us=from_us, until_us=until_us, may_be_stale=stale)


def _accepted(path: Path | None, now_us: int) -> tuple[dict[str, Accepted], dict[str, Accepted]]:
    """Return acceptances by id: those that hold, and those that have run out."""
    if path is None:
        return {}, {}
    from borderpost.policy.fields import to_us
    from borderpost.proof.accepted import AcceptedFile
    from borderpost_base.strict import validate
    from borderpost_base.yaml_source import load_yaml_file

    file = validate(AcceptedFile, load_yaml_file(path))
    holding = {one.id: one for one in file.changes if now_us < to_us(one.until)}
    return holding, {one.id: one for one in file.changes if one.id not in holding}


def _read_otherwise(before: Loaded, after: Loaded) -> list[ReadingChange]:
    from borderpost.proof.surroundings import ReadingChange, reading_changes

    found = reading_changes(before.bundle, after.bundle)
    old, new = (loaded.config.events.max_age_s for loaded in (before, after))
    if old != new:
        wider = old is not None and (new is None or new > old)
        found.append(ReadingChange("events.max_age_s", str(old), str(new), wider))
    return found


_shared: Comparison | None = None
"""What forked processes compare: they have it by being copies, since a space is large to send."""


def _compared(space: Space) -> list[Change]:
    """Compare the sides, by as many processes as there are processors where it is worth it."""
    from borderpost.proof.changes import changes, merged
    from borderpost.proof.compare import Comparison

    global _shared
    comparison = Comparison(space)
    places = comparison.places
    atoms = sum(len(space.asked(where)) for where in places) * len(space.spans) * len(space.stale)
    processes = min(len(os.sched_getaffinity(0)), len(places))
    if atoms <= _ALONE or processes < 2:
        return merged([changes(comparison, comparison.found(places))])
    order = sorted(range(len(places)), key=lambda index: -len(space.asked(places[index])))
    _shared = comparison
    try:
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            return merged(pool.imap_unordered(_compared_at, [places[index] for index in order]))
    finally:
        _shared = None


def _compared_at(where: Any) -> list[Change]:
    from borderpost.proof.changes import changes

    assert _shared is not None
    return changes(_shared, _shared.found((where,)))


def sentence_counts(report: Report) -> str:
    """Return in words how many changes there are of each kind."""
    found = [counted(len(report.space), "atom")]
    for kind in KINDS[:-1]:
        number = sum(change.kind == kind for change in report.changes)
        if number:
            found.append(f"{number:,} {'other region' if kind == 'region' else kind}")
    if len(found) == 1:
        found.append("nothing differs")
    return ", ".join(found)
