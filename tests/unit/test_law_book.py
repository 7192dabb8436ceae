"""The law book: one list from what is read and what was made here, and nothing in it is ever forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.law_book import LawBook
from borderpost.policy.event_schema import Approval, EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost_base.errors import BorderpostError

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
HEADS = ["0" * 64, "1" * 64, "2" * 64, "3" * 64]


def event(name: str, minute: int = 0, **changes: Any) -> LegalEvent:
    at = BEGINNING + timedelta(minutes=minute)
    fields: dict[str, Any] = {
        "id": name,
        "type": "region_suspend",
        "scope": {"regions": ["eu-1"]},
        "effective_from": at,
        "recorded_at": at,
        "source": "a court",
        "reason": "an order",
    }
    return LegalEvent.model_validate({**fields, **changes})


def reached(name: str, minute: int) -> LegalEvent:
    return event(name, minute, type="threshold_reached", scope={}, counter="cn", count=100)


def approval(by: str) -> Approval:
    key = "sha256:" + by.encode().hex().ljust(64, "0")
    return Approval(by=by, key=key, at=BEGINNING, signature="A" * 86 + "==")


def plain(*events: LegalEvent) -> EventList:
    return EventList(EventsFile(events=events))


def signed(*events: LegalEvent, length: int, head: str) -> EventList:
    return EventList(EventsFile(events=events, length=length, head=head))


def ids(book: LawBook) -> list[str]:
    return [each.id for each in book.current().events]


def test_base_and_own_are_one_list_by_when_things_became_known() -> None:
    book = LawBook()
    assert book.take_base(plain(event("a", 0), event("b", 10)))
    assert book.add_own(reached("t", 5))
    assert ids(book) == ["a", "t", "b"]
    assert book.take_base(plain(event("a", 0), event("b", 10), event("c", 11)))
    assert ids(book) == ["a", "t", "b", "c"]
    assert EventList.from_canonical(book.current().canonical()) == book.current()


def test_what_changes_nothing_says_so() -> None:
    book = LawBook()
    assert book.current() == EventList()
    assert not book.take_base(plain())
    assert book.take_base(plain(event("a")))
    assert not book.take_base(plain(event("a")))
    assert book.add_own(reached("t", 5))
    before = book.current()
    assert not book.add_own(reached("t", 9))
    assert not book.add_own(event("a", 7))
    assert book.current() is before


def test_the_list_carries_head_length_and_clock_error() -> None:
    book = LawBook()
    book.take_base(signed(event("a"), length=3, head=HEADS[1]))
    assert book.set_clock_error(20_000)
    assert not book.set_clock_error(20_000)
    book.add_own(reached("t", 5))
    file = book.current().file
    assert (file.length, file.head, file.clock_error_us) == (3, HEADS[1], 20_000)


@pytest.mark.parametrize(
    "later",
    [
        plain(),
        plain(event("b", 10)),
        plain(event("a", reason="another"), event("b", 10)),
        plain(event("a", effective_until=BEGINNING + timedelta(1)), event("b", 10)),
        plain(event("a", mode="drill"), event("b", 10)),
        plain(event("a"), event("b", 10), event("t", 11)),
    ],
)
def test_a_base_that_rewrites_the_past_changes_nothing(later: EventList) -> None:
    book = LawBook()
    book.take_base(plain(event("a"), event("b", 10)))
    book.add_own(reached("t", 5))
    for each in (book, LawBook(book.current())):
        before = each.current()
        with pytest.raises(BorderpostError, match="BP0606"):
            each.take_base(later)
        assert each.current() is before
        assert each.take_base(plain(event("a"), event("b", 10), event("c", 12)))


def test_a_signed_list_must_go_on_from_the_last_one() -> None:
    book = LawBook()
    book.take_base(signed(event("a"), length=2, head=HEADS[2]))
    for length, head in ((0, HEADS[0]), (1, HEADS[1]), (2, HEADS[3])):
        with pytest.raises(BorderpostError, match="BP0606"):
            book.take_base(signed(event("a"), length=length, head=head))
    with pytest.raises(BorderpostError, match="BP0606"):
        book.take_base(plain(event("a")))
    assert book.take_base(signed(event("a"), length=3, head=HEADS[3]))  # a heartbeat or a second signature


def test_more_signatures_are_no_rewriting_and_fewer_are() -> None:
    book = LawBook()
    one, two = approval("ada"), approval("bo")
    book.take_base(plain(event("a", approvals=[one])))
    assert book.take_base(plain(event("a", approvals=[one, two])))
    for fewer in ([], [two], [one.model_copy(update={"at": BEGINNING - timedelta(1)}), two]):
        with pytest.raises(BorderpostError, match="BP0606"):
            book.take_base(plain(event("a", approvals=fewer)))


def test_what_was_made_here_survives_a_restart_and_what_was_read_must_be_read_again() -> None:
    book = LawBook()
    book.take_base(plain(event("a"), event("b", 10)))
    book.add_own(reached("t", 5))
    book.add_own(event("fired", 6, trigger="war"))
    again = LawBook(EventList.from_canonical(book.current().canonical()))
    assert ids(again) == ["a", "t", "fired", "b"]
    assert not again.take_base(plain(event("a"), event("b", 10)))
    assert ids(again) == ["a", "t", "fired", "b"]


def test_an_event_made_here_that_the_list_tells_too_was_known_when_it_was_made() -> None:
    made = event("fired", 6, trigger="war")
    told = made.model_copy(update={"recorded_at": BEGINNING + timedelta(minutes=8)})
    book = LawBook()
    book.add_own(made)
    book.take_base(plain(event("a"), told))
    assert book.current().events == (event("a"), made)
    assert LawBook(book.current()).take_base(plain(event("a"), told, event("b", 9)))
    other = told.model_copy(update={"reason": "another"})
    with pytest.raises(BorderpostError, match="BP0606"):
        LawBook(book.current()).take_base(plain(event("a"), other))


@pytest.mark.parametrize("ahead", [-3, 0, 3])
def test_what_ends_an_event_made_here_comes_after_it_whichever_clock_was_ahead(ahead: int) -> None:
    made = event("fired", 6 + ahead, trigger="war", effective_from=BEGINNING)
    told = made.model_copy(update={"recorded_at": BEGINNING + timedelta(minutes=6)})
    over = event("over", 6, type="lift", scope={}, ends="fired", approvals=[approval("ada"), approval("bo")])
    book = LawBook()
    book.add_own(made)
    assert book.take_base(plain(told, over))
    assert ids(book) == ["fired", "over"]
    assert ids(LawBook(book.current())) == ["fired", "over"]
    assert not LawBook(book.current()).take_base(plain(told, over))


def test_an_event_that_people_signed_is_not_taken_for_one_made_here() -> None:
    known = event("fired", 6, trigger="war", approvals=[approval("ada")])
    book = LawBook(plain(known))
    with pytest.raises(BorderpostError, match="BP0606"):
        book.take_base(plain())


@given(st.lists(st.tuples(st.sampled_from(["read", "made", "restart"]), st.integers(0, 9)), max_size=12))
def test_whatever_comes_in_whatever_order_nothing_is_lost(steps: Sequence[tuple[str, int]]) -> None:
    book = LawBook()
    base: list[LegalEvent] = []
    made: set[str] = set()
    for number, (kind, minute) in enumerate(steps):
        if kind == "read":
            latest = base[-1].recorded_at if base else BEGINNING
            base.append(event(f"e-{number}", int((latest - BEGINNING).total_seconds() // 60) + minute))
            book.take_base(plain(*base))
        elif kind == "made":
            made.add(f"t-{number}")
            book.add_own(reached(f"t-{number}", minute * 3))
        else:
            book = LawBook(EventList.from_canonical(book.current().canonical()))
        held = book.current().events
        assert {each.id for each in held} == made | {each.id for each in base}
        assert list(held) == sorted(held, key=lambda each: each.recorded_at)
