"""Publication: what is new is checked, published whole, and not forgotten where publishing fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.snapshots import SnapshotWriter
from borderpost_base.errors import BorderpostError
from support.mmdb_writer import write_mmdb
from support.worker_parts import WorkerParts, worker_parts

EVENTS = {"events": {"file": "events.yaml"}}


def event(id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "region_suspend",
        "scope": {"regions": ["eu-1"]},
        "effective_from": "2026-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z",
        "source": "a court",
        "reason": "an order",
        **changes,
    }


def write_events(directory: Path, *events: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "residency/v1", "kind": "LegalEvents", "events": list(events)})
    fresh = directory / "events.new"
    fresh.write_text(text)
    fresh.rename(directory / "events.yaml")


def ids(parts: WorkerParts) -> list[str]:
    view = parts.live.view
    assert view is not None
    return [each.id for each in view.event_list.events]


async def looked(parts: WorkerParts) -> list[dict[str, Any]]:
    """Let the publication look for changes, and the worker take them; return what was logged."""
    with capture_logs() as told:
        await parts.publication.look_for_changes()
    await parts.take()
    return [dict(line) for line in told]


def test_events_appended_are_taken(tmp_path: Path) -> None:
    async def main() -> None:
        write_events(tmp_path, event("a"))
        async with worker_parts(tmp_path, changes=EVENTS) as parts:
            assert ids(parts) == ["a"]
            write_events(tmp_path, event("a"), event("b"))
            await looked(parts)
            assert ids(parts) == ["a", "b"]
            assert parts.metrics.reload_total.get("events", "taken") == 1

    asyncio.run(main())


def test_nothing_new_publishes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        write_events(tmp_path, event("a"))
        async with worker_parts(tmp_path, changes=EVENTS) as parts:
            generation = parts.page.generation
            for _ in range(3):
                await looked(parts)
            assert parts.page.generation == generation

    asyncio.run(main())


def test_an_event_written_between_loading_and_watching_is_noticed(tmp_path: Path) -> None:
    async def main() -> None:
        write_events(tmp_path)
        async with worker_parts(tmp_path, changes=EVENTS, opened=False) as parts:
            write_events(tmp_path, event("a"))
            parts.publication.publish()
            await looked(parts)
            assert ids(parts) == ["a"]

    asyncio.run(main())


@pytest.mark.parametrize("later", [[], [event("b")], [event("a", reason="another")], [event("b"), event("a")][:1]])
def test_a_list_that_rewrites_the_past_is_not_taken(tmp_path: Path, later: list[dict[str, Any]]) -> None:
    async def main() -> None:
        write_events(tmp_path, event("a"))
        async with worker_parts(tmp_path, changes=EVENTS) as parts:
            write_events(tmp_path, *later)
            told = await looked(parts)
            assert ids(parts) == ["a"]
            assert any(line.get("code") == "BP0606" for line in told)
            assert parts.metrics.reload_total.get("events", "refused") == 1
            with pytest.raises(BorderpostError, match="BP0606"):
                parts.reload({})  # nor by way of a new configuration
            await parts.take()
            assert ids(parts) == ["a"]
            write_events(tmp_path, event("a"), event("c"))
            await looked(parts)
            assert ids(parts) == ["a", "c"]

    asyncio.run(main())


@pytest.mark.parametrize("text", ["events: [", "events: 7", ""])
def test_events_that_cannot_be_read_are_told_and_not_taken(tmp_path: Path, text: str) -> None:
    async def main() -> None:
        write_events(tmp_path, event("a"))
        async with worker_parts(tmp_path, changes=EVENTS) as parts:
            await looked(parts)
            (tmp_path / "events.yaml").write_text(text)
            told = await looked(parts)
            assert any(line["log_level"] == "error" for line in told)
            assert ids(parts) == ["a"]
            (tmp_path / "events.yaml").unlink()
            await looked(parts)
            assert ids(parts) == ["a"]

    asyncio.run(main())


def test_news_that_cannot_be_published_are_tried_again_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = SnapshotWriter.publish

    def refused(self: SnapshotWriter, *_: Any, **__: Any) -> dict[str, str]:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        write_events(tmp_path)
        async with worker_parts(tmp_path, changes=EVENTS) as parts:
            monkeypatch.setattr(SnapshotWriter, "publish", refused)
            write_events(tmp_path, event("a"))
            told = [line for _ in range(3) for line in await looked(parts)]
            assert [line["code"] for line in told if line["log_level"] == "error"] == ["BP0604"]
            assert not parts.publication.complete
            assert ids(parts) == []
            monkeypatch.setattr(SnapshotWriter, "publish", published)
            await looked(parts)
            assert parts.publication.complete
            assert ids(parts) == ["a"]

    asyncio.run(main())


def test_another_geoip_database_is_taken_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            assert (await parts.ask()).cluster == "eu-1"
            path = tmp_path / "country.mmdb"
            (tmp_path / "damaged").write_bytes(path.read_bytes()[:100])
            (tmp_path / "damaged").rename(path)
            assert await looked(parts) == []  # it may still be being written
            told = await looked(parts)
            assert any("geoip not taken" in line["event"] for line in told)
            assert (await parts.ask()).cluster == "eu-1"
            networks = {"212.58.244.0/24": {"country": {"iso_code": "IR"}}}
            write_mmdb(tmp_path / "other", networks, database_type="GeoIP2-Country").rename(path)
            await looked(parts)
            await looked(parts)
            assert (await parts.ask()).refusal[0] == 451

    asyncio.run(main())
