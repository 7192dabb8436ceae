"""The book of counts: one gateway a directory, never taken for new where it is damaged, saved whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.counters.book import read_book
from borderpost_base.errors import BorderpostError
from support.counting_office import CHINA, Office, law


def test_a_directory_has_one_gateway(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA))
    with pytest.raises(BorderpostError) as caught:
        Office(tmp_path, law({}, CHINA))
    assert caught.value.code == "BP1104"
    second = Office(tmp_path, law({}))  # it counts nothing, until a reload brings a counter
    second.policy = law({CHINA.id: (1,)}, CHINA)
    office.count(CHINA, 1)
    with capture_logs() as told:
        second.counting.look()
    assert [line["code"] for line in told] == ["BP1104"]
    assert second.list.events == []
    office.counting.book.release()
    second.counting.look()
    assert len(second.list.events) == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"kind": "borderpost-counts", "v": 1}'])
def test_a_damaged_book_is_no_new_one(tmp_path: Path, damage: bytes) -> None:
    office = Office(tmp_path, law({}, CHINA))
    office.count(CHINA, 1)
    office.counting.look()
    office.save()
    office.counting.book.path.write_bytes(damage)
    with pytest.raises(BorderpostError) as caught:
        office.begin()
    assert caught.value.code == "BP1101"


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "rename"])
def test_a_book_that_cannot_be_saved_is_told_and_counts_on(tmp_path: Path, call: str) -> None:
    office = Office(tmp_path, law({CHINA.id: (10,)}, CHINA))
    office.count(CHINA, 9)
    office.counting.look()
    office.save()
    good = office.counting.book.path.read_bytes()
    office.count(CHINA, 1)
    office.counting.look()
    office.disk.fail(call, errno.ENOSPC, times=2)
    with capture_logs() as told:
        office.save()
        office.save()
    assert [line["code"] for line in told] == ["BP1101"]
    assert office.metrics.counter_save_failures_total.get() == 2
    assert office.counting.book.path.read_bytes() == good
    assert len(office.list.events) == 1
    office.save()
    assert read_book(office.counting.book.path).counts == {"cn-pipl-year/2026-11": 10}  # type: ignore[union-attr]
