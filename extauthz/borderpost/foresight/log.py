"""Traffic from an audit log: verified, its decisions derived anew, and grouped by what was known of each request.

A log of millions of records is streamed: groups are handed on in batches, so that memory does not grow with it. What
was appended after the log was verified is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from borderpost.audit import reader
from borderpost.audit.backwards import stream_backwards
from borderpost.audit.findings import Report
from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import parse_stamp
from borderpost.audit.profile import ProfileError, decode
from borderpost.audit.segment import INPUTS_NAME
from borderpost.audit.verify import Progress, verify
from borderpost.catalog import Catalog
from borderpost.foresight.rederivation import Rederivation
from borderpost.foresight.scenario import Scenario
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.events import EventList
from borderpost.policy.model import Facts
from borderpost.recorded_decision import facts_of
from borderpost.regions.signals import Signals
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

_DECISION: Final = b'"type":"decision"'


class Kind(NamedTuple):
    """Requests of which the same was known."""

    facts: Facts
    stale: bool
    """True where the legal events were older than allowed."""


@dataclass(slots=True)
class LogTraffic:
    """The decisions of a log within a time, read once by `batches`."""

    path: Path
    report: Report
    store: InputStore
    from_us: int | None = None
    """First instant to look at; None: from the beginning."""
    until_us: int | None = None
    """First instant not to look at any more; None: to the end."""
    decisions: int = 0
    """Decisions for which law was asked."""
    observed: int = 0
    """Those of them that bound nobody, since their routes are only observed."""
    unasked: int = 0
    """Requests refused before law was asked: malformed, or with evidence that does not hold."""
    stale: int = 0
    """Decisions made while the legal events were older than allowed; they are taken to be so again."""
    first_us: int | None = None
    last_us: int | None = None
    rederived: Rederivation = field(init=False)

    def __post_init__(self) -> None:
        self.rederived = Rederivation(self.store)

    @classmethod
    def open(
        cls, path: Path, *, from_us: int | None = None, until_us: int | None = None, unverified: bool = False,
        progress: Progress | None = None,
    ) -> LogTraffic:  # fmt: skip
        """Verify a log (an audit directory, or a stream of one).

        Raises BorderpostError: BP0408 for what is no log, BP1253 where it does not verify, unless `unverified` says
        that what can be read will do.
        """
        report = verify(path, progress)
        if not report.clean and not unverified:
            first = report.findings[0]
            detail = f"{len(report.findings) + report.unlisted:,} findings; the first: {first.what}"
            raise BorderpostError("BP1253", detail, place=Place(first.file, first.line))
        directory = path if (path / INPUTS_NAME).is_dir() else path.absolute().parent
        return cls(path, report, InputStore(directory, World()), from_us, until_us)

    @property
    def window_us(self) -> int:
        """Return the time from the first decision to the last, once all batches were read."""
        return 0 if self.first_us is None or self.last_us is None else self.last_us - self.first_us

    def batches(self) -> Iterator[dict[Kind, int]]:
        """Yield the decisions grouped by what was known, with how many there are of each; a kind may come again."""
        groups: dict[Kind, int] = {}
        for record, at_us in self.records():
            if "table" not in record:
                self.unasked += 1
                continue
            self.decisions += 1
            self.observed += record["mode"] == "observe"
            self.first_us = at_us if self.first_us is None else min(self.first_us, at_us)
            self.last_us = at_us if self.last_us is None else max(self.last_us, at_us)
            kind = Kind(facts_of(record), record.get("stale", False))
            self.stale += kind.stale
            self.rederived.check(record, kind.facts, at_us)
            groups[kind] = groups.get(kind, 0) + 1
            if len(groups) >= limits.TRAFFIC_GROUPS_MAX:
                yield groups
                groups = {}
        if groups:
            yield groups

    def records(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield every record of a decision within the time, with its instant, microseconds since 1970."""
        for directory in reader.stream_directories(self.path):
            last = self._last_verified(directory)
            for located in reader.read_stream(directory):
                record = located.record
                if record.get("type") != "decision" or record["seq"] > last:
                    continue
                at_us = parse_stamp(record["ts"])
                if (self.from_us is None or self.from_us <= at_us) and (self.until_us is None or at_us < self.until_us):
                    yield record, at_us

    def _last_verified(self, directory: Path) -> int:
        """Return the last sequence number of a stream that was verified; -1 if none was."""
        found = (figures.last_seq for figures in self.report.streams if figures.stream == directory.name)
        last = next(found, None)
        return -1 if last is None else last

    def newest_scenario(self, at_us: int) -> Scenario:
        """Return what the newest decision within the time was made from, at an instant.

        Raises BorderpostError BP1254 where there is none, BP0407 or BP0215 where an input of it cannot be used.
        """
        inputs, seed, taken_us = self._newest()
        signals = self.store.get(inputs["signals"]) if "signals" in inputs else None
        return Scenario(
            PolicyBundle.from_canonical(self.store.get(inputs["policy"])),
            Catalog.from_canonical(self.store.get(inputs["catalog"])),
            EventList.from_canonical(self.store.get(inputs["events"])),
            Signals.from_canonical(signals) if signals is not None else Signals.empty(seed, taken_us),
            at_us,
        )

    def newest_signals(self) -> Signals:
        """Return what was known of the regions at the newest decision. Raises as `newest_scenario` does."""
        return self.newest_scenario(0).signals

    def _newest(self) -> tuple[dict[str, str], str, int]:
        found: tuple[int, dict[str, Any]] | None = None
        for directory in reader.stream_directories(self.path):
            last = self._last_verified(directory)
            for line in stream_backwards(directory, [_DECISION]):
                record = _read(line)
                if record is None or "table" not in record or record["seq"] > last:
                    continue
                at_us = parse_stamp(record["ts"])
                if self.until_us is not None and at_us >= self.until_us:
                    continue
                if found is None or at_us > found[0]:
                    found = at_us, record
                break
        if found is None or (self.from_us is not None and found[0] < self.from_us):
            raise BorderpostError("BP1254", "no request in it got as far as the law", place=Place(str(self.path)))
        return found[1]["inputs"], found[1]["seed"], found[0]


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = decode(line)
    except ProfileError:
        return None
    return record if type(record) is dict and record.get("type") == "decision" else None
