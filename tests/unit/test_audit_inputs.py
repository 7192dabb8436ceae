"""Inputs kept by content, and records found again."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from borderpost.audit.inputs import InputStore, inputs_named_by_log, inputs_named_in
from borderpost.audit.reader import find, read_log, read_stream, stream_directories
from borderpost.audit.segment import read_lines, segments_of
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.world import SystemDisk, World
from support.audit import STREAM, FailingDisk, decision, open_writer, small_spec


def store(directory: Path, disk: FailingDisk | None = None) -> InputStore:
    return InputStore(directory, World(disk=disk) if disk else World())


def test_an_input_comes_back_by_its_digest(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    digest = inputs.put(b"policy")
    assert digest == "sha256:" + hashlib.sha256(b"policy").hexdigest()
    assert inputs.has(digest)
    assert inputs.is_intact(digest)
    assert inputs.get(digest) == b"policy"
    assert inputs.path(digest).stat().st_mode & 0o777 == 0o440
    assert inputs.put(b"policy") == digest
    assert [path.name for path in inputs.directory.iterdir()] == [digest.removeprefix("sha256:")]


def test_a_file_is_stored_like_its_bytes_and_does_not_follow_its_source(tmp_path: Path) -> None:
    source = tmp_path / "db.mmdb"
    content = os.urandom(3 << 20)
    source.write_bytes(content)
    inputs = store(tmp_path / "log")
    digest = inputs.put_file(source)
    source.write_bytes(b"other")
    assert inputs.get(digest) == content


def test_an_altered_input_is_refused_and_mended_by_putting_it_again(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    digest = inputs.put(b"policy")
    inputs.path(digest).chmod(0o640)
    inputs.path(digest).write_bytes(b"p0licy")
    assert not inputs.is_intact(digest)
    with pytest.raises(BorderpostError) as raised:
        inputs.get(digest)
    assert raised.value.code == "BP0407"
    assert inputs.put(b"policy") == digest
    assert inputs.get(digest) == b"policy"


def test_an_input_in_place_is_not_replaced_by_a_slower_process(tmp_path: Path) -> None:
    """Whoever has begun to read the first one goes on with the same file."""
    first: list[os.stat_result] = []

    class Overtaken(SystemDisk):
        def chmod(self, fd: int, mode: int) -> None:
            super().chmod(fd, mode)
            first.append(store(tmp_path).path(store(tmp_path).put(b"policy")).stat())

    inputs = InputStore(tmp_path, World(disk=Overtaken()))
    digest = inputs.put(b"policy")
    assert inputs.path(digest).stat().st_ino == first[0].st_ino
    assert [path.name for path in inputs.directory.iterdir()] == [digest.removeprefix("sha256:")]


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_a_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="is not the digest of an input"):
        store(tmp_path).has(digest)


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "chmod", "rename", "fsync_dir"])
def test_a_failed_put_leaves_no_input_that_may_not_last(tmp_path: Path, call: str) -> None:
    disk = FailingDisk()
    inputs = store(tmp_path, disk)
    disk.fail(call, errno.EIO)
    with pytest.raises(OSError, match="EIO"):
        inputs.put(b"policy")
    digest = inputs.put(b"policy")
    assert inputs.get(digest) == b"policy"


def test_prune_keeps_what_segments_name_and_what_is_young(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    named, unnamed, young = (inputs.put(data) for data in (b"named", b"unnamed", b"young"))
    for digest in (named, unnamed):
        os.utime(inputs.path(digest), (0, 0))
    writer = open_writer(tmp_path)
    writer.append("policy.activate", {"digest": named})
    writer.append("decision", decision(inputs=named))
    writer.close()
    assert named in inputs_named_by_log(tmp_path)
    assert inputs_named_in([tmp_path / STREAM]) == inputs_named_by_log(tmp_path)
    assert inputs.prune(inputs_named_by_log(tmp_path)) == [unnamed]
    assert inputs.has(named)
    assert inputs.has(young)
    assert store(tmp_path / "none").prune(set()) == []


def test_prune_keeps_what_a_named_list_names(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    files = [inputs.put(data) for data in (b"one", b"two")]
    listed, other = inputs.put(b'{"files":["%b","%b"]}' % tuple(map(str.encode, files))), inputs.put(b"other")
    for digest in (*files, listed, other):
        os.utime(inputs.path(digest), (0, 0))
    assert inputs.prune({listed, "sha256:" + "0" * 64}) == [other]
    assert sorted(inputs.prune(set())) == sorted([*files, listed])


def test_every_decision_is_found_by_its_id(tmp_path: Path) -> None:
    ids: dict[str, str] = {}
    for stream in ("worker-0", "worker-1"):
        for _ in range(2):
            writer = open_writer(tmp_path, stream=stream, spec=small_spec(segment_bytes=64 << 10))
            for n in range(120):
                name = f"{stream}-{len(ids)}"
                ids[writer.append("decision", decision(name)).decision_id] = name
                if n % 20 == 0:
                    writer.commit()
            writer.close()
    assert len(segments_of(tmp_path / "worker-0")) == 4
    for decision_id, name in list(ids.items())[::17]:
        located = find(tmp_path, decision_id)
        assert located.record["req"]["id"] == name
        assert located.file.read_bytes().split(b"\n")[located.number - 1] == located.line
    with pytest.raises(BorderpostError) as raised:
        find(tmp_path, "0" * 20 + f"{3:012x}")
    assert raised.value.code == "BP0409"
    assert sum(located.record["type"] == "decision" for located in read_log(tmp_path)) == 480


def test_a_decision_is_found_in_a_damaged_segment(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    ids = [writer.append("decision", decision(f"r-{n}")).decision_id for n in range(5)]
    writer.close()
    path = segments_of(tmp_path / STREAM)[0]
    lines = path.read_bytes().split(b"\n")
    path.chmod(0o640)
    path.write_bytes(b"\n".join([b"garbage", *lines[2:]]))
    assert find(tmp_path, ids[3]).record["req"]["id"] == "r-3"
    with pytest.raises(BorderpostError):
        find(tmp_path, ids[0])


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    for _ in range(3):
        open_writer(tmp_path).close()
    for start in range(7):
        assert [located.record["seq"] for located in read_stream(tmp_path / STREAM, from_seq=start)] == list(
            range(start, 6)
        )
    assert stream_directories(tmp_path) == [tmp_path / STREAM]
    assert stream_directories(tmp_path / STREAM) == [tmp_path / STREAM]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"a\nb",
        b"a\n\n\nb\n",
        b"x" * 3_000_000 + b"\nshort\n" + b"y" * 20_000 + b"\nend",
        b"z" * (1 << 20) + b"\n" + b"w" * ((1 << 20) - 1) + b"\nq",
    ],
)
def test_lines_are_read_with_their_place_whatever_their_length(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    due = content.split(b"\n")
    ends = [True] * (len(due) - 1) + [False]
    if due[-1] == b"":
        due.pop()
        ends.pop()
    lines = list(read_lines(path))
    assert [line.number for line in lines] == list(range(1, len(due) + 1))
    offset = 0
    for line, text, ended in zip(lines, due, ends, strict=True):
        assert (line.offset, line.ended) == (offset, ended)
        assert line.data == text[: limits.RECORD_BYTES_MAX + 1]
        offset += len(text) + 1
    assert all(len(line.data) <= limits.RECORD_BYTES_MAX + 1 for line in lines)
