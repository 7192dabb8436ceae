"""Lists read again: the same as if each were read for the first time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.event_memory import EventMemory
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList
from borderpost_base.errors import BorderpostError

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def listed(*names: str, **changes: Any) -> EventList:
    events = [
        {
            "id": name,
            "type": "region_suspend",
            "scope": {"regions": ["eu-1"]},
            "effective_from": BEGINNING,
            "recorded_at": BEGINNING + timedelta(minutes=minute),
            "source": "a court",
            "reason": "an order",
        }
        for minute, name in enumerate(names)
    ]
    return EventList(EventsFile.model_validate({"events": events, **changes}))


@given(st.lists(st.tuples(st.lists(st.sampled_from("abcdefgh"), unique=True), st.integers(0, 3)), max_size=8))
def test_what_is_read_is_what_would_be_read_for_the_first_time(lists: list[tuple[list[str], int]]) -> None:
    memory = EventMemory()
    for names, clock_error_us in lists:
        raw = listed(*names, clock_error_us=clock_error_us, length=len(names), head="0" * 64).canonical()
        assert memory.read(raw) == EventList.from_canonical(raw)
        assert memory.read(raw).canonical() == raw


def test_events_that_were_read_before_are_taken_as_they_are() -> None:
    memory = EventMemory()
    before = memory.read(listed("a", "b").canonical())
    after = memory.read(listed("a", "b", "c").canonical())
    assert [new is old for new, old in zip(after.events, before.events, strict=False)] == [True, True]


GOOD = listed("a", "b").canonical()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b'{"events":7}', b'{"events":[7]}', GOOD + b" ", GOOD[:-1],
        GOOD.replace(b":", b": ", 1), GOOD.replace(b'"id":"b"', b'"id":"a"'), GOOD.replace(b'"a"', b'"A B"'),
        GOOD.replace(b'"mode":"enforce",', b"", 1), GOOD.replace(b'"length":0', b'"length":-1'),
        GOOD.replace(b'"length":0', b'"length":0.0'),
        GOOD.replace(b'"kind":"LegalEvents",', b""), GOOD.replace(b"}", b',"x":1}', 1),
        json.dumps({**json.loads(GOOD), "events": json.loads(GOOD)["events"][::-1]}).encode(),
    ],
)  # fmt: skip
def test_what_is_not_a_canonical_list_is_refused_as_ever(raw: bytes) -> None:
    memory = EventMemory()
    memory.read(GOOD)
    with pytest.raises(BorderpostError, match="BP0215"):
        EventList.from_canonical(raw)
    with pytest.raises(BorderpostError, match="BP0215"):
        memory.read(raw)
    assert memory.read(GOOD) == listed("a", "b")
