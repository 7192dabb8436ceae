"""Show what has been counted for laws with a threshold, or make the count anew from the audit log.

    borderpost counters
    borderpost counters rebuild --log run/audit

A count is shown as it was last saved, which a running gateway does every `counters.save_s`. To rebuild it the gateway
must not run: every decision of the log that routes on a counted basis counts once, in the month of its instant. A log
whose older segments have gone counts what is left of it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", nargs="?", choices=("show", "rebuild"), default="show", help="default: show")
    parser.add_argument("--log", type=Path, metavar="DIR", help="rebuild: the audit directory")
    parser.add_argument(
        "--replica",
        metavar="NAME",
        help="rebuild: this gateway's name in the fleet's hash, if the file that had it is lost",
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do one or the other."""
    if (arguments.action == "rebuild") != (arguments.log is not None):
        raise BorderpostError("BP0004", "`rebuild` and --log go together", place=Place("counters"))
    if arguments.replica is not None and not re.fullmatch(r"[0-9a-f]{16}", arguments.replica):
        raise BorderpostError("BP0004", f"`{arguments.replica}` is not 16 hex digits", place=Place("--replica"))
    loaded = load(arguments)
    if arguments.action == "rebuild":
        records = _rebuild(loaded, arguments.log, arguments.replica)
        if not output.as_json:
            output.data(f"counted {records} records of {arguments.log}")
    rows = list(_rows(loaded))
    if output.as_json:
        output.result({"counters": rows})
    elif not rows:
        output.data("no regime of this policy has counters")
    else:
        headings = ("counter", "regime", "window", "here", "others", "total", "next threshold", "reached")
        output.table(headings, [_columns(row) for row in rows])
    return CLEAN


def _columns(row: dict[str, Any]) -> tuple[str, ...]:
    following = "-" if row["next_threshold"] is None else f"{row['next_threshold']:,}"
    reached = ", ".join(f"{count:,}" for count in row["reached"]) or "-"
    counts = (f"{row[name]:,}" for name in ("here", "others", "total"))
    return row["counter"], row["regime"], row["window"], *counts, following, reached


def _rows(loaded: Loaded) -> Iterator[dict[str, Any]]:
    """Yield what is known of each counter of the policy."""
    from borderpost.counters.book import Book
    from borderpost.counters.counting import reached_at
    from borderpost.counters.windows import window_at
    from borderpost.policy.compile import compile_policy
    from borderpost_base.world import World

    world = World()
    spec = loaded.config.counters
    book = Book.open(spec.directory, world)
    policy = compile_policy(loaded.bundle, loaded.regions)
    regime_of = {counter.id: regime.id for regime in loaded.bundle.regimes for counter in regime.counters}
    for counter_id, counter in sorted(policy.counters.items()):
        window = window_at(counter, world.now_us())
        here = sum(book.counts.get(f"{counter_id}/{month}", 0) for month in window.months)
        total = book.total(counter_id, window.months)
        thresholds = policy.thresholds.get(counter_id, ())
        reached = [count for count in thresholds if total >= reached_at(count, spec.headroom_percent)]
        yield {
            "counter": counter_id,
            "regime": regime_of[counter_id],
            "window": window.name,
            "here": here,
            "others": total - here,
            "total": total,
            "next_threshold": next((count for count in thresholds if count not in reached), None),
            "reached": reached,
        }


def _rebuild(loaded: Loaded, log: Path, replica: str | None) -> int:
    """Make the count anew; return how many records counted."""
    from borderpost.counters.book import BOOK_NAME, Book
    from borderpost.counters.rebuild import counts_of
    from borderpost.counters.tally import read_tallies
    from borderpost.runtime_directory import RuntimeDirectory
    from borderpost_base.world import World

    world = World()
    directory = loaded.config.counters.directory
    try:
        # Held for as long as this takes, so that no gateway begins to count meanwhile.
        with RuntimeDirectory(loaded.config.runtime.directory) as runtime:
            try:
                book = Book.open(directory, world)
            except BorderpostError:
                book = Book(directory / BOOK_NAME, world)  # it is damaged: that is what this is for
            book.hold()
            counts, records = counts_of(log, world)
            book.replace_counts(counts, read_tallies(runtime)[0])
            if replica is not None:
                book.replica = replica
            data = book.unsaved()
            if data is not None:
                book.save(data)
            book.release()
    except BorderpostError as error:
        if error.code == "BP0601":
            raise BorderpostError("BP1104", error.detail, place=error.place) from error
        raise
    except OSError as error:
        raise BorderpostError("BP1101", f"{error.strerror}", place=Place(str(directory))) from error
    return records
