"""A law watch over a folder, with a clock that can be moved on, and what it published."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from borderpost.config.load import Loaded, load_config
from borderpost.events.store import FileStore
from borderpost.health import Outcome
from borderpost.law_watch import LawWatch
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import EventList
from borderpost.snapshots import SharedPage
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base.metrics import local_metrics
from borderpost_base.world import SystemClock, World
from support.borderpost_process import small_config, write_config
from support.signed_lists import ListWriter

REGIONS = {"eu-1": ("DE", 1)}


class Ahead(SystemClock):
    """The machine's clock, moved forward on request."""

    by_us = 0

    def mono_us(self) -> int:
        return super().mono_us() + self.by_us

    def wall_us(self) -> int:
        return super().wall_us() + self.by_us


class Case:
    """A law watch over a folder, and what it published."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = ListWriter()
        self.clock = Ahead()
        self.world = World(clock=self.clock)
        self.metrics = local_metrics()
        self.uptake = Uptake(UptakeMetrics.of_steward(self.metrics), self.world)
        self.page = SharedPage(directory / "page", create=True)
        self.published: list[list[str]] = []
        self.law: LawWatch

    def load(self, **events: Any) -> Loaded:
        config = {**small_config(REGIONS), "sinks": {"fleet": {"country": "DE"}}, "events": events}
        return load_config(write_config(self.directory, config), environ={})

    def begin(self, restored: EventList | None = None, **events: Any) -> LawWatch:
        self.law = LawWatch(
            self.load(**{"clock_error_ms": 0, **events}), restored=restored, page=self.page, world=self.world,
            metrics=self.metrics, uptake=self.uptake, on_change=lambda: self.published.append(self.ids),
        )  # fmt: skip
        return self.law

    def begin_signed(self, restored: EventList | None = None, **events: Any) -> LawWatch:
        """Begin with a signed list in a file."""
        return self.begin(restored, **{"file": "list.jsonl", "signers": self.writer.config(), **events})

    def reload(self, **events: Any) -> None:
        loaded = self.load(**{"clock_error_ms": 0, **events})
        self.law.refuse(loaded)
        self.law.replace(loaded)

    def write(self, *names: str) -> None:
        """Add events to the list, and put it in place."""
        for name in names:
            self.writer.add(name)
        (self.directory / "list.jsonl").write_bytes(b"".join(line + b"\n" for line in self.writer.lines))

    def vouch(self, at: datetime | None = None) -> None:
        FileStore(self.directory / "list.jsonl").put_heartbeat(self.writer.heartbeat(at or datetime.now(UTC)))

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.law.book.current().events]

    def check(self, name: str) -> Outcome | None:
        found = {check.name: check.outcome for check in (*self.law.checks(), *self.uptake.checks())}
        return found.get(name)

    def fresh_for_s(self) -> float:
        return (self.page.events_fresh_until_us - self.world.now_us()) / 1e6


def fired(name: str = "fired") -> LegalEvent:
    at = datetime(2026, 2, 1, tzinfo=UTC)
    scope = {"regions": ["eu-1"]}
    fields = {"type": "region_suspend", "scope": scope, "effective_from": at, "recorded_at": at, "trigger": "war"}
    return LegalEvent.model_validate({"id": name, "source": "a feed", "reason": "a war", **fields})
