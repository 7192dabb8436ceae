"""A steward's counting over a folder, with a clock that stands still and workers to count."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost.config.counters import CountersSection
from borderpost.counters.counting import Counting
from borderpost.counters.tally import WorkerTally
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.pack import Counter
from borderpost_base.errors import BorderpostError
from borderpost_base.metrics import Metrics, local_metrics
from borderpost_base.world import SystemClock, World
from support.audit import FailingDisk

CHINA = Counter(id="cn-pipl-year", zone="+08:00", bases=("art38-exempt",))
MONTHS = Counter(id="us-bulk", window="12-months", bases=("bulk",))
DAY_US = 86_400_000_000


def us(text: str) -> int:
    """Return an instant in microseconds since 1970."""
    return to_us(parse_instant(text))


class Clock(SystemClock):
    """Stands still where it is put."""

    def __init__(self, at: str) -> None:
        self.at_us = us(at)

    def wall_us(self) -> int:
        return self.at_us

    def mono_us(self) -> int:
        return 0


def law(thresholds: Mapping[str, tuple[int, ...]], *counters: Counter) -> PolicyBundle:
    """Return a policy with a regime for each counter, whose one entry is cut off at each of its thresholds."""
    regimes = []
    for counter in counters:
        allow: list[dict[str, Any]] = [{"to": "*", "basis": basis} for basis in counter.bases]
        for count in thresholds.get(counter.id, ()):
            allow.append({"to": "*", "basis": f"below-{count}", "below": {"counter": counter.id, "count": count}})
        said = {"id": f"r-{counter.id}", "title": "t", "source": "s", "applies_when": {"subject_in": "*"}}
        regimes.append({**said, "allow": allow, "counters": [counter.model_dump()]})
    return PolicyBundle.model_validate(
        {"here": {"country": "DE"}, "inline": {"regimes": regimes, "data_classes": {"personal": {}}}}
    )


class OwnList:
    """A list of events that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[LegalEvent] = []
        self.error: BorderpostError | None = None

    def add(self, event: LegalEvent) -> bool:
        if self.error is not None:
            raise self.error
        if any(known.id == event.id for known in self.events):
            return False
        self.events.append(event)
        return True


class Office:
    """A steward's counting over a folder, with workers to count."""

    def __init__(self, folder: Path, policy: PolicyBundle, at: str = "2026-11-20", **spec: Any) -> None:
        self.clock = Clock(at)
        self.disk = FailingDisk()
        self.world = World(clock=self.clock, disk=self.disk)
        self.folder = folder
        self.policy = policy
        self.spec = CountersSection(**{"directory": folder / "counters", "headroom_percent": 0.0, **spec})
        self.list = OwnList()
        self.metrics: Metrics = local_metrics()
        self.counting = self.begin()

    def begin(self) -> Counting:
        """Begin as a steward does that starts; the one before is dead."""
        if hasattr(self, "counting"):
            self.counting.book.release()
        self.counting = Counting(
            self.spec,
            self.folder,
            bundle=lambda: self.policy,
            add=self.list.add,
            world=self.world,
            metrics=self.metrics,
        )
        return self.counting

    def count(self, counter: Counter, by: int, stream: int = 0) -> None:
        tally = WorkerTally(self.folder, stream)
        tally.add(counter, by, self.clock.at_us)
        tally.close()

    def save(self) -> None:
        asyncio.run(self.counting._save())
