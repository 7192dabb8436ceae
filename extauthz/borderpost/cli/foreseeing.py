"""What `whatif` and `risk` have in common: the traffic, the law that it meets, the signals, and the instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borderpost.cli.made_up import milliseconds_us, need_regions
from borderpost.cli.options import add_config, add_json, load, pairs
from borderpost.cli.output import Output
from borderpost.cli.progress import reading_bar
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.foresight.log import LogTraffic
    from borderpost.foresight.scenario import Scenario
    from borderpost.foresight.traffic import ReadTraffic, Unit
    from borderpost.regions.signals import Signals

SEED: Final = "0" * 16
"""Deals ties between equals where no log says how they were dealt."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is looked at: one kind of traffic, and the scenario that it meets now."""

    scenario: Scenario
    file: ReadTraffic | None
    log: LogTraffic | None
    notes: tuple[str, ...]

    @property
    def unit(self) -> Unit:
        """Return what weights count."""
        return self.file.unit if self.file is not None else "requests"

    def number(self, weight: int) -> float:
        """Return a weight as the number that people read: a count, or a rate a second."""
        from borderpost.foresight.traffic import PER_S_UNITS

        return weight / PER_S_UNITS if self.unit == "requests/s" else weight

    def told(self, weight: int) -> str:
        """Write a weight for people."""
        return figure(self.number(weight)) + ("/s" if self.unit == "requests/s" else "")

    def rate_per_s(self, weight: int) -> float | None:
        """Return a weight as a rate: of a log the mean over its time. None where no time is known."""
        if self.unit == "requests/s":
            return self.number(weight)
        if self.log is None or not self.log.window_us:
            return None
        return weight / (self.log.window_us / 1e6)

    def source_as_dict(self) -> dict[str, object]:
        """Return where the traffic is from, as JSON-ready data; of a log, once its batches were read."""
        from borderpost.audit.kinds import format_stamp

        log = self.log
        if log is None:
            return {"kind": "file", "unit": self.unit}
        rederived = log.rederived
        return {
            "kind": "log", "unit": self.unit, "verified": log.report.clean, "decisions": log.decisions,
            "observed": log.observed, "refused_before_law": log.unasked,
            "first": None if log.first_us is None else format_stamp(log.first_us),
            "last": None if log.last_us is None else format_stamp(log.last_us),
            "rederived": {
                "matched": rederived.matched, "differed": rederived.differed, "underivable": rederived.underivable,
                "examples": [{"decision": decision, "what": what} for decision, what in rederived.examples],
            },
        }  # fmt: skip


def add_traffic(parser: argparse.ArgumentParser) -> None:
    """Add where the traffic is from, the law and the signals."""
    traffic = parser.add_argument_group("the traffic: a file, or an audit log")
    traffic.add_argument("traffic", nargs="?", type=Path, metavar="FILE", help="a file of kind Traffic, or JSON lines")
    traffic.add_argument("--log", type=Path, metavar="DIR", help="an audit directory or a stream of it; verified first")
    traffic.add_argument("--from", dest="from_", metavar="TIME", help="only decisions of the log from then on")
    traffic.add_argument("--to", metavar="TIME", help="only decisions of the log before then")
    traffic.add_argument("--unverified", action="store_true", help="go on with a log that does not verify")
    traffic.add_argument("--no-progress", action="store_true", help="no progress bar, also in a terminal")
    now = parser.add_argument_group("what holds now")
    now.add_argument("--at", metavar="TIME", help="the instant, YYYY-MM-DD or with time and zone (default: now)")
    now.add_argument("--stale", action="store_true", help="as if the legal events were older than allowed")
    now.add_argument("--down", action="append", default=[], metavar="REGION", help="a region that is down anyway")
    now.add_argument("--up", action="store_true", help="take every region to be up")
    now.add_argument(
        "--latency", action="append", default=[], metavar="REGION=MS", help="what a probe measures, in milliseconds"
    )
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="rows shown of each list (default: 20)")
    add_config(parser)
    add_json(parser)


