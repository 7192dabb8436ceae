"""Where an address is and whether that is believed: doubts, their order, and numbers that stand for whole answers."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.facts import Extracted, Extractor, RawRequest
from borderpost.geoip import Anonymisers, Belief, Flags, GeoDatabase, Locator, Whereabouts
from borderpost.geoip.locator import NOWHERE
from borderpost.policy.schema import EvidenceSpec
from borderpost_base.errors import BorderpostError
from support.mmdb_writer import build_mmdb, write_mmdb
from support.raw_requests import DISTRUST

A, H, NONE = Flags.ANONYMISER, Flags.HOSTING, Flags.NONE


def place(country: str, subdivision: str | None = None, *sure: int | None) -> dict[str, Any]:
    record: dict[str, Any] = {"country": {"iso_code": country}}
    if subdivision is not None:
        record["subdivisions"] = [{"iso_code": subdivision}]
    for holder, confidence in zip((record["country"], *record.get("subdivisions", ())), sure, strict=False):
        if confidence is not None:
            holder["confidence"] = confidence
    return record


PLACES = {
    "24.0.0.0/24": place("CA", "QC"),
    "24.0.1.0/24": place("CA", "QC", 99, 80),
    "24.0.2.0/24": place("CA", "QC", 80, 79),
    "24.0.3.0/24": place("CA", "QC", 79, 99),
    "24.0.4.0/24": place("CA", None, 12),
    "24.0.5.0/24": place("CA", None, 99),
}
EXITS = "24.0.0.64/26 vpn\n24.0.1.64/26 hosting\n24.0.3.64/26 vpn\n24.0.3.64/26 hosting\n9.9.9.9\n10.0.0.0/8\n"


def located(tmp_path: Path, belief: Belief = DISTRUST, exits: str = EXITS, **more: Any) -> Locator:
    database = GeoDatabase.open(write_mmdb(tmp_path / "geo.mmdb", PLACES, database_type="GeoIP2-Enterprise"))
    (tmp_path / "exits.txt").write_text(exits)
    return Locator(database, Anonymisers.open([tmp_path / "exits.txt"]), belief, **more)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("24.0.0.1", Whereabouts("CA", "CA-QC")),
        ("24.0.0.65", Whereabouts("CA", "CA-QC", "anonymiser")),
        ("24.0.1.1", Whereabouts("CA", "CA-QC")),
        ("24.0.1.65", Whereabouts("CA", "CA-QC", "hosting")),
        ("24.0.2.1", Whereabouts("CA")),
        ("24.0.3.1", Whereabouts("CA", "CA-QC", "confidence")),
        ("24.0.3.65", Whereabouts("CA", "CA-QC", "anonymiser")),
        ("24.0.4.1", Whereabouts("CA", None, "confidence")),
        ("24.0.5.1", Whereabouts("CA")),
        ("9.9.9.9", NOWHERE),
        ("10.0.0.1", NOWHERE),
    ],
)
def test_what_is_doubted_and_why(tmp_path: Path, address: str, expected: Whereabouts) -> None:
    locator = located(tmp_path)
    assert locator.lookup(address) == locator.lookup(address) == expected
    assert locator.lookup(f"::ffff:{address}") == expected
    assert locator.place_number(f"[::ffff:{address}]".encode()) == locator.place_number(address.encode()) is not None


@pytest.mark.parametrize(
    ("belief", "doubts"),
    [
        (Belief(min_confidence=80, disbelieved=A), ["anonymiser", None, "anonymiser", "confidence"]),
        (Belief(min_confidence=80, disbelieved=H), [None, "hosting", "hosting", "confidence"]),
        (Belief(min_confidence=80, disbelieved=NONE), [None, None, "confidence", "confidence"]),
        (Belief(min_confidence=79, disbelieved=NONE), [None, None, None, None]),
        (Belief(min_confidence=0, disbelieved=A | H), ["anonymiser", "hosting", "anonymiser", None]),
    ],
)
def test_what_a_policy_believes(tmp_path: Path, belief: Belief, doubts: list[str | None]) -> None:
    locator = located(tmp_path, belief)
    assert [locator.lookup(f"24.0.{n}").doubt for n in ("0.65", "1.65", "3.65", "3.1")] == doubts


def test_a_subdivision_is_as_sure_as_the_policy_wants(tmp_path: Path) -> None:
    assert located(tmp_path, Belief(min_confidence=79, disbelieved=NONE)).lookup("24.0.2.1").subdivision == "CA-QC"
    assert located(tmp_path, Belief(min_confidence=100, disbelieved=NONE)).lookup("24.0.0.1").doubt is None


def test_memory_is_bounded_and_does_not_change_answers(tmp_path: Path) -> None:
    locator = located(tmp_path, remembered_addresses=8)
    for _ in range(3):
        for last in range(40):
            assert locator.lookup(f"24.0.0.{last}") == Whereabouts("CA", "CA-QC")
            assert locator.place_number(f"24.0.0.{last}".encode()) == 1
    assert len(locator._remembered) <= 8
    assert len(locator._number_of_host) <= 8


def test_hosts_of_one_place_have_one_number_and_what_must_be_read_with_care_has_none(tmp_path: Path) -> None:
    (tmp_path / "exits.txt").write_text("88.198.22.92\n")
    locator = Locator(GeoDatabase.open(), Anonymisers.open([tmp_path / "exits.txt"]), DISTRUST)
    hosts = (b"88.198.22.91", b"88.198.0.1", b"212.58.244.20", b"192.0.2.1", b"[2a01:4f8::1]", b"88.198.22.92")
    numbers = [locator.place_number(host) for host in hosts]
    assert numbers[0] == numbers[1] == numbers[4] is not None
    assert len(set(numbers)) == 4  # German, British, unknown, German exit
    assert [locator.place_number(host) for host in hosts] == numbers
    for odd in (
        b"",
        b"2a01:4f8::1",
        b"88.198.22.91:80",
        b"088.198.22.91",
        b"[88.198.22.91",
        b"a.b.c.d",
        b"1.2.3",
        b"[::1%1]",
    ):
        assert locator.place_number(odd) is None


def test_a_damaged_file_gives_neither_answer_nor_number(tmp_path: Path) -> None:
    exits: dict[str, Any] = {
        "23.0.0.0/24": {"vpn": True},
        "24.0.1.0/24": {"vpn": True},
        "24.0.0.0/24": {"service": "GBQX", "vpn": True},
    }
    raw = bytearray(build_mmdb(exits, database_type="x"))
    at = raw.index(b"\x44GBQX")
    raw[at : at + 3] = b"\x5e\xff\xff"
    (tmp_path / "exits.mmdb").write_bytes(bytes(raw))
    database = GeoDatabase.open(write_mmdb(tmp_path / "geo.mmdb", PLACES, database_type="GeoIP2-Enterprise"))
    locator = Locator(database, Anonymisers.open([tmp_path / "exits.mmdb"]), DISTRUST)
    for _ in range(2):
        with pytest.raises(BorderpostError, match="BP0306"):
            locator.lookup("24.0.0.1")
        assert locator.place_number(b"24.0.0.1") is None
    assert locator.lookup("24.0.1.1").doubt == "anonymiser"
    rejected = Extractor(EvidenceSpec(), {}, {}, locator).extract(RawRequest("24.0.0.1:1"))
    assert (rejected.status, rejected.code) == (503, "BP0306")  # type: ignore[union-attr]


_CONFIDENCE = st.none() | st.sampled_from([0, 50, 79, 80, 99])
_RECORD = st.builds(
    place, st.sampled_from(["DE", "CA", "ZZ"]), st.sampled_from([None, "QC", "ON"]), _CONFIDENCE, _CONFIDENCE
)
_BELIEF = st.builds(
    lambda sure, flags: Belief(min_confidence=sure, disbelieved=flags),
    st.sampled_from([0, 60, 80, 100]),
    st.sampled_from([NONE, A, H, A | H]),
)
_EXIT = st.tuples(st.integers(0, 31), st.sampled_from([29, 30, 32]), st.sampled_from(["vpn", "hosting"]))


def _cidr(low: int, bits: int) -> str:
    return str(ipaddress.ip_network(f"24.0.0.{low}/{bits}", strict=False))


@given(st.lists(_RECORD, min_size=4, max_size=4), st.lists(_EXIT, min_size=1, max_size=5), _BELIEF)
@settings(max_examples=150, deadline=None)
def test_two_hosts_of_one_number_are_alike_in_all_that_law_sees(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], exits: list[tuple[int, int, str]], belief: Belief
) -> None:
    """The same number for the same complete answer, doubt included, and for no other; and then the same facts."""
    directory = tmp_path_factory.mktemp("numbers")
    networks = {f"24.0.0.{8 * index}/29": record for index, record in enumerate(records)}
    networks["25.0.0.0/24"] = place("FR")
    database = GeoDatabase.open(write_mmdb(directory / "geo.mmdb", networks, database_type="x"))
    (directory / "exits").write_text("".join(f"{_cidr(low, bits)} {word}\n" for low, bits, word in exits))
    locator = Locator(database, Anonymisers.open([directory / "exits"]), belief, remembered_addresses=16)
    extractor = Extractor(EvidenceSpec(), {}, {}, locator)
    answer_of: dict[int | None, Whereabouts] = {}
    facts_of: dict[int | None, Any] = {}
    for low in range(32):
        host = f"24.0.0.{low}"
        number = locator.place_number(host.encode())
        assert number is not None
        assert answer_of.setdefault(number, locator.lookup(host)) == locator.lookup(host)
        extracted = extractor.extract(RawRequest(f"{host}:{1000 + low}"))
        assert isinstance(extracted, Extracted)
        assert facts_of.setdefault(number, extracted) == extracted
    assert len(set(answer_of.values())) == len(answer_of), "no answer has two numbers"
    database.close()
