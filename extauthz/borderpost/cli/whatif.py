"""Say what would happen to traffic without a region, an operator or a country, or under another law.

    borderpost whatif traffic.yaml --without operator=ExampleCloud
    borderpost whatif --log run/audit --without jurisdiction=US --at 2026-11-23
    borderpost whatif traffic.yaml --event injunction.yaml
    borderpost whatif --log run/audit --policy candidate.yaml

Each kind of request is decided twice by the engine that decides live ones: as things are, and as they would be. What a
region does not say may be anything: one that does not say who runs it, or where it retains, goes with each operator and
each country, as it does under legal events. Exit 0: nobody loses service, or no more than --max-loss. 1: somebody does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.foreseeing import Foreseen, add_traffic, foreseen, log_notes, scenario_of
from borderpost.cli.made_up import need_regions
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost_base.errors import BorderpostError, Place, Problems

if TYPE_CHECKING:
    from borderpost.foresight.change import Change, Changed
    from borderpost.foresight.comparison import Comparison
    from borderpost.foresight.scenario import Scenario
    from borderpost.policy.event_schema import LegalEvent


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    change = parser.add_argument_group("what changes; all that is named together")
    change.add_argument(
        "--without", action="append", default=[], metavar="KIND=NAME",
        help="what is lost: region=ID, operator=ENTITY, country=CODE (or a group), jurisdiction=CODE (of operators), "
        "basis=REGIME/NAME; may be repeated",
    )  # fmt: skip
    change.add_argument(
        "--operator-jurisdiction", action="append", default=[], metavar="CODE",
        help="all operators who can be compelled there are lost: the same as --without jurisdiction=CODE",
    )  # fmt: skip
    change.add_argument(
        "--event", action="append", default=[], type=Path, metavar="FILE",
        help="a legal event, or trigger, takes effect; nobody needs to have signed it",
    )  # fmt: skip
    change.add_argument("--policy", type=Path, metavar="FILE", help="another configuration takes the place of this one")
    change.add_argument(
        "--only-named", action="store_true", help="leave in regions that do not say enough to be meant for sure"
    )
    add_traffic(parser)
    parser.add_argument(
        "--max-loss", type=float, default=0.0, metavar="PERCENT", help="how much may lose service (default: 0)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Compare, report, and judge by what is lost."""
    from borderpost.foresight.whatif import Latencies, compare_file, compare_log

    if not 0 <= arguments.max_loss <= 100:
        raise BorderpostError("BP0004", "a share is from 0 to 100 percent", place=Place("--max-loss"))
    seen = foreseen(arguments, output)
    before, base, change = _supposed(arguments, seen)
    changed = change.applied(base)
    seen = replace(seen, scenario=before)
    if seen.file is not None:
        need_regions(before.regions, "capacity_per_s", seen.file.traffic.capacity_per_s)
    latencies = Latencies(seen.file.traffic.latency_ms if seen.file is not None else {}, before)
    if seen.file is not None:
        comparison = compare_file(seen.file, before, changed.scenario, latencies)
    elif seen.log is not None:
        comparison = compare_log(seen.log, before, changed.scenario, latencies)
    report = Report(seen, change, changed, comparison, arguments.policy, len(base.regions))
    if output.as_json:
        output.result(report.as_dict())
    else:
        from borderpost.cli.whatif_page import tell

        tell(report, output, arguments.rows)
    return FINDINGS if comparison.lost * 100 > arguments.max_loss * comparison.served else CLEAN


def _supposed(arguments: argparse.Namespace, seen: Foreseen) -> tuple[Scenario, Scenario, Change]:
    """Return what holds now, what the change is made to, and the change.

    Where no instant was named, it is the first one from now on at which every event holds.
    """
    from borderpost.config.load import load_config
    from borderpost.foresight.change import Change, parsed
    from borderpost.foresight.losses import Loss
    from borderpost.foresight.scenario import first_instant_us

    before = seen.scenario
    base = before
    if arguments.policy is not None:
        base = scenario_of(load_config(arguments.policy), before.at_us)
    events = [read_event(file, base) for file in arguments.event]
    at_us = before.at_us
    if arguments.at is None:
        for event in events:
            at_us = first_instant_us(event, base.events, at_us)
    before = replace(before, at_us=at_us)
    if arguments.policy is None:
        base = before
    else:
        base = replace(base, signals=before.signals, at_us=at_us, stale=before.stale)
    lost = [parsed(text) for text in arguments.without]
    lost += [Loss("jurisdiction", code) for code in arguments.operator_jurisdiction]
    if not lost and not events and arguments.policy is None:
        mend = "--without, --operator-jurisdiction, --event or --policy"
        raise BorderpostError("BP0004", "nothing is supposed to change", place=Place("whatif"), mend=mend)
    return before, base, Change((*dict.fromkeys(lost), *events), only_sure=arguments.only_named)


def read_event(file: Path, scenario: Scenario) -> LegalEvent:
    """Read a legal event, or what a trigger would fire.

    Raises BorderpostError or Problems: for what does not fit the form, and for names that the scenario does not have.
    """
    from borderpost.cli.events.signing import event_of
    from borderpost.events.documents import read_document
    from borderpost.policy.check import check_events
    from borderpost_base.yaml_source import dotted

    event = event_of(read_document(file), Place(str(file)))
    unsigned = "BP0224"
    found = [
        BorderpostError(error.code, error.detail, place=Place(str(file), key=dotted(path[2:])), mend=error.mend)
        for path, error in check_events((event,), scenario.regions, scenario.bundle.vocabulary)
        if error.code != unsigned
    ]
    if found:
        raise Problems(found)
    return event


