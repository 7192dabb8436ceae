"""Counting for threshold laws: the workers' files, what a steward makes of them, and the events that come of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from borderpost.counters import counting
from borderpost.counters.book import Book, Others, read_book
from borderpost.counters.tally import TallyFile, WorkerTally, read_tallies
from borderpost.counters.windows import month_at, window_at
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.pack import Counter
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.world import World
from support.counting_office import CHINA, DAY_US, MONTHS, Office, law, us


def test_workers_count_side_by_side_and_successors_go_on(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA))
    office.count(CHINA, 3, stream=0)
    office.count(CHINA, 4, stream=1)
    office.count(CHINA, 5, stream=0)
    assert sorted(tally.counts["cn-pipl-year/2026-11"] for tally in read_tallies(tmp_path)[0]) == [4, 8]
    office.clock.at_us += 40 * DAY_US
    office.count(CHINA, 1)
    office.count(MONTHS, 1)
    assert read_tallies(tmp_path)[0][0].counts == {
        "cn-pipl-year/2026-11": 8, "cn-pipl-year/2026-12": 1, "us-bulk/2026-12": 1,
    }  # fmt: skip


def test_what_a_killed_worker_counted_is_there(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from borderpost.counters.tally import WorkerTally\n"
        "from borderpost.policy.pack import Counter\n"
        "tally = WorkerTally(pathlib.Path(sys.argv[1]), 0)\n"
        "tally.add(Counter(id='c', bases=('b',)), 41, 0)\n"
        "tally.add(Counter(id='c', bases=('b',)), 1, 0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=False)
    assert done.returncode < 0
    assert [tally.counts for tally in read_tallies(tmp_path)[0]] == [{"c/1970-01": 42}]


def test_a_worker_s_file_without_room_refuses_what_it_cannot_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = WorkerTally(tmp_path, 0)
    for month in range(limits.TALLY_SLOTS_MAX):
        tally.add(Counter(id=f"c-{month}", bases=("b",)), 1, 0)
    with pytest.raises(BorderpostError, match="no room"):
        tally.add(CHINA, 1, 0)
    tally.add(Counter(id="c-0", bases=("b",)), 1, 0)
    assert read_tallies(tmp_path)[0][0].counts["c-0/1970-01"] == 2
    with pytest.raises(BorderpostError, match="no room"):
        WorkerTally(tmp_path, 1).add(Counter(id="x" * 64, bases=("b",)).model_copy(update={"id": "x" * 90}), 1, 0)


def test_a_worker_that_counts_nothing_has_no_file_and_one_that_cannot_make_it_tries_again(tmp_path: Path) -> None:
    (tmp_path / "tally").write_text("in the way")
    tally = WorkerTally(tmp_path, 0)
    with pytest.raises(BorderpostError) as caught:
        tally.add(CHINA, 1, 0)
    assert caught.value.code == "BP1103"
    (tmp_path / "tally").unlink()
    tally.add(CHINA, 1, 0)
    tally.close()
    assert [each.counts for each in read_tallies(tmp_path)[0]] == [{"cn-pipl-year/1970-01": 1}]


def test_files_of_another_version_and_half_made_ones(tmp_path: Path) -> None:
    TallyFile(tmp_path / "tally" / "0").close()
    file = tmp_path / "tally" / "0"
    whole = file.read_bytes()
    file.write_bytes(whole[:8] + b"\x07" + whole[9:])
    tally = WorkerTally(tmp_path, 0)
    for _ in range(2):
        with pytest.raises(BorderpostError) as caught:
            tally.add(CHINA, 1, 0)
        assert caught.value.code == "BP1103"
    found, problems = read_tallies(tmp_path)
    assert (found, [problem.code for problem in problems]) == ([], ["BP1103"])
    file.write_bytes(whole[:100])
    assert read_tallies(tmp_path) == ([], [])
    file.write_bytes(bytes(len(whole)))
    assert read_tallies(tmp_path) == ([], [])


def test_a_damaged_file_keeps_no_other_from_being_counted(tmp_path: Path) -> None:
    office = Office(tmp_path, law({CHINA.id: (5,)}, CHINA))
    office.count(CHINA, 9, stream=0)
    office.count(CHINA, 5, stream=1)
    file = tmp_path / "tally" / "0"
    file.write_bytes(file.read_bytes().replace(b"cn-pipl", b"\xff\x00\n/../"))
    with capture_logs() as told:
        office.counting.look()
        office.counting.look()
        office.save()
    assert [line["code"] for line in told if line["event"] == "counting is impaired"] == ["BP1103"]
    assert office.counting.book.counts == {"cn-pipl-year/2026-11": 5}
    assert len(office.list.events) == 1


def test_where_nothing_counts_nothing_is_kept(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}))
    TallyFile(tmp_path / "tally" / "0").close()
    office.counting.look()
    office.save()
    assert not (tmp_path / "counters").exists()
    office.policy = law({CHINA.id: (5,)}, CHINA)
    office.count(CHINA, 5)
    office.counting.look()
    office.save()
    assert len(office.list.events) == 1
    assert read_book(tmp_path / "counters" / "counts.json") is not None


def test_nothing_is_counted_twice_or_lost_when_a_steward_starts_anew(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA))
    office.count(CHINA, 10)
    office.counting.look()
    office.save()
    office.count(CHINA, 7, stream=1)  # looked at, not saved: the steward dies
    office.counting.look()
    again = office.begin()
    assert again.book.counts == {"cn-pipl-year/2026-11": 10}
    office.count(CHINA, 1)
    again.look()
    assert again.book.counts == {"cn-pipl-year/2026-11": 18}
    assert again.book.replica == read_book(again.book.path).replica  # type: ignore[union-attr]


def test_a_runtime_directory_that_is_gone_takes_nothing_that_was_saved(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA))
    office.count(CHINA, 10)
    office.counting.look()
    office.save()
    (tmp_path / "tally" / "0").unlink()
    office.begin().look()
    office.count(CHINA, 2)
    office.counting.look()
    assert office.counting.book.counts == {"cn-pipl-year/2026-11": 12}


def test_a_file_whose_numbers_went_back_counts_on_from_there(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA))
    office.count(CHINA, 3)
    earlier = (tmp_path / "tally" / "0").read_bytes()
    office.count(CHINA, 7)
    office.counting.look()
    (tmp_path / "tally" / "0").write_bytes(earlier)
    office.counting.look()
    office.count(CHINA, 5)
    office.counting.look()
    assert office.counting.book.counts == {"cn-pipl-year/2026-11": 15}


def test_months_that_no_window_asks_for_are_dropped(tmp_path: Path) -> None:
    office = Office(tmp_path, law({}, CHINA), at="2020-01-15")
    counted = set()
    for _ in range(30):
        office.count(CHINA, 1)
        counted.add(f"cn-pipl-year/{month_at(CHINA, office.clock.at_us).name}")
        office.clock.at_us += 31 * DAY_US
        office.counting.look()
        office.save()
    kept = read_book(office.counting.book.path)
    assert kept is not None
    assert len(kept.counts) == 14
    office.counting.look()
    assert len(office.counting.book.counts) == 14
    window = window_at(MONTHS, office.clock.at_us)
    assert counted & {f"cn-pipl-year/{month}" for month in window.months} <= set(kept.counts)


def test_a_threshold_that_is_reached_makes_one_event_until_the_year_ends(tmp_path: Path) -> None:
    office = Office(tmp_path, law({CHINA.id: (10, 20)}, CHINA))
    office.count(CHINA, 9)
    office.counting.look()
    assert office.list.events == []
    assert office.metrics.counter_share.get(CHINA.id) == 0.9
    office.count(CHINA, 1)
    for _ in range(3):
        office.counting.look()
    (event,) = office.list.events
    assert (event.type, event.counter, event.count) == ("threshold_reached", CHINA.id, 10)
    assert to_us(event.effective_from) == office.clock.at_us + counting._NOTICE_US
    assert event.effective_until == parse_instant("2026-12-31T16:00:00Z")
    assert "10 requests counted for 2026-01 to 2026-12" in event.reason
    office.begin().look()
    assert len(office.list.events) == 1
    office.count(CHINA, 10)
    office.counting.look()
    assert [event.count for event in office.list.events] == [10, 20]
    assert office.metrics.counter_requests.get(CHINA.id) == 20
    assert office.metrics.counter_share.get(CHINA.id) == 1.0


def test_a_new_year_begins_at_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, law({CHINA.id: (10,)}, CHINA), at="2026-12-31T15:30:00Z")
    office.count(CHINA, 10)
    office.counting.look()
    assert len(office.list.events) == 1
    office.clock.at_us = us("2026-12-31T16:00:00Z")
    office.count(CHINA, 9)
    office.counting.look()
    assert len(office.list.events) == 1
    office.count(CHINA, 1)
    office.counting.look()
    assert [str(event.effective_until)[:4] for event in office.list.events] == ["2026", "2027"]


def test_twelve_months_are_renewed_before_the_month_ends_without_a_gap(tmp_path: Path) -> None:
    office = Office(tmp_path, law({MONTHS.id: (10,)}, MONTHS), at="2026-03-15")
    office.count(MONTHS, 10)
    office.counting.look()
    held: list[tuple[datetime, datetime | None]] = [
        (office.list.events[0].effective_from, office.list.events[0].effective_until)
    ]
    for _ in range(11):
        end = to_us(office.list.events[-1].effective_until)  # type: ignore[arg-type]
        office.clock.at_us = end - counting._AHEAD_US
        office.counting.look()
        office.clock.at_us = end + 1
        office.counting.look()
    held = [(event.effective_from, event.effective_until) for event in office.list.events]
    assert [start for start, _ in held[1:]] == [end for _, end in held[:-1]]
    assert len({event.id for event in office.list.events}) == len(held) == 12
    # March 2026 counts up to and including March 2027: twelve months back from any day of it.
    office.clock.at_us = us("2027-02-28T23:30:00Z")
    office.counting.look()
    assert office.list.events[-1].effective_until == parse_instant("2027-04-01")
    office.clock.at_us = us("2027-03-31T23:30:00Z")
    office.counting.look()
    office.clock.at_us = us("2027-04-01T00:00:01Z")
    office.counting.look()
    assert len(office.list.events) == 13


def test_a_list_that_takes_no_event_is_asked_again(tmp_path: Path) -> None:
    office = Office(tmp_path, law({CHINA.id: (1,)}, CHINA))
    office.count(CHINA, 1)
    office.list.error = BorderpostError("BP0604", "no room")
    with capture_logs() as told:
        office.counting.look()
        office.counting.look()
    assert [line["code"] for line in told if line["event"] == "counting is impaired"] == ["BP0604"]
    office.list.error = None
    office.counting.look()
    assert len(office.list.events) == 1


def test_while_the_fleet_is_not_heard_of_others_count_as_fast_as_this_gateway(tmp_path: Path) -> None:
    book = Book.open(tmp_path, World())
    book.counts = {"c/2026-11": 100}
    assert book.total("c", ["2026-11"]) == 100
    book.others = Others(replicas=2, counts={"c/2026-11": 50, "c/2026-10": 7}, own={"c/2026-11": 90})
    assert book.total("c", ["2026-10", "2026-11"]) == 100 + 50 + 7 + 2 * 10
    book.others = Others(replicas=0, counts={"c/2026-11": 50}, own={"c/2026-11": 90})
    assert book.total("c", ["2026-11"]) == 150


def test_two_stewards_of_one_mark_read_each_count_once(tmp_path: Path) -> None:
    """Every file has a mark of its own, also where it takes the name of one that is gone."""
    marks = set()
    for _ in range(3):
        TallyFile(tmp_path / "tally" / "0").close()
        ((tally,), _) = read_tallies(tmp_path)
        marks.add(tally.mark)
        (tmp_path / "tally" / "0").unlink()
    assert len(marks) == 3


def test_the_book_is_begun_at_nothing_with_a_word_only_where_there_is_something_to_count(tmp_path: Path) -> None:
    with capture_logs() as told:
        Office(tmp_path, law({}))
    assert told == []
    with capture_logs() as told:
        Office(tmp_path, law({}, CHINA))
    assert [line["event"] for line in told] == ["no count was kept: it begins at 0"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["count", "look", "save", "steward dies", "worker dies", "month"]), max_size=40))
def test_whatever_happens_in_whatever_order_each_request_is_counted_once(steps: list[str]) -> None:
    """Only what was counted and never looked at may be missing for a moment; a last look finds it."""
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder), law({CHINA.id: (5,)}, CHINA))
        counted = 0
        stream = 0
        for number, step in enumerate(steps):
            if step == "count":
                office.count(CHINA, number + 1, stream)
                counted += number + 1
            elif step == "look":
                office.counting.look()
            elif step == "save":
                office.save()
            elif step == "steward dies":
                office.begin()
            elif step == "worker dies":
                stream = 1 - stream
            else:
                office.clock.at_us += 20 * DAY_US
        office.counting.look()
        assert sum(office.counting.book.counts.values()) == counted
        years = {window_at(CHINA, to_us(event.recorded_at)).name for event in office.list.events}
        assert len(office.list.events) == len(years)
