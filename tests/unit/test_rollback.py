"""Nothing older than what was seen: at start, where the log tells, and while running."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from borderpost.anonymiser_files import AnonymiserFiles
from borderpost.audit.inputs import InputStore
from borderpost.audit.reader import read_log
from borderpost.audit.segment import segment_name
from borderpost.cli.main import main
from borderpost.config.load import Loaded, load_config
from borderpost.rollback import Settled, settle
from borderpost.seen import SeenStore, last_inputs, marks_of
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from support.mmdb_writer import BUILD_EPOCH_S, write_mmdb
from support.worker_parts import WorkerParts, until, worker_parts

CHANGES = {
    "policy": {"packs": ["starter", "own.yaml"]},
    "events": {"file": "events.yaml"},
    "geoip": {"anonymisers": ["exits.txt", "exits.mmdb"]},
}
EVENT = {
    "id": "suspended",
    "type": "region_suspend",
    "scope": {"regions": ["eu-1"]},
    "effective_from": "2026-01-01",
    "recorded_at": "2026-01-02",
    "source": "a court",
    "reason": "an order",
}


def write_pack(directory: Path, *, as_of: str = "2026-02-01", version: str = "2", title: str = "Rule") -> None:
    metadata = {"id": "own", "version": version, "as_of": as_of, "not_legal_advice": True}
    regime = {"id": "own-rule", "title": title, "source": "us", "applies_when": {"data": ["*"], "subject_in": ["FR"]}}
    pack = {
        "apiVersion": "residency/v1",
        "kind": "PolicyPack",
        "metadata": metadata,
        "regimes": [{**regime, "deny": [{"to": ["US"]}]}],
    }
    (directory / "own.yaml").write_text(json.dumps(pack))


def write_events(directory: Path, *events: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "residency/v1", "kind": "LegalEvents", "events": events})
    (directory / "events.yaml").write_text(text)


def write_database(directory: Path, age_s: int) -> None:
    networks = {"212.58.244.0/24": {"country": {"iso_code": "GB"}}}
    fresh = write_mmdb(directory / "new", networks, database_type="GeoIP2-Country", build_epoch_s=BUILD_EPOCH_S - age_s)
    fresh.rename(directory / "country.mmdb")


def write_exits(directory: Path, age_s: int = 0, *, line: str = "9.9.9.9", kind: str = "GeoIP2-Anonymous-IP") -> None:
    (directory / "exits.txt").write_text(f"{line}\n")
    networks = {"8.8.8.0/24": {"is_anonymous": True}}
    fresh = write_mmdb(directory / "new", networks, database_type=kind, build_epoch_s=BUILD_EPOCH_S - age_s)
    fresh.rename(directory / "exits.mmdb")


def decided_once(directory: Path) -> None:
    """Leave a log with one decision behind."""

    async def main() -> None:
        async with worker_parts(directory, changes=CHANGES) as parts:
            await parts.ask()

    asyncio.run(main())


def load(directory: Path) -> Loaded:
    return load_config(directory / "borderpost.yaml", environ={})


def codes(settled: Settled) -> dict[str, list[str]]:
    told = {}
    for what, error in (settled.refused or {}).items():
        told[what] = [each.code for each in error.errors] if isinstance(error, Problems) else [error.code]
    return told


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Return a folder whose log has seen version 2 of a pack, an event, and a database."""
    write_pack(tmp_path)
    write_events(tmp_path, EVENT)
    write_exits(tmp_path)
    decided_once(tmp_path)
    return tmp_path


def test_a_first_start_takes_anything(seen: Path) -> None:
    write_pack(seen, as_of="2001-01-01")
    write_database(seen, age_s=10**6)
    (seen / "audit").rename(seen / "elsewhere")
    settled = settle(load(seen), World())
    assert (settled.refused, settled.events) == (None, None)
    assert str(settled.packs["own"]) == "2 of 2001-01-01"


def test_the_same_and_newer_ones_are_taken(seen: Path) -> None:
    loaded = load(seen)
    settled = settle(loaded, World())
    assert settled.refused is None
    assert settled.loaded is loaded
    assert settled.events is not None
    assert [event.id for event in settled.events.events] == ["suspended"]
    for edition in (
        {"version": "2", "title": "Same edition"},
        {"version": "10"},
        {"as_of": "2026-03-01", "version": "1"},
    ):
        write_pack(seen, **edition)
        assert settle(load(seen), World()).refused is None
    write_database(seen, age_s=-1)
    assert settle(load(seen), World()).refused is None


@pytest.mark.parametrize("edition", [{"as_of": "2026-01-31", "version": "3"}, {"version": "1.9"}])
def test_an_older_pack_is_refused_and_the_newer_one_comes_back(seen: Path, edition: dict[str, str]) -> None:
    before = load(seen)
    write_pack(seen, **edition)
    settled = settle(load(seen), World())
    assert codes(settled) == {"config": ["BP0610"]}
    assert settled.loaded.bundle == before.bundle
    assert settled.packs == marks_of(before.bundle)
    assert "seen was 2 of 2026-02-01" in str((settled.refused or {})["config"])


