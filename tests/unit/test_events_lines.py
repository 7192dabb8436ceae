"""Lines of signed lists: what a body may say, bytes in their one form, triggers and what they fire."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.events.lines import event_body
from borderpost.policy.fields import format_instant, parse_instant
from borderpost_base import limits
from borderpost_base.errors import Place
from support.signed_lists import BEGINNING, SOURCE, ListWriter, everything, fault, read, trigger_of

HOUR = timedelta(hours=1)
WRITER = ListWriter()
WRITER.add("ev-1")


# Time, ids, what a body may say


def test_time_never_goes_back() -> None:
    writer = ListWriter()
    writer.add("ev-1")
    writer.add("ev-2", at=BEGINNING - timedelta(microseconds=1))
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP1003", 2)


def test_a_line_from_the_future_waits_until_then() -> None:
    writer = ListWriter()
    writer.add("ev-1", at=BEGINNING)
    ahead = timedelta(seconds=limits.EVENT_AHEAD_S_MAX)
    assert fault(writer, now=BEGINNING - ahead - timedelta(microseconds=1)).code == "BP1003"
    assert read(writer.lines, writer.signers, now=BEGINNING - ahead).problems == ()


def test_an_id_is_never_used_again() -> None:
    for first, second in (("add", "add"), ("add", "trigger"), ("trigger", "add"), ("trigger", "trigger")):
        writer = ListWriter()
        getattr(writer, first)("same")
        getattr(writer, second)("same")
        error = fault(writer)
        assert (error.code, error.place.line) == ("BP1007", 2)


@pytest.mark.parametrize("ends", ["ev-9", "ev-2"])
def test_a_lift_ends_what_narrows_and_stands_above(ends: str) -> None:
    writer = ListWriter()
    writer.add("ev-1")
    writer.add("ev-2", type="lift", scope={}, ends="ev-1")
    writer.add("ev-3", type="lift", scope={}, ends=ends)
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP0210", 3)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"recorded_at": "2026-01-01T00:00:00.000000Z"}, "BP1016"),
        ({"approvals": []}, "BP1016"),
        ({"type": "threshold_reached", "scope": {}, "counter": "c", "count": 5}, "BP1016"),
        ({"trigger": "strait"}, "BP1016"),
        ({"effective_from": "2026-01-01"}, "BP1001"),
        ({"effective_from": "2026-01-01T01:00:00+01:00"}, "BP1001"),
        ({"scope": {"countries": "US"}, "type": "injunction"}, "BP1001"),
        ({"scope": {}}, "BP0220"),
        ({"type": "nonsense"}, "BP1001"),
        ({"id": "UPPER"}, "BP1001"),
        ({"reason": 5}, "BP1001"),
        ({"unheard": "of"}, "BP1001"),
        ({"effective_until": "2020-01-01T00:00:00.000000Z"}, "BP0207"),
    ],
)
def test_what_a_body_cannot_say(changes: dict[str, Any], code: str) -> None:
    writer = ListWriter()
    body = orjson.loads(ListWriter().add("ev-1"))["body"]
    writer.put("event", {**body, **changes}, "ada")
    error = fault(writer)
    assert (error.code, error.place) == (code, Place(SOURCE, 1)), error


def test_a_field_that_an_older_version_did_not_know_may_be_missing() -> None:
    writer = ListWriter()
    body = orjson.loads(ListWriter().add("ev-1"))["body"]
    writer.put("event", {key: value for key, value in body.items() if key != "mode"}, "ada")
    known = read(writer.lines, writer.signers)
    assert known.problems == ()
    assert known.events[0].mode == "enforce"


# Bytes


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(b'"v":1', b'"v": 1'),
        lambda line: line.replace(b'"v":1', b'"v":1,"v":1'),
        lambda line: line.replace(b'"v":1', b'"v":1.0'),
        lambda line: line.replace(b'"v":1', b'"v":2'),
        lambda line: line.replace(b'"v":1', b'"v":true'),
        lambda line: line.replace(b'"seq":0', b'"seq":"0"'),
        lambda line: line.replace(b'"seq":0', b'"seq":-1'),
        lambda line: line.replace(b'"seq":0', b'"seq":99999999999999999999'),
        lambda line: line.replace(b'"kind":"event"', b'"kind":"order"'),
        lambda line: line.replace(b'"an order"', b'"an \\u006frder"'),
        lambda line: line.replace(b'"an order"', '"u\u0308"'.encode()),
        lambda line: line.replace(b'"an order"', b'"\\ud800"'),
        lambda line: line.replace(b'"an order"', b'"\xff"'),
        lambda line: line.replace(b'"an order"', b"null"),
        lambda line: line + b" ",
        lambda line: b"\xef\xbb\xbf" + line,
        lambda line: b"[" * 5000,
        lambda line: b"",
        lambda line: b"null",
        lambda line: b"[]",
    ],
)
def test_a_line_that_is_not_in_its_one_form_is_refused(spoil: Any) -> None:
    writer = ListWriter()
    line = writer.add("ev-1")
    assert spoil(line) != line
    error = fault(writer, [spoil(line)])
    assert (error.code, error.place) == ("BP1001", Place(SOURCE, 1))


def test_a_line_that_is_too_long_is_not_even_parsed() -> None:
    assert fault(ListWriter(), [b"[" * (limits.EVENT_LINE_BYTES_MAX + 1)]).code == "BP1010"


def test_a_list_has_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENT_LIST_LINES_MAX", 3)
    writer = ListWriter()
    for name in ("ev-1", "ev-2", "ev-3", "ev-4"):
        writer.add(name)
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP1010", 4)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_fault_and_never_a_crash(raw: bytes) -> None:
    assert read([raw], WRITER.signers).problems


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return every place in plain data."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, value in inner for found in paths(value, (*path, key)))]


LIST = everything()
PLACES = [(number, path) for number, line in enumerate(LIST.lines) for path in paths(json.loads(line)) if path]


@given(st.sampled_from(PLACES), _JSON)
def test_any_value_anywhere_is_a_fault_and_never_a_crash(place: tuple[int, tuple[str | int, ...]], value: Any) -> None:
    number, path = place
    data = json.loads(LIST.lines[number])
    at = data
    for part in path[:-1]:
        at = at[part]
    if at[path[-1]] == value and type(at[path[-1]]) is type(value):
        return
    at[path[-1]] = value
    try:
        raw = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return  # no JSON of orjson's: integers beyond 64 bits, lone surrogates
    known = read([*LIST.lines[:number], raw, *LIST.lines[number + 1 :]], LIST.signers)
    # The last line's own time is vouched for by nothing but a heartbeat, and those who remember it.
    assert known.problems or number == len(LIST.lines) - 1


# Triggers


def fired_fault(**changes: Any) -> str | None:
    """Fire the trigger with an event that is changed; return what is said of it, None if nothing is."""
    writer = ListWriter()
    writer.trigger("strait")
    at = BEGINNING + timedelta(seconds=1)
    body = event_body(trigger_of(writer).fire(at))
    writer.put("event", {**body, **changes}, at=at)
    problems = read(writer.lines, writer.signers).problems
    return problems[0].detail if problems else None


def test_what_a_trigger_fires_needs_no_signature_and_says_what_was_signed() -> None:
    assert fired_fault() is None
    for changes in (
        {"reason": "another"},
        {"scope": {"regions": ["eu-1", "eu-2"]}},
        {"mode": "drill"},
        {"id": "strait.20260101t000002.000000"},
        {"effective_until": "2027-01-01T00:00:00.000000Z"},
        {"type": "injunction"},
    ):
        assert fired_fault(**changes) is not None, changes


def test_a_trigger_fires_no_more_once_it_is_over() -> None:
    writer = ListWriter()
    writer.trigger("strait", valid_until="2026-01-02")
    over = BEGINNING + timedelta(days=1)
    trigger = trigger_of(writer)
    writer.put("event", event_body(trigger.fire(over - timedelta(microseconds=1))), at=over - timedelta(microseconds=1))
    assert read(writer.lines, writer.signers).problems == ()
    writer.put("event", event_body(trigger.fire(over)), at=over)
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP1016", 3)


def test_what_was_fired_cannot_be_signed_approved_or_dated_ahead() -> None:
    writer = ListWriter()
    writer.trigger("strait")
    fired = trigger_of(writer).fire(BEGINNING + timedelta(seconds=1))
    signed = ListWriter()
    signed.keys, signed.signers, signed.lines = writer.keys, writer.signers, list(writer.lines)
    signed.put("event", event_body(fired), "ada")
    assert fault(signed).code == "BP1016"
    writer.put("event", event_body(fired))
    writer.approve(fired.id, "bo")
    assert fault(writer).code == "BP1008"
    early = ListWriter()
    early.trigger("strait")
    early.put("event", event_body(trigger_of(early).fire(BEGINNING + HOUR)))
    assert fault(early).code == "BP1016"


def test_the_end_of_the_calendar_is_no_crash() -> None:
    last = "9999-12-31T23:59:59.999999Z"
    writer = ListWriter()
    writer.trigger("strait", valid_until=last)
    body = event_body(trigger_of(writer).fire(BEGINNING))
    early = parse_instant(last) - HOUR / 2
    del body["effective_until"]
    writer.put("event", body | {"effective_from": format_instant(early)}, at=early)
    assert fault(writer).code == "BP1016"


def test_nothing_is_fired_by_a_trigger_that_is_not_there() -> None:
    writer = ListWriter()
    writer.trigger("strait")
    writer.put("event", event_body(trigger_of(writer).fire(BEGINNING)) | {"trigger": "other"})
    assert fault(writer).code == "BP1016"


def test_what_was_fired_can_be_lifted() -> None:
    writer = ListWriter()
    writer.trigger("strait")
    fired = trigger_of(writer).fire(BEGINNING)
    writer.put("event", event_body(fired))
    writer.add("ev-1", "ada", "bo", type="lift", scope={}, ends=fired.id)
    known = read(writer.lines, writer.signers)
    assert known.problems == ()
    assert known.event_list().in_force(int((BEGINNING + timedelta(seconds=9)).timestamp() * 1e6)) == ("ev-1",)


def test_a_trigger_that_is_over_is_not_appended() -> None:
    writer = ListWriter()
    writer.trigger("strait", valid_until=BEGINNING.isoformat())
    assert fault(writer).code == "BP1017"


def test_a_trigger_needs_a_signature() -> None:
    writer = ListWriter()
    body = orjson.loads(ListWriter().trigger("strait"))["body"]
    writer.put("trigger", body)
    assert fault(writer).code == "BP1006"