def figure(value: float) -> str:
    """Write a number for people: whole if it is, else to the thousandth."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def tell_rest(count: int, output: Output) -> None:
    """Say how many rows of a list are not shown."""
    if count > 0:
        output.data(f"and {count:,} more; --rows shows them, --json all")


def foreseen(arguments: argparse.Namespace, output: Output, now_us: int | None = None) -> Foreseen:
    """Read the traffic and build the scenario that it meets; `now_us` stands in for `--at`.

    A log brings its own law, that of its newest decision, unless a configuration is named. Raises BorderpostError or
    Problems.
    """
    from borderpost.foresight.log import LogTraffic
    from borderpost.foresight.traffic import read_traffic
    from borderpost.policy.fields import parse_instant, to_us
    from borderpost_base.world import World

    if (arguments.log is None) == (arguments.traffic is None):
        raise BorderpostError("BP0004", "name a file of traffic, or a log with --log", place=Place("traffic"))
    if arguments.rows < 1:
        raise BorderpostError("BP0004", "show one row at least", place=Place("--rows"))
    if arguments.log is None and (arguments.from_ or arguments.to or arguments.unverified):
        raise BorderpostError("BP0004", "--from, --to and --unverified are about a log", place=Place("--log"))
    at_us = to_us(parse_instant(arguments.at)) if arguments.at is not None else (now_us or World().now_us())
    file, log, notes = None, None, []
    if arguments.log is None:
        loaded = load(arguments)
        file = read_traffic(arguments.traffic)
        scenario = scenario_of(loaded, at_us)
        notes.append("no probe was asked: every region is taken to be up, but for --down")
    else:
        with reading_bar(output, "verify", wanted=not arguments.no_progress) as progress:
            log = LogTraffic.open(
                arguments.log,
                from_us=None if arguments.from_ is None else to_us(parse_instant(arguments.from_)),
                until_us=None if arguments.to is None else to_us(parse_instant(arguments.to)),
                unverified=arguments.unverified,
                progress=progress,
            )
        if arguments.config is not None or arguments.overrides:
            scenario = replace(scenario_of(load(arguments), at_us), signals=log.newest_signals())
        else:
            scenario = log.newest_scenario(at_us)
            notes.append("law and regions are those of the log's newest decision; name others with --config")
    signals = _signals(scenario, arguments.down, arguments.latency, all_up=arguments.up)
    scenario = replace(scenario, signals=signals, stale=arguments.stale)
    down = sorted(region for region in scenario.regions if signals.of(region).state == "down")
    if down:
        notes.append(f"down before any change: {', '.join(down)}")
    return Foreseen(scenario, file, log, tuple(notes))


def scenario_of(loaded: Loaded, at_us: int) -> Scenario:
    """Return what a configuration says, with every region up and no latency measured."""
    from borderpost.catalog import Catalog
    from borderpost.foresight.scenario import Scenario
    from borderpost.regions.signals import Signals

    catalog = Catalog.of(loaded.regions, loaded.config.ranking, loaded.config.failover)
    return Scenario(loaded.bundle, catalog, loaded.events, Signals.empty(SEED, at_us), at_us)


def _signals(scenario: Scenario, down: Sequence[str], latency: Sequence[str], *, all_up: bool) -> Signals:
    """Return the scenario's signals with what the arguments say of some regions."""
    from borderpost.regions.signals import RegionSignal, Signals, State

    figures = dict(pairs("--latency", latency))
    need_regions(scenario.regions, "--down", down)
    need_regions(scenario.regions, "--latency", figures)
    known = {}
    for region in scenario.regions:
        signal = scenario.signals.of(region)
        state = State.UP if all_up or region in figures else signal.state
        measured_us = milliseconds_us(figures[region]) if region in figures else signal.latency_us
        known[region] = RegionSignal(State.DOWN if region in down else state, measured_us)
    return Signals(known, scenario.signals.seed, scenario.signals.taken_at_us)


def log_notes(seen: Foreseen) -> list[str]:
    """Return what a reader should know of a log once it was read."""
    log = seen.log
    if log is None:
        return []
    rederived, notes = log.rederived, []
    verb = "verified" if log.report.clean else "does NOT verify"
    notes.append(f"the log {verb}: {log.decisions:,} decisions, {rederived.matched:,} derived anew just as recorded")
    if rederived.differed:
        first = ", ".join(f"{decision} ({what})" for decision, what in rederived.examples[:3])
        notes.append(f"{rederived.differed:,} decisions come out OTHERWISE than recorded: {first}")
    if rederived.underivable:
        notes.append(
            f"{rederived.underivable:,} decisions cannot be derived anew: inputs are missing or of another version"
        )
    if log.observed:
        notes.append(f"{log.observed:,} decisions are of observed routes, and count as if they were enforced")
    if log.stale:
        notes.append(f"{log.stale:,} decisions were made while legal events were stale, and are taken to be so again")
    if log.unasked:
        notes.append(f"{log.unasked:,} requests were refused before law was asked, and are left out")
    return notes