def test_an_older_database_is_refused_and_the_copy_comes_back(seen: Path) -> None:
    before = settle(load(seen), World()).geo
    write_database(seen, age_s=1)
    settled = settle(load(seen), World())
    assert codes(settled) == {"geoip": ["BP0611"]}
    assert settled.geo.digest == before.digest
    assert settled.geo.path.parent.name == "sha256"


def test_an_older_database_of_anonymisers_is_refused_and_the_copies_come_back(seen: Path) -> None:
    write_exits(seen, age_s=1)
    settled = settle(load(seen), World())
    assert codes(settled) == {"anonymisers": ["BP0611"]}
    assert settled.anonymisers is not None
    assert settled.anonymisers.digest == last_inputs(seen / "audit")["anonymisers"].digest


def test_other_anonymisers_that_are_not_older_are_taken(seen: Path) -> None:
    for how in ({"age_s": -1}, {"line": "7.7.7.7"}, {"age_s": 5, "kind": "another publisher's"}):
        write_exits(seen, **how)
        settled = settle(load(seen), World())
        assert (settled.refused, settled.anonymisers) == (None, None)


def test_anonymisers_that_are_configured_no_more_are_let_go(seen: Path) -> None:
    loaded = load(seen)
    without = loaded.config.model_copy(update={"geoip": loaded.config.geoip.model_copy(update={"anonymisers": ()})})
    settled = settle(dataclasses.replace(loaded, config=without), World())
    assert (settled.refused, settled.anonymisers) == (None, None)


def test_what_was_refused_at_the_start_stays_refused_and_the_copies_decide(seen: Path) -> None:
    write_exits(seen, age_s=1)
    settled = settle(load(seen), World())
    files = AnonymiserFiles(settled.loaded.config.geoip.anonymisers, settled.anonymisers)
    uptake = Uptake(UptakeMetrics.of_steward(local_metrics()), World())

    async def look_twice() -> bool:
        return [await files.look(uptake) for _ in range(2)][-1]

    assert not asyncio.run(look_twice())
    write_exits(seen, age_s=2)
    assert not asyncio.run(look_twice()), "still older than what the log has seen"
    assert files.current is settled.anonymisers
    write_exits(seen, age_s=-1)
    assert asyncio.run(look_twice())
    assert files.current.databases[0].build_epoch_s == BUILD_EPOCH_S + 1


@pytest.mark.parametrize("part", ["policy", "events", "geoip", "anonymisers"])
@pytest.mark.parametrize("altered", [True, False])
def test_without_what_the_log_names_nothing_starts_unless_told_to(seen: Path, part: str, altered: bool) -> None:
    stored = seen / "audit/inputs/sha256" / last_inputs(seen / "audit")[part].digest.removeprefix("sha256:")
    if altered:
        stored.chmod(0o640)
        stored.write_bytes(stored.read_bytes() + b" ")
    else:
        stored.unlink()
    write_pack(seen, version="1")
    write_database(seen, age_s=1)
    write_exits(seen, age_s=1)
    with pytest.raises(BorderpostError) as caught:
        settle(load(seen), World())
    assert caught.value.code == "BP0613"
    assert "worker-0 decided by it at 2" in caught.value.detail
    assert caught.value.place.file == str(stored)
    settled = settle(load(seen), World(), accept_older=True)
    assert settled.refused is None
    assert str(settled.packs["own"]) == "1 of 2026-02-01"


def test_what_was_accepted_is_what_counts_from_then_on(seen: Path) -> None:
    write_pack(seen, version="1")
    write_database(seen, age_s=1)
    decided_once(seen)  # as after `--accept-older`
    assert settle(load(seen), World()).refused is None


def test_a_log_that_cannot_be_read_is_told(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_directory: Path) -> dict[str, Any]:
        raise OSError(5, "Input/output error", str(seen / "audit/worker-0"))

    monkeypatch.setattr("borderpost.rollback.last_inputs", refused)
    with pytest.raises(BorderpostError, match="the log cannot be read: Input/output error") as caught:
        settle(load(seen), World())
    assert (caught.value.code, caught.value.place.file) == ("BP0613", str(seen / "audit/worker-0"))