class Report:
    """What was found, for people and programs."""

    def __init__(
        self, seen: Foreseen, change: Change, changed: Changed, comparison: Comparison, policy: Path | None, known: int
    ) -> None:  # fmt: skip
        self.seen = seen
        self.change = change
        self.changed = changed
        self.comparison = comparison
        self._policy = policy
        self._known = known

    def summary(self) -> str:
        """Return the whole in a sentence or two."""
        found, share = self.comparison, self.comparison.share
        words = f"{self._change_words()}: {share(found.lost):.1f} % of requests lose service, "
        words += f"{share(found.moved):.1f} % move{self._cost_words()}, {share(found.stayed):.1f} % stay."
        if found.gained:
            words += f" {self.seen.told(found.gained)} that are refused now would be served."
        return words

    def _change_words(self) -> str:
        from borderpost.foresight.change import told

        words = told(self.change.supposed)
        if self._policy is not None:
            words = ", ".join(part for part in (f"under {self._policy.name}", words) if part)
        if self.changed.gone:
            words += f" ({len(self.changed.gone)} of {self._known} regions)"
        return words[:1].upper() + words[1:]

    def _cost_words(self) -> str:
        moves = self.comparison.all_moves
        if not moves.weight:
            return ""
        if moves.mean_us is None:
            return " (at a latency that is unknown)"
        words = f" ({moves.mean_us / 1000:+.1f} ms on average"
        if moves.known < moves.weight:
            words += f", known of {100 * moves.known / moves.weight:.0f} %"
        return f"{words})"

    def loads(self) -> Iterator[dict[str, Any]]:
        """Yield the load of each region before and after, against what it can bear where that is known."""
        capacities = self.seen.file.traffic.capacity_per_s if self.seen.file is not None else {}
        found = self.comparison
        names = {*self.seen.scenario.regions, *self.changed.scenario.regions}
        for region in sorted(names, key=lambda name: (-found.load_after[name], -found.load_before[name], name)):
            after_per_s = self.seen.rate_per_s(found.load_after[region])
            capacity = capacities.get(region)
            yield {
                "region": region,
                "gone": region not in self.changed.scenario.regions,
                "before": self.seen.number(found.load_before[region]),
                "after": self.seen.number(found.load_after[region]),
                "after_per_s": after_per_s,
                "capacity_per_s": capacity,
                "overloaded": None if capacity is None or after_per_s is None else after_per_s > capacity,
            }

    def notes(self) -> list[str]:
        """Return what a reader should know."""
        from borderpost.foresight.losses import Loss

        notes = [*log_notes(self.seen), *self.seen.notes]
        if self.changed.unsure:
            names = ", ".join(sorted(self.changed.unsure))
            deed = "left in" if self.change.only_sure else "lost too; --only-named leaves them in"
            notes.append(f"{names}: not enough is said of them to know whether they are meant: {deed}")
        if not self.changed.gone and any(isinstance(each, Loss) for each in self.change.supposed):
            notes.append("no region of the catalogue is meant, so none is lost")
        for name in self.changed.own:
            what = "this gateway itself" if name == "here" else f"the sink {name}"
            notes.append(f"{what} would be lost too; only what regions serve is reckoned here")
        notes += [f"{row['region']} would get more than it can bear" for row in self.loads() if row["overloaded"]]
        unknown = self.comparison.all_moves.weight - self.comparison.all_moves.known
        if unknown:
            notes.append(f"{self.seen.told(unknown)} requests move at an unknown latency: no figure for both regions")
        if self.comparison.drawn:
            told = self.seen.told(self.comparison.drawn)
            notes.append(f"{told} requests would be served by one of several equals; live, each snapshot draws anew")
        if self.comparison.together:
            notes.append(f"{self.seen.told(self.comparison.together)} requests are listed together: too many kinds")
        return notes

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data. Numbers are counts or, with `unit` requests/s, rates."""
        from borderpost.audit.kinds import format_stamp

        found, number = self.comparison, self.seen.number
        totals = {
            name: getattr(found, name) for name in ("total", "served", "lost", "moved", "stayed", "gained", "refused")
        }
        return {
            "summary": self.summary(),
            "at": format_stamp(self.seen.scenario.at_us),
            "traffic": self.seen.source_as_dict(),
            "change": {
                "supposed": [str(getattr(each, "id", each)) for each in self.change.supposed],
                "policy": None if self._policy is None else str(self._policy),
                "gone": sorted(self.changed.gone),
                "unsure": sorted(self.changed.unsure),
                "own": list(self.changed.own),
            },
            "totals": {name: number(weight) for name, weight in totals.items()},
            "percent_of_served": {name: round(found.share(totals[name]), 4) for name in ("lost", "moved", "stayed")},
            "latency": found.all_moves.as_dict(number),
            "losing": [
                {**each.who.as_dict(), "region": each.region, "reason": each.reason, "requests": number(weight)}
                for each, weight in found.losing.most_common()
            ],
            "gaining": [
                {**who.as_dict(), "region": region, "requests": number(weight)}
                for (who, region), weight in found.gaining.most_common()
            ],
            "moves": [
                {"from": pair[0], "to": pair[1], **move.as_dict(number)} for pair, move in sorted(found.moves.items())
            ],
            "regions": list(self.loads()),
            "notes": self.notes(),
        }
