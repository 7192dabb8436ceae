"""Requests read by hand and by the generated messages say the same; what cannot be understood is refused in words."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitUnit
from borderpost_ratelimit import questions
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.questions import MalformedRequest, Question, read, without_names
from support.ratelimit_parts import descriptor_of, request_of

DESCRIPTORS_MAX, ENTRIES_MAX = 8, 4


def said(question: Question) -> Any:
    asked = [(one.entries, one.addend, one.negative, one.done, one.override) for one in question.asked]
    return question.domain, asked, question.addend, question.name


def both(message: bytes) -> tuple[Any, Any]:
    """Return what reading says, and what the generated messages alone say: a question or the fault's words."""
    found = []
    for reading in (read, questions._read_any):
        try:
            found.append(said(reading(message, DESCRIPTORS_MAX, ENTRIES_MAX)))
        except MalformedRequest as error:
            found.append(str(error))
    return found[0], found[1]


keys = st.one_of(
    st.sampled_from(["a", "user", "borderpost.request", "borderpost.phase", "borderpost.x", ""]), st.text()
)
values = st.one_of(st.sampled_from([b"", b"done", b"\xff", b"r-1"]), st.binary(max_size=300))
hits = st.one_of(st.none(), st.sampled_from([0, 1, 127, 128, 2**28 - 1, 2**28, 2**64 - 1]))


@st.composite
def descriptors(draw: st.DrawFn) -> RateLimitDescriptor:
    entries = [(draw(keys), draw(values)) for _ in range(draw(st.integers(0, 5)))]
    made = descriptor_of(*entries, hits=draw(hits), negative=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        made.limit.requests_per_unit = draw(st.integers(0, 2**32 - 1))
        made.limit.unit = RateLimitUnit.ValueType(draw(st.integers(0, 8)))
        if draw(st.booleans()):
            made.limit.unit_multiplier.value = draw(st.sampled_from([0, 1, 10, 2**32 - 1]))
    return made


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    domain = draw(st.one_of(st.just("shop"), st.text(max_size=20)))
    asked = [draw(descriptors()) for _ in range(draw(st.integers(0, 4)))]
    return request_of(*asked, domain=domain, hits=draw(st.sampled_from([0, 1, 300, 2**32 - 1])))


@given(requests())
@example(request_of(descriptor_of(("k", b"v" * 16_384))))
@example(request_of(descriptor_of(("k", b"v" * 16_383))))
@example(request_of(*[descriptor_of(("k", "v"))] * (DESCRIPTORS_MAX + 1)))
@example(request_of(descriptor_of(*[("k", "v")] * (ENTRIES_MAX + 1))))
def test_what_envoy_may_write_is_read_alike(message: bytes) -> None:
    ours, generated = both(message)
    assert ours == generated


@given(requests(), st.randoms(use_true_random=False))
def test_what_was_damaged_is_read_alike(message: bytes, chance: random.Random) -> None:
    damaged = bytearray(message)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(damaged) + 1)
        how = chance.randrange(3)
        if how == 0:
            damaged.insert(at, chance.choice([0, 1, 8, 10, 18, 24, 26, 32, 128, 255]))
        elif damaged and how == 1:
            del damaged[at - 1 : at]
        elif damaged:
            damaged[at - 1] = chance.randrange(256)
    ours, generated = both(bytes(damaged))
    assert ours == generated


@pytest.mark.full
@given(st.binary(max_size=40))
def test_any_bytes_are_read_alike(message: bytes) -> None:
    ours, generated = both(b"\x0a\x01s\x12" + message)
    assert ours == generated


def test_fields_in_another_order_or_twice_are_read_as_protobuf_does() -> None:
    usual = request_of(descriptor_of(("k", "v")), hits=7)
    assert both(usual[6:] + usual[:6])[0] == both(usual)[0]
    entry = b"\x0a\x01k\x12\x01v\x12\x01w"
    twice = b"\x0a\x04shop\x12" + bytes([len(entry) + 2]) + b"\x0a" + bytes([len(entry)]) + entry
    assert both(twice)[0][1][0][0] == (("k", "w"),)