def test_the_command_s_flag_reaches_the_steward(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    def serve(_path: Path, _overrides: dict[str, str], *, accept_older: bool) -> int:
        told.append(accept_older)
        return 0

    monkeypatch.setattr("borderpost.steward.serve", serve)
    for words in ([], ["--accept-older"]):
        assert main(["serve", "--config", str(seen / "borderpost.yaml"), *words]) == 0
    assert told == [False, True]


def test_what_the_gateway_made_itself_stays_whatever_is_accepted(seen: Path) -> None:
    store = WorkerStore(seen)
    document = store.json("events")
    own = {**document["events"][0], "id": "cable.1", "trigger": "cable"}
    line = {"type": "legal_event.apply", "ts": "2999-01-01T00:00:00.000000Z"}
    _, renamed = store.with_content("events", {**document, "events": [*document["events"], own]})
    (seen / "audit/worker-1").mkdir()
    segment = seen / "audit/worker-1" / segment_name(0)
    segment.write_bytes(json.dumps({**line, "digest": renamed.digest}, separators=(",", ":")).encode() + b"\n")
    settled = settle(load(seen), World(), accept_older=True)
    assert settled.events is not None
    assert [event.id for event in settled.events.events] == ["cable.1"]
    with capture_logs() as told:
        (seen / "audit/inputs/sha256" / renamed.digest.removeprefix("sha256:")).unlink()
        assert settle(load(seen), World(), accept_older=True).events is None
    assert [each["code"] for each in told] == ["BP0613"]


def test_law_of_another_release_is_read_by_what_it_says(seen: Path) -> None:
    """A release that gives models new keys writes the same law in other bytes; the log still names the old ones."""
    inputs = WorkerStore(seen)
    policy = inputs.json("policy")
    del policy["evidence"]
    store, renamed = inputs.with_content("policy", policy)
    assert store.pack_marks(renamed) == marks_of(load(seen).bundle)
    assert store.bundle(renamed) == load(seen).bundle
    store, renamed = inputs.with_content("policy", {"packs": [{"metadata": {"id": "own"}}]})
    for read in (store.pack_marks, store.bundle, store.events):
        with pytest.raises(BorderpostError, match="BP0613"):
            read(renamed)


class WorkerStore:
    """The inputs of a log, and others that it might have named."""

    def __init__(self, directory: Path) -> None:
        self._inputs = InputStore(directory / "audit", World())
        self._seen = last_inputs(directory / "audit")

    def json(self, part: str) -> dict[str, Any]:
        document = orjson.loads(self._inputs.get(self._seen[part].digest))
        assert isinstance(document, dict)
        return document

    def with_content(self, part: str, content: dict[str, Any]) -> tuple[SeenStore, Any]:
        digest = self._inputs.put(orjson.dumps(content))
        return SeenStore(self._inputs), dataclasses.replace(self._seen[part], digest=digest)


def running(directory: Path, check: Any) -> None:
    write_exits(directory)

    async def main() -> None:
        async with worker_parts(directory, changes=CHANGES) as parts:
            await check(parts)

    asyncio.run(main())


def test_while_running_an_older_pack_is_refused_even_after_it_was_left_out(tmp_path: Path) -> None:
    write_pack(tmp_path)
    write_events(tmp_path)

    async def check(parts: WorkerParts) -> None:
        view = await parts.take()
        write_pack(tmp_path, version="1")
        with pytest.raises(Problems, match="BP0610"):
            parts.reload({})
        await parts.take()
        assert parts.live.view is not None
        assert parts.live.view.inputs["policy"] == view.inputs["policy"]
        parts.reload({"policy": {"packs": ["starter"]}})
        with pytest.raises(Problems, match="BP0610"):
            parts.reload({})
        write_pack(tmp_path, version="3")
        parts.reload({})
        marks = marks_of((await parts.take()).compiled.bundle)
        assert marks["own"].version == "3"

    running(tmp_path, check)


def test_while_running_an_older_database_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path)
    write_events(tmp_path)

    async def check(parts: WorkerParts) -> None:
        digest = (await parts.take()).inputs["geoip"]
        write_database(tmp_path, age_s=1)
        for _ in range(2):
            await parts.publication.look_for_changes()
        assert parts.metrics.rollback_refused_total.get("geoip") == 1
        assert [check.name for check in parts.uptake.checks()] == ["geoip/current"]
        with pytest.raises(BorderpostError, match="BP0611"):
            parts.reload({})
        assert (await parts.take()).inputs["geoip"] == digest
        write_database(tmp_path, age_s=-1)
        for _ in range(2):
            await parts.publication.look_for_changes()
        await until(lambda: parts.look() is not None and parts.look().inputs["geoip"] != digest)  # type: ignore[union-attr]
        assert parts.uptake.checks() == []

    running(tmp_path, check)


def test_the_log_names_editions_late_events_and_the_build(seen: Path) -> None:
    records = [located.record for located in read_log(seen / "audit")]
    told = {record["type"]: record for record in records}
    assert {"id": "own", "version": "2", "as_of": "2026-02-01"} in told["policy.activate"]["packs"]
    assert told["geoip.activate"]["built_at"] == "2026-05-28T20:26:40.000000Z"
    assert next(record.get("late") for record in records if record["type"] == "legal_event.apply") == ["suspended"]
