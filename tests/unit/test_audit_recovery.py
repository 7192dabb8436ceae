"""Recovery: what a crash tore is put aside and told of; damage that no crash explains stops the writer."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from borderpost.audit.record import parse
from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditWriter
from borderpost_base.errors import BorderpostError
from borderpost_base.world import World
from support.audit import (
    STREAM,
    decision,
    lines_of,
    open_writer,
    small_spec,
)


def types(directory: Path) -> list[str]:
    return [parse(line)["type"] for line in lines_of(directory)]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of one epoch whose writer died after its third decision."""
    directory = tmp_path_factory.mktemp("crashed")
    writer = open_writer(directory)
    for n in range(3):
        writer.append("decision", decision(f"r-{n}"))
        writer.commit()
    writer.release()
    return directory


@pytest.mark.slow
def test_every_torn_tail_is_put_aside_and_the_chain_goes_on(crashed: Path, tmp_path: Path) -> None:
    whole = lines_of(crashed)
    name = f"{0:020d}.jsonl"
    data = (crashed / STREAM / name).read_bytes()
    kept = len(data) - len(whole[-1]) - 1
    for cut in range(kept, len(data)):
        case = tmp_path / str(cut)
        (case / STREAM).mkdir(parents=True)
        (case / STREAM / name).write_bytes(data[:cut])
        writer = open_writer(case)
        writer.append("decision", decision("after"))
        writer.close()
        records = [parse(line) for line in lines_of(case)]
        recovered = [record for record in records if record["type"] == "recovery"]
        torn = data[kept:cut]
        if torn:
            (told,) = recovered
            assert (told["at"], told["bytes"], told["segment"]) == (kept, len(torn), name)
            assert told["sha256"] == hashlib.sha256(torn).hexdigest()
            (aside,) = (case / STREAM / "quarantine").iterdir()
            assert aside.read_bytes() == torn
        else:
            assert not recovered
        opened = next(r for r in records if r["type"] == "epoch.open" and r["seq"] > 0)
        assert (opened["previous"]["end"], opened["previous"]["seq"]) == ("unclean", len(whole) - 2)
        assert verify(case / STREAM).findings == []
        shutil.rmtree(case)


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_tail_torn_in_the_first_record_leaves_an_empty_stream(crashed: Path, tmp_path: Path, cut: int) -> None:
    name = f"{0:020d}.jsonl"
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / name).write_bytes((crashed / STREAM / name).read_bytes()[:cut])
    open_writer(tmp_path).close()
    assert types(tmp_path) == ["epoch.open", "recovery", "epoch.close"]
    assert "previous" not in parse(lines_of(tmp_path)[0])
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize(
    "tail", [b"\x00" * 5000, b"garbage\n", b"{ }\n", b"\n\n", b"x" * 100_000 + b"\n", b"\xff\xfe\n{"]
)
def test_other_rubbish_at_the_end_is_put_aside(crashed: Path, tmp_path: Path, tail: bytes) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    path.chmod(0o640)
    with path.open("ab") as file:
        file.write(tail)
    open_writer(tmp_path).close()
    told = next(parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "recovery")
    assert told["bytes"] == len(tail)
    assert told["sha256"] == hashlib.sha256(tail).hexdigest()
    assert verify(tmp_path / STREAM).findings == []


def test_an_empty_segment_left_by_a_crash_is_passed_over(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    (tmp_path / STREAM / f"{4:020d}.jsonl").touch()
    open_writer(tmp_path).close()
    assert [parse(line)["seq"] for line in lines_of(tmp_path)] == list(range(6))
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize("line", [0, 1, 2])
def test_damage_before_the_end_refuses_to_start_and_touches_nothing(crashed: Path, tmp_path: Path, line: int) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    data = bytearray(path.read_bytes())
    start = sum(len(each) + 1 for each in lines_of(crashed)[:line])
    data[data.index(b"mono_us", start)] = 0  # the line is no JSON any more
    path.chmod(0o640)
    path.write_bytes(data)
    with pytest.raises(BorderpostError) as raised:
        open_writer(tmp_path)
    assert raised.value.code == "BP0403"
    assert raised.value.place.line == line + 1
    assert path.read_bytes() == data
    assert not (tmp_path / STREAM / "quarantine").exists()
    with pytest.raises(BorderpostError, match="BP0403"):
        open_writer(tmp_path)  # the lock was given up


def test_a_deleted_line_refuses_to_start(crashed: Path, tmp_path: Path) -> None:
    (tmp_path / STREAM).mkdir()
    lines = lines_of(crashed)
    del lines[1]
    (tmp_path / STREAM / f"{0:020d}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.raises(BorderpostError, match="sequence number 2 where 1 is due"):
        open_writer(tmp_path)


@pytest.mark.parametrize("line", [1, 2])
def test_an_altered_record_refuses_to_start_even_if_only_the_last_shows_it(
    crashed: Path, tmp_path: Path, line: int
) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    lines = lines_of(crashed)
    lines[line] = lines[line].replace(b'"action":"route"', b'"action":"refuse"')
    path.chmod(0o640)
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    with pytest.raises(BorderpostError, match=f"record {line + 1} is not chained"):
        open_writer(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"v":1', b'"v":2'), (b'"mode":"enforce"', b'"mode":"other"'), (b'"type":"decision"', b'"type":"later"')],
)
def test_a_last_record_that_this_version_does_not_know_is_never_put_aside(
    crashed: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    """It may have been acknowledged: by a newer version, or by a mistake of this one."""
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    lines = lines_of(crashed)
    lines[-1] = lines[-1].replace(old, new)
    path.chmod(0o640)
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    if new == b'"v":2':
        with pytest.raises(BorderpostError, match="none of this version's"):
            open_writer(tmp_path)
    else:
        open_writer(tmp_path).close()
    assert lines[-1] in lines_of(tmp_path)


def test_another_logs_stream_is_not_continued(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    with pytest.raises(BorderpostError) as raised:
        open_writer(tmp_path, spec=small_spec(log="other/log"))
    assert raised.value.code == "BP0403"
    assert "test/log/worker-0" in raised.value.detail


def test_a_segment_that_does_not_continue_the_one_before_refuses_to_start(tmp_path: Path) -> None:
    for _ in range(2):
        open_writer(tmp_path).close()
    _, second = segments_of(tmp_path / STREAM)
    second.rename(second.with_name(f"{7:020d}.jsonl"))
    with pytest.raises(BorderpostError, match="ends with record 1"):
        open_writer(tmp_path)


def test_a_stream_whose_early_segments_were_moved_away_goes_on(tmp_path: Path) -> None:
    for _ in range(3):
        open_writer(tmp_path).close()
    for path in segments_of(tmp_path / STREAM)[:2]:
        path.unlink()
    writer = open_writer(tmp_path)
    assert writer.durable.seq == 6
    writer.close()


def test_opening_a_large_segment_takes_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    writer = open_writer(tmp_path)
    for _ in range(20):
        for n in range(500):
            writer.append("decision", decision(f"r-{n}"))
        writer.commit()
    writer.release()
    size = sum(path.stat().st_size for path in segments_of(tmp_path / STREAM))
    tracemalloc.start()
    try:
        open_writer(tmp_path).close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 8 << 20
    assert peak < 6 << 20


def test_a_writer_that_cannot_start_says_why_and_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BorderpostError) as raised:
        AuditWriter.open(tmp_path / "file", STREAM, small_spec(), World(), None)  # type: ignore[arg-type]
    assert raised.value.code == "BP0402"