MALFORMED = {
    "bytes": (b"\xff\xff", "this is no RateLimitRequest"),
    "empty": (b"", "the domain is empty"),
    "no domain": (request_of(descriptor_of(("k", "v")), domain=""), "the domain is empty"),
    "domain in no UTF-8": (b"\x0a\x01\xff" + request_of(descriptor_of(("k", "v")), domain=""), "no RateLimitRequest"),
    "no descriptors": (request_of(), "there is no descriptor"),
    "no entries": (request_of(descriptor_of()), "a descriptor has no entries"),
    "empty key": (request_of(descriptor_of(("", "v"))), "an entry has an empty key"),
    "too many descriptors": (request_of(*[descriptor_of(("k", "v"))] * 3000), "3000 descriptors; at most 8 are taken"),
    "too many entries": (request_of(descriptor_of(*[("k", "v")] * 5)), "5 entries; at most 4 are taken"),
    "unknown reserved key": (request_of(descriptor_of(("borderpost.x", "v"))), "a key that is reserved and not known"),
    "unknown phase": (request_of(descriptor_of(("borderpost.phase", "later"))), "another value than done"),
    "own limit without a unit": (request_of(descriptor_of(("k", "v"), own=(5, Unit.UNKNOWN))), "unit that is not"),
    "own limit of no units": (request_of(descriptor_of(("k", "v"), own=(5, Unit.DAY, 0))), "0 units, or for more"),
    "own limit of ages": (request_of(descriptor_of(("k", "v"), own=(5, Unit.YEAR, 101))), "0 units, or for more"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_request_that_cannot_be_understood_is_refused_in_words(case: str) -> None:
    message, words = MALFORMED[case]
    with pytest.raises(MalformedRequest, match=words) as refused:
        read(message, DESCRIPTORS_MAX, ENTRIES_MAX)
    assert str(refused.value).isascii()


def test_words_of_a_refusal_hold_nothing_of_the_request() -> None:
    secret = b"ann@example.com"
    for message in (
        request_of(descriptor_of(("borderpost.phase", secret))),
        request_of(descriptor_of((f"borderpost.{secret.decode()}", b"x"))),
    ):
        with pytest.raises(MalformedRequest) as refused:
            read(message, DESCRIPTORS_MAX, ENTRIES_MAX)
        assert "ann" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"caf\xe9", "caf\\xe9"),
        (b"caf\xc3\xa9", "café"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"a\x00b\r\n\x1b[0m", "a\x00b\r\n\x1b[0m"),
        (b"v" * 65_536, "v" * 65_536),
    ],
    ids=["no UTF-8", "UTF-8", "surrogate", "control characters", "64 KiB"],
)
def test_values_are_taken_whatever_they_are(value: bytes, text: str) -> None:
    question = read(request_of(descriptor_of(("k", value))), DESCRIPTORS_MAX, ENTRIES_MAX)
    assert question.asked[0].entries == (("k", text),)
    text.encode()


@pytest.mark.parametrize(
    ("value", "name"),
    [("r-1", "r-1"), ("x" * 64, "x" * 64), ("x" * 65, ""), ("", ""), ("é", ""), ("a\nb", ""), (b"\xff", "")],
)
def test_a_name_is_short_and_printable_or_there_is_none(value: str | bytes, name: str) -> None:
    message = request_of(descriptor_of(("k", "v"), ("borderpost.request", value)))
    question = read(message, DESCRIPTORS_MAX, ENTRIES_MAX)
    assert (question.name, question.asked[0].entries) == (name, (("k", "v"),))


def test_a_value_may_be_missing() -> None:
    assert read(request_of(descriptor_of(("k", ""))), 8, 4).asked[0].entries == (("k", ""),)


class TestWithoutNames:
    """Requests that differ in their names only are one plan; others never are."""

    def named(self, *names: str, value: bytes = b"v") -> bytes:
        return request_of(*[descriptor_of(("k", value), ("borderpost.request", name)) for name in names])

    def test_two_names_of_one_length_leave_the_same(self) -> None:
        one, two = (without_names(self.named(name)) for name in ("r-1", "r-2"))
        assert one[0] == two[0]
        assert (one[1], two[1]) == ([b"r-1"], [b"r-2"])

    def test_a_message_without_a_name_is_as_it_was(self) -> None:
        message = request_of(descriptor_of(("k", "v")))
        assert without_names(message) == (message, [], [])

    def test_every_name_is_cut_where_reading_finds_it(self) -> None:
        message = self.named("r-1", "r-1")
        _, names, places = without_names(message)
        assert names == [b"r-1", b"r-1"]
        assert places == read(message, 8, 4).names_at

    def test_a_value_that_looks_like_a_name_is_not_taken_for_one(self) -> None:
        false = b"\x0a\x12borderpost.request\x12\x03ann"
        _, _, places = without_names(self.named("r-1", value=false))
        assert len(places) == 2
        assert places != read(self.named("r-1", value=false), 8, 4).names_at

    @pytest.mark.parametrize("end", [-3, -2, -1])
    def test_a_message_that_ends_within_a_name_is_like_no_other(self, end: int) -> None:
        message = self.named("r-1")
        assert message.endswith(b"\x03r-1")
        assert without_names(message[: end - 1]) == (b"", [], [])

    def test_a_long_name_is_like_no_other(self) -> None:
        assert without_names(self.named("r" * 128)) == (b"", [], [])

    def test_what_is_left_tells_where_it_was_cut(self) -> None:
        """Tried with every message of up to six pieces out of four."""
        pieces = [b"\x0a\x12borderpost.request\x12", b"\x00", b"\x01", b"\x02"]
        found: dict[bytes, set[tuple[tuple[int, int], ...]]] = defaultdict(set)
        named = 0
        for count in range(7):
            for chosen in itertools.product(pieces, repeat=count):
                left, names, places = without_names(b"".join(chosen))
                found[left].add(tuple(places))
                named += bool(names)
        found.pop(b"")  # of those that are like no other
        assert all(len(places) == 1 for places in found.values())
        assert sum(any(places) for places in found.values()) < named, "several leave the same"


def test_the_generated_request_has_no_more_fields_than_are_read() -> None:
    """A field that Envoy adds to its schema is to be thought about."""
    assert [field.name for field in RateLimitRequest.DESCRIPTOR.fields] == ["domain", "descriptors", "hits_addend"]
    assert [field.name for field in RateLimitDescriptor.DESCRIPTOR.fields] == [
        "entries", "limit", "hits_addend", "is_negative_hits",
    ]  # fmt: skip
