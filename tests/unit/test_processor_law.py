"""The processor and what changes the law beneath it: stale events, counters, events that take effect."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.record import parse
from borderpost.counters.tally import WorkerTally, read_tallies
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost_base.errors import BorderpostError
from borderpost_base.world import SystemClock
from support.audit import lines_of
from support.worker_parts import FakeCall, WorkerParts, question, until, worker_parts


class Ahead(SystemClock):
    """The machine's clock, moved forward on request."""

    by_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.by_us


def records(parts: WorkerParts, kind: str) -> list[dict[str, Any]]:
    return [record for record in map(parse, lines_of(parts.audit)) if record["type"] == kind]


REVOCABLE: dict[str, Any] = {
    "here": {"country": "GB"},
    "policy": {
        "packs": ["starter"],
        "regimes": [
            {
                "id": "house", "title": "House rule", "source": "Board", "applies_when": {"subject_in": "*"},
                "allow": [
                    {"to": ["DE", "GB"], "basis": "treaty"},
                    {"to": ["IE", "GB"], "basis": "own", "revocable": False},
                    {"to": "GB", "basis": "home", "revocable": False},
                ],
            }
        ],
    },
}  # fmt: skip
"""British data goes to Germany by a treaty that an event could take away, and to Ireland in any case."""


def test_where_events_are_too_old_no_revocable_basis_counts_until_they_are_fresh_again(tmp_path: Path) -> None:
    changes = {**REVOCABLE, "policy": {**REVOCABLE["policy"], "packs": ["base"], "no_regime": "allow"}}

    async def main() -> None:
        async with worker_parts(tmp_path, changes=changes) as parts:
            told = []
            for until_us in (2**63 - 1, parts.world.now_us() - 1, parts.world.now_us() - 2, 2**63 - 1):
                parts.page.keep_events_fresh(until_us)
                for _ in range(2):
                    call = await parts.ask()
                    told.append((call.cluster, records(parts, "decision")[-1].get("stale", False)))
            assert told == [("eu-1", False)] * 2 + [("eu-2", True)] * 4 + [("eu-1", False)] * 2
            view = parts.live.view
            assert view is not None and not view.stale
            stale = view.turned(stale=True)
            assert stale.stale and not stale.turned(stale=False).stale
            assert view.turned(stale=True)._law is stale._law, "what is remembered of either outlives other signals"

    asyncio.run(main())


def test_freshness_ends_by_itself_between_two_batches(tmp_path: Path) -> None:
    clock = Ahead()
    changes = {**REVOCABLE, "policy": {**REVOCABLE["policy"], "packs": ["base"], "no_regime": "allow"}}

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock, changes=changes) as parts:
            parts.page.keep_events_fresh(parts.world.now_us() + 3_600_000_000)
            assert (await parts.ask()).cluster == "eu-1"
            clock.by_us = 3_601_000_000
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


COUNTED: dict[str, Any] = {
    "policy": {
        "packs": ["base"],
        "no_regime": "allow",
        "regimes": [
            {
                "id": "house", "title": "House rule", "source": "Board", "applies_when": {"subject_in": "*"},
                "allow": [{"to": ["DE", "IE"], "basis": "small:scale"}],
                "counters": [{"id": "exports", "bases": ["small:scale"]}, {"id": "again", "bases": ["small:scale"]}],
            }
        ],
    }
}  # fmt: skip


def test_each_request_routed_on_a_counted_basis_is_counted_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=COUNTED) as parts:
            calls = [FakeCall() for _ in range(50)]
            parts.processor.messages([(call, question(request_id=f"r-{n}")) for n, call in enumerate(calls)])
            await until(lambda: all(call.answered for call in calls))
            await parts.ask(question("203.0.113.7"))  # of an unknown place: refused, and not counted
            ((tally,), _) = read_tallies(tmp_path / "state")
            month = records(parts, "decision")[0]["ts"][:7]
            assert tally.counts == {f"exports/{month}": 50, f"again/{month}": 50}
            refused = [record for record in records(parts, "decision") if record["out"]["action"] == "refuse"]
            assert len(refused) == 1

    asyncio.run(main())


def test_what_cannot_be_counted_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise BorderpostError("BP1103", "no room")

    async def main() -> None:
        async with worker_parts(tmp_path, changes=COUNTED) as parts:
            assert (await parts.ask()).cluster
            monkeypatch.setattr(WorkerTally, "add", full)
            calls = [FakeCall(), FakeCall()]
            parts.processor.messages([(calls[0], question()), (calls[1], question("203.0.113.7"))])
            await until(lambda: all(call.answered for call in calls))
            assert [call.refusal[0] for call in calls] == [503, 403]
            assert len(records(parts, "decision")) == 2

    asyncio.run(main())


def test_an_event_is_announced_although_other_signals_came_meanwhile(tmp_path: Path) -> None:
    """Signals come ten times a second: what takes effect between the last batch and one of them must not be lost."""

    clock = Ahead()
    event = {
        "id": "order-1", "type": "region_suspend", "scope": {"regions": ["eu-1"]},
        "effective_from": "2035-01-01T00:00:00Z", "effective_until": "2036-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z", "source": "a court", "reason": "an order",
    }  # fmt: skip
    (tmp_path / "events.yaml").write_text(json.dumps({"events": [event]}))

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock, changes={"events": {"file": "events.yaml"}}) as parts:
            await parts.ask()
            clock.by_us = 9 * 366 * 86_400 * 1_000_000
            signals = Signals({"us-1": RegionSignal(State.DOWN)}, "0" * 16, parts.world.now_us())
            parts.publication._take_signals(signals)
            await parts.take()
            assert (await parts.ask()).cluster == "eu-2"
            (applied,) = [each for each in records(parts, "legal_event.apply") if "event" in each]
            assert (applied["event"], applied["kind"]) == ("order-1", "region_suspend")
            assert applied["effective_from"] == "2035-01-01T00:00:00.000000Z"
            assert applied["effective_until"] == "2036-01-01T00:00:00.000000Z"
            assert applied["recorded_at"] == "2026-01-01T00:00:00.000000Z"

    asyncio.run(main())
