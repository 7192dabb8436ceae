"""A summary of what would have changed, told to people and to programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from borderpost.audit.kinds import format_stamp
from borderpost.cli.foreseeing import tell_rest
from borderpost.cli.output import Output, counted
from borderpost.foresight.log import LogTraffic
from borderpost.foresight.observed import (
    DIMENSIONS,
    NONE,
    Changes,
    Group,
    Move,
    ObservedChanges,
    ShadowChanges,
    Summary,
)


def as_dict(summary: Summary, log: LogTraffic) -> dict[str, Any]:
    """Return the summary as JSON-ready data."""
    return {
        "log": str(log.path),
        "verified": log.report.clean,
        "decisions": summary.decisions,
        "first": None if summary.first_us is None else format_stamp(summary.first_us),
        "last": None if summary.last_us is None else format_stamp(summary.last_us),
        "changing": summary.changing,
        "observed": _observed_dict(summary.observed),
        "shadows": [_shadow_dict(digest, each) for digest, each in summary.shadows.items()],
    }


def _observed_dict(seen: ObservedChanges) -> dict[str, Any]:
    return {
        "requests": seen.requests,
        "stayed": {"requests": sum(seen.stayed.values()), "by_region": dict(_ranked(seen.stayed))},
        **_changes_dict(seen),
        "unplaced": _moves(seen.unplaced),
        "unenforced": seen.unenforced,
        "body_unseen": seen.body_unseen,
    }


def _shadow_dict(digest: str, seen: ShadowChanges) -> dict[str, Any]:
    return {
        "policy": digest,
        "requests": seen.requests,
        "agreed": seen.requests - seen.changing,
        **_changes_dict(seen),
        "admitted": {**_group_dict(seen.admitted), "admissions": _moves(seen.admissions)},
        "otherwise": dict(_ranked(seen.otherwise)),
    }


def _changes_dict(seen: Changes) -> dict[str, Any]:
    reasons = [{**how._asdict(), "requests": count} for how, count in _ranked(seen.reasons)]
    return {
        "refused": {**_group_dict(seen.refused), "reasons": reasons},
        "moved": {**_group_dict(seen.moved), "moves": _moves(seen.moves)},
    }


def _group_dict(group: Group) -> dict[str, Any]:
    return {"requests": group.requests, "by": {name: dict(_ranked(group.by[name])) for name in DIMENSIONS}}


def _moves(moves: Counter[Move]) -> list[dict[str, Any]]:
    return [
        {"from": move.origin, "to": move.target, "why": move.why, "requests": count} for move, count in _ranked(moves)
    ]


def tell(summary: Summary, log: LogTraffic, output: Output, rows: int) -> None:
    """Print the summary."""
    first, last = (format_stamp(at_us or 0) for at_us in (summary.first_us, summary.last_us))
    output.data(f"{counted(summary.decisions, 'decision')} from {first} to {last}")
    if summary.observed.requests:
        _tell_observed(summary.observed, output, rows)
    for digest, each in summary.shadows.items():
        _tell_shadow(digest, each, output, rows)
    if not log.report.clean:
        output.note("note: the log does NOT verify")
    output.note("note: the log cannot say what was not recorded; see `borderpost_observed_total` for that")


def _tell_observed(seen: ObservedChanges, output: Output, rows: int) -> None:
    output.data(f"\nobserved routes: {counted(seen.requests, 'request')} went their own way")
    _shares(output, seen.requests, (
        ("would have stayed", sum(seen.stayed.values())),
        ("would have been moved", seen.moved.requests),
        ("would have been refused", seen.refused.requests),
        ("nobody knows where they went", sum(seen.unplaced.values())),
    ))  # fmt: skip
    _tell_changes(seen, output, rows)
    _tell_moves("requests of which nobody knows where they went", seen.unplaced, output, rows, why=None)
    if seen.unplaced:
        output.note("hint: say under `observe.clusters` or `observe.routes.NAME.region` where they go")
    if seen.body_unseen:
        output.note(f"note: bodies of {counted(seen.body_unseen, 'request')} would have counted, and were not seen")
    if seen.unenforced:
        told = counted(seen.unenforced, "request")
        output.note(f"note: {told} came on routes that were to be ENFORCED, and Envoy only observed (BP1443)")


def _tell_shadow(digest: str, seen: ShadowChanges, output: Output, rows: int) -> None:
    output.data(f"\nshadow {digest}: weighed for {counted(seen.requests, 'request')}")
    _shares(output, seen.requests, (
        ("agrees", seen.requests - seen.changing),
        ("would have moved", seen.moved.requests),
        ("would have refused", seen.refused.requests),
        ("would have let go what was refused", seen.admitted.requests),
        *((f"differs by {kind}", count) for kind, count in _ranked(seen.otherwise)),
    ))  # fmt: skip
    _tell_changes(seen, output, rows)
    _tell_moves("would have let go", seen.admissions, output, rows, why="refused for")
    _tell_group("of what would have been let go", seen.admitted, output, rows)


def _tell_changes(seen: Changes, output: Output, rows: int) -> None:
    if seen.reasons:
        output.data("")
        table = [
            (f"{count:,}", str(how.status) if how.status else NONE, how.code, how.reason)
            for how, count in _ranked(seen.reasons)
        ]
        output.table(("requests", "status", "code", "reason"), table[:rows], title="would have been refused")
        tell_rest(len(table) - rows, output)
        _tell_group("of what would have been refused", seen.refused, output, rows)
    _tell_moves("would have been moved", seen.moves, output, rows, why="because of")
    _tell_group("of what would have been moved", seen.moved, output, rows)


def _tell_moves(title: str, moves: Counter[Move], output: Output, rows: int, *, why: str | None) -> None:
    if not moves:
        return
    output.data("")
    table = [(f"{n:,}", move.origin, move.target, *((move.why,) if why else ())) for move, n in _ranked(moves)]
    output.table(("requests", "from", "to", *((why,) if why else ())), table[:rows], title=title)
    tell_rest(len(table) - rows, output)


def _tell_group(title: str, group: Group, output: Output, rows: int) -> None:
    """Print what a group has, but for what all of it lacks."""
    if not group.requests:
        return
    table = [
        (name, value, f"{count:,}")
        for name in DIMENSIONS
        if set(group.by[name]) != {NONE}
        for value, count in _ranked(group.by[name])[:rows]
    ]
    output.data("")
    output.table(("by", "", "requests"), table, title=title)


def _shares(output: Output, whole: int, parts: Iterable[tuple[str, int]]) -> None:
    for words, count in parts:
        if count:
            output.data(f"  {count:>9,}  {100 * count / whole:5.1f} %  {words}")


def _ranked(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """Return the counts, the largest first, equal ones by name: the same log gives the same words."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
