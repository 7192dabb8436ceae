"""Snapshots: what the steward publishes is what workers read, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.snapshots import ALWAYS_FRESH_US, SharedPage, SnapshotReader, SnapshotWriter, WorkerState
from borderpost_base.errors import BorderpostError


def test_a_reader_sees_what_was_published_and_only_after_the_generation_rose(tmp_path: Path) -> None:
    page = SharedPage(tmp_path / "page", create=True)
    reading_page = SharedPage(tmp_path / "page", create=False)
    writer, reader = SnapshotWriter(tmp_path, page), SnapshotReader(tmp_path)
    assert reading_page.generation == 0
    with pytest.raises(BorderpostError, match="BP0602"):
        reader.manifest()
    digests = writer.publish({"policy": b"law", "events": b"none"}, beat_us=7)
    assert reading_page.generation == 1
    assert reading_page.steward_beat_us == 7
    assert reader.manifest() == digests
    assert reader.part(digests["policy"]) == b"law"
    page.close()
    reading_page.close()


def test_an_altered_or_missing_part_is_refused(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, SharedPage(tmp_path / "page", create=True))
    digests = writer.publish({"policy": b"law", "events": b"none"}, beat_us=0)
    law = tmp_path / "snapshots" / digests["policy"].removeprefix("sha256:")
    law.write_bytes(b"lax")
    with pytest.raises(BorderpostError, match="BP0602"):
        SnapshotReader(tmp_path).part(digests["policy"])
    law.unlink()
    with pytest.raises(BorderpostError, match="BP0602"):
        SnapshotReader(tmp_path).part(digests["policy"])


def test_old_parts_go_but_not_those_a_worker_may_still_be_reading(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, SharedPage(tmp_path / "page", create=True))
    published = [writer.publish({"signals": str(n).encode()}, beat_us=0)["signals"] for n in range(10)]
    kept = {path.name for path in (tmp_path / "snapshots").iterdir()} - {"current"}
    assert kept == {digest.removeprefix("sha256:") for digest in published[-4:]}


def test_a_restarted_steward_goes_on_counting_generations(tmp_path: Path) -> None:
    page = SharedPage(tmp_path / "page", create=True)
    SnapshotWriter(tmp_path, page).publish({"a": b"1"}, beat_us=0)
    page.close()
    again = SharedPage(tmp_path / "page", create=True)
    SnapshotWriter(tmp_path, again).publish({"a": b"1"}, beat_us=0)
    assert again.generation == 2


def test_workers_speak_in_their_own_words(tmp_path: Path) -> None:
    page = SharedPage(tmp_path / "page", create=True)
    page.beat_worker(0, mono_us=5, state=WorkerState.SERVING, silent_us=0, generation=3)
    page.beat_worker(63, mono_us=6, state=WorkerState.UNRECORDED, silent_us=9, generation=2)
    assert page.worker(0).state is WorkerState.SERVING
    assert (page.worker(63).beat_us, page.worker(63).silent_us, page.worker(63).generation) == (6, 9, 2)
    assert page.worker(1).state is WorkerState.ABSENT
    page.forget_worker(0)
    assert page.worker(0).state is WorkerState.ABSENT
    assert page.worker(63).state is WorkerState.UNRECORDED


def test_a_new_page_says_that_events_are_stale_and_every_instant_fits_it(tmp_path: Path) -> None:
    page = SharedPage(tmp_path / "page", create=True)
    reading = SharedPage(tmp_path / "page", create=False)
    assert reading.events_fresh_until_us == 0
    for until_us in (1_800_000_000_000_000, ALWAYS_FRESH_US, 0):
        page.keep_events_fresh(until_us)
        assert reading.events_fresh_until_us == until_us
        assert reading.generation == reading.steward_beat_us == 0


@pytest.mark.parametrize("spoil", ["layout", "size"])
def test_a_page_of_another_release_is_neither_read_nor_written_over(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "page"
    theirs = SharedPage(path, create=True)
    theirs.raise_generation(7, 1)
    data = bytearray(path.read_bytes())
    if spoil == "layout":
        data[7 * 8] += 1
    else:
        data += bytes(8)
    with path.open("r+b") as file:
        file.write(data)
    with pytest.raises(BorderpostError) as caught:
        SharedPage(path, create=False)
    assert caught.value.code == "BP0614"
    ours = SharedPage(path, create=True)
    assert (ours.generation, theirs.generation) == (0, 7)
    ours.raise_generation(1, 1)
    assert (SharedPage(path, create=False).generation, theirs.generation) == (1, 7)
