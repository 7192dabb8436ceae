"""Heartbeats: what a signer vouches for, and that a list that is shorter or other than that is noticed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.events.book import read_list
from borderpost.events.heartbeat import check_against, checked_list, read_heartbeat
from borderpost.events.store import FileStore
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from support.signed_lists import BEGINNING, ListWriter

HERE = Place("law.jsonl.heartbeat")
HOUR = timedelta(hours=1)


def written() -> ListWriter:
    writer = ListWriter()
    for name in ("ev-1", "ev-2", "ev-3"):
        writer.add(name)
    return writer


LIST = written()
RAW = LIST.heartbeat(BEGINNING + HOUR)


def refused(code: str, call: Any, *arguments: Any, **how: Any) -> BorderpostError:
    with pytest.raises(BorderpostError) as caught:
        call(*arguments, **how)
    assert caught.value.code == code, caught.value
    return caught.value


def test_a_heartbeat_says_when_by_whom_and_of_what() -> None:
    heartbeat = read_heartbeat(RAW + b"\n", LIST.signers, HERE)
    assert (heartbeat.at, heartbeat.length, heartbeat.head) == (BEGINNING + HOUR, 3, LIST.head)
    assert heartbeat.signature.by == "ada"
    assert heartbeat.encode() == RAW


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    raw = bytearray(RAW)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BorderpostError, match=r"BP100[145]|BP0207"):
        read_heartbeat(bytes(raw), LIST.signers, HERE)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(raw: bytes) -> None:
    refused("BP1001", read_heartbeat, raw, LIST.signers, HERE)


def test_a_heartbeat_has_a_bounded_size() -> None:
    refused("BP1010", read_heartbeat, b" " * (limits.EVENT_LINE_BYTES_MAX + 1), LIST.signers, HERE)


def test_a_stranger_vouches_for_nothing() -> None:
    refused("BP1005", read_heartbeat, RAW, ListWriter("eve").signers, HERE)


def test_the_future_is_not_vouched_for() -> None:
    ahead = timedelta(seconds=limits.EVENT_AHEAD_S_MAX)
    now = BEGINNING + HOUR - ahead
    read_heartbeat(RAW, LIST.signers, HERE, now=now)
    error = refused("BP1003", read_heartbeat, RAW, LIST.signers, HERE, now=now - timedelta(microseconds=1))
    assert error.place == HERE


@pytest.mark.parametrize("length", range(4))
def test_a_list_may_be_longer_and_never_shorter(length: int) -> None:
    known = read_list(LIST.lines[:length], LIST.signers, source="law.jsonl")
    heartbeat = read_heartbeat(RAW, LIST.signers, HERE)
    if length < 3:
        assert refused("BP1012", check_against, heartbeat, known).place == Place("law.jsonl", length or None)
    else:
        check_against(heartbeat, known)
    shorter = ListWriter()
    shorter.keys, shorter.signers, shorter.lines = LIST.keys, LIST.signers, LIST.lines[:length]
    earlier = read_heartbeat(shorter.heartbeat(BEGINNING), LIST.signers, HERE)
    check_against(earlier, read_list(LIST.lines, LIST.signers, source="law.jsonl"))


def test_a_list_of_the_same_length_that_says_something_else_is_noticed() -> None:
    other = ListWriter()
    other.keys, other.signers, other.lines = LIST.keys, LIST.signers, LIST.lines[:2]
    other.add("ev-9")
    known = read_list(other.lines, LIST.signers, source="law.jsonl")
    assert known.problems == ()
    refused("BP1012", check_against, read_heartbeat(RAW, LIST.signers, HERE), known)


def stored(folder: Path, lines: list[bytes], heartbeat: bytes | None) -> FileStore:
    store = FileStore(folder / "law.jsonl")
    store.path.write_bytes(b"".join(line + b"\n" for line in lines))
    if heartbeat is not None:
        store.put_heartbeat(heartbeat)
    return store


def test_a_store_s_list_is_held_against_its_heartbeat(tmp_path: Path) -> None:
    assert checked_list(stored(tmp_path, LIST.lines, None), LIST.signers).problems == ()
    assert checked_list(stored(tmp_path, LIST.lines, RAW), LIST.signers).length == 3
    (error,) = checked_list(stored(tmp_path, LIST.lines[:2], RAW), LIST.signers).problems
    assert error.code == "BP1012"
    (error,) = checked_list(stored(tmp_path, LIST.lines, RAW[:-1]), LIST.signers).problems
    assert (error.code, error.place.file) == ("BP1001", str(tmp_path / "law.jsonl.heartbeat"))


def test_what_stands_behind_a_fault_does_not_count_as_withheld(tmp_path: Path) -> None:
    data = orjson.loads(LIST.lines[2])
    lines = [*LIST.lines[:2], orjson.dumps({**data, "signatures": []}, option=orjson.OPT_SORT_KEYS)]
    (error,) = checked_list(stored(tmp_path, lines, RAW), LIST.signers).problems
    assert (error.code, error.place.line) == ("BP1006", 3)
