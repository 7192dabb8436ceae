"""The signed list's file when the machine fails: killed while appending, no room left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from borderpost.events.lines import GENESIS, line_digest
from borderpost.events.store import FileStore, whole_lines
from borderpost_base.errors import BorderpostError
from support.disks import memory_disk, needs_root

_APPENDER = """
import sys
from pathlib import Path
from borderpost.events.lines import GENESIS, line_digest
from borderpost.events.store import FileStore

store = FileStore(Path(sys.argv[1]))
lines = store.read()
head = line_digest(lines[-1]) if lines else GENESIS
number = len(lines)
while True:
    line = f"{number} ".encode() + b"x" * 20_000
    store.append(line, head)
    print(number, flush=True)
    head, number = line_digest(line), number + 1
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1])
def test_whoever_is_killed_while_appending_has_lost_no_line_that_was_acknowledged(
    tmp_path: Path, after_s: float
) -> None:
    store = FileStore(tmp_path / "law.jsonl")
    store.create()
    for _round in range(3):
        words = [sys.executable, "-c", _APPENDER, str(store.path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline())]
            time.sleep(after_s)
            process.kill()
            acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
        lines, torn = whole_lines(store)
        assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
        assert len(lines) > acknowledged[-1]
        assert (store.repair() > 0) == (torn is not None)
        assert store.read() == lines


@needs_root
def test_a_line_for_which_there_is_no_room_is_not_there(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk", "1m") as disk:
        store = FileStore(disk.path / "law.jsonl")
        store.create()
        head = GENESIS
        line = b"x" * 50_000
        store.append(line, head)
        head = line_digest(line)
        store.put_heartbeat(b"first")
        disk.leave(20_480)
        for _ in range(2):
            with pytest.raises(BorderpostError, match=r"BP1018.*No space left"):
                store.append(b"y" * 50_000, head)
            assert store.read() == [line]
        with pytest.raises(BorderpostError, match="BP1018"):
            store.put_heartbeat(b"z" * 60_000)
        assert store.heartbeat() == b"first\n"
        disk.free()
        store.append(b"y" * 50_000, head)
        assert len(store.read()) == 2
