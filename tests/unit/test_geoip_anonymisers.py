"""Anonymisers: the flags of every schema we know, lists of networks, and files that must not be believed empty."""

from __future__ import annotations

import gzip
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.geoip import Anonymisers, Flags
from borderpost.geoip.addresses import Address, Ranges, parse_address
from borderpost.geoip.anonymisers import FlagDatabase
from borderpost.geoip.flags import flags_of
from borderpost.geoip.network_list import NetworkList
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from support.mmdb_writer import build_mmdb, write_mmdb

A, H, BOTH, NONE = Flags.ANONYMISER, Flags.HOSTING, Flags.ANONYMISER | Flags.HOSTING, Flags.NONE
IPINFO = {"hosting": "", "proxy": "", "tor": "", "relay": "", "vpn": "", "service": ""}


def flags(anonymisers: Anonymisers | NetworkList | FlagDatabase, address: str) -> Flags:
    return anonymisers.flags(parse_address(address))


def listed(tmp_path: Path, text: str | bytes, name: str = "list.txt") -> NetworkList:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return NetworkList.read(path)


def error_of(path: Path) -> BorderpostError:
    with pytest.raises(BorderpostError) as caught:
        Anonymisers.open([path])
    assert str(path) in str(caught.value) and caught.value.mend
    return caught.value


# Flags. Records of MaxMind as its test data have them (github.com/maxmind/MaxMind-DB, source-data).


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"is_anonymous": True, "is_anonymous_vpn": True}, A),
        ({"is_anonymous": True, "is_hosting_provider": True}, H),
        ({"is_anonymous": True, "is_public_proxy": True}, A),
        ({"is_anonymous": True, "is_residential_proxy": True}, A),
        ({"is_anonymous": True, "is_tor_exit_node": True}, A),
        ({"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True}, BOTH),
        ({"is_anonymous": True}, A),
        ({"is_anonymous": False, "is_anonymous_vpn": False}, NONE),
        ({"anonymizer_confidence": 30, "is_anonymous": True, "is_anonymous_vpn": True}, A),
        ({"provider_name": "a", "anonymizer_confidence": 82, "network_last_seen": "2026-05-11"}, A),
        ({"anonymizer": {"is_anonymous": True, "is_hosting_provider": True}, "country": {"iso_code": "US"}}, H),
        ({"traits": {"is_anonymous_proxy": True}}, A),
        ({**IPINFO, "vpn": "true", "service": "b"}, A),
        ({**IPINFO, "hosting": "true"}, H),
        ({**IPINFO, "relay": True, "hosting": True}, BOTH),
        (IPINFO, NONE),
        ({"privacy": {"tor": True, "vpn": False}}, A),
        ({"vpn": "perhaps"}, A),
        ({"vpn": "False", "proxy": "no", "tor": "0"}, NONE),
        ({"hosting": 2}, H),
        ({"country": {"iso_code": "DE"}}, NONE),
        (None, NONE),
        (["vpn"], NONE),
    ],
)
def test_flags_of_a_record(record: object, expected: Flags) -> None:
    assert flags_of(record) == expected


def test_databases_of_different_publishers(tmp_path: Path) -> None:
    maxmind = {
        "71.160.223.0/24": {"is_anonymous": True, "is_hosting_provider": True},
        "2a00:480:3a::/64": {"is_anonymous": True, "is_public_proxy": True},
    }
    ipinfo = {"71.160.223.64/26": {**IPINFO, "vpn": "true"}, "9.9.9.0/24": IPINFO}
    first = write_mmdb(tmp_path / "a.mmdb", maxmind, database_type="GeoIP2-Anonymous-IP")
    second = write_mmdb(tmp_path / "b.mmdb", ipinfo, database_type="ipinfo privacy", ip_version=4)
    both = Anonymisers.open([first, second])
    assert [flags(both, address) for address in ("71.160.223.1", "71.160.223.65", "9.9.9.9", "8.8.8.8")] == [
        H, BOTH, NONE, NONE
    ]  # fmt: skip
    assert flags(both, "2a00:480:3a::1") == A
    assert flags(both, "::ffff:71.160.223.1") == H
    assert [file.database_type for file in both.databases] == ["GeoIP2-Anonymous-IP", "ipinfo privacy"]
    both.close()
    with pytest.raises(ValueError):
        flags(both, "71.160.223.1")


@pytest.mark.parametrize(
    "record", [{"country": {"iso_code": "DE"}}, {"autonomous_system_number": 1}, {"country": "DE"}]
)
def test_a_database_without_flags_is_refused(tmp_path: Path, record: Any) -> None:
    error = error_of(write_mmdb(tmp_path / "x.mmdb", {"24.48.0.0/16": record}, database_type="Some-Kind"))
    assert (error.code, "Some-Kind" in error.detail) == ("BP0310", True)


def test_damage_is_an_error_and_never_no_flag(tmp_path: Path) -> None:
    networks: dict[str, Any] = {f"24.{n}.0.0/16": {"is_anonymous": True} for n in range(200)}
    raw = bytearray(build_mmdb({**networks, "81.2.69.0/24": {"service": "GBQX", "vpn": True}}, database_type="x"))
    at = raw.index(b"\x44GBQX")
    raw[at : at + 3] = b"\x5e\xff\xff"  # a text that runs past the end of the data
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(bytes(raw))
    anonymisers = Anonymisers.open([path])
    assert flags(anonymisers, "24.48.1.1") == A
    with pytest.raises(BorderpostError, match="BP0306") as caught:
        flags(anonymisers, "81.2.69.142")
    assert "81.2.69" not in str(caught.value), "a client's address is not for logs"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_an_error_with_a_code_or_flags(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    networks = {
        "24.48.0.0/16": {"is_anonymous": True, "anonymizer": {"is_hosting_provider": True}},
        "9.9.9.0/24": IPINFO,
    }
    raw = bytearray(build_mmdb(networks, database_type="x"))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged-any.mmdb"
    temporary = path.with_suffix(".new")
    temporary.write_bytes(bytes(raw))
    temporary.replace(path)  # never into a file that an earlier example still maps
    try:
        anonymisers = Anonymisers.open([path])
        found = [flags(anonymisers, address) for address in ("24.48.1.1", "9.9.9.9", "2a00::1", "2002:1830:101::1")]
    except BorderpostError as error:
        assert error.code.startswith("BP03")
    else:
        assert all(isinstance(each, Flags) for each in found)


# Lists


def test_a_list(tmp_path: Path) -> None:
    text = """
        # exits, 2026-11-20 — a comment in any language
        9.9.9.0/24
        2a00:77::/48   vpn
        8.8.8.8 hosting # a cloud
        8.8.0.0/16\tTOR
        ::ffff:7.7.7.0/120
        6.6.6.6/32
    """
    found = listed(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    expected = {
        "9.9.9.255": A, "9.9.10.0": NONE, "2a00:77::1": A, "2a00:78::1": NONE, "8.8.8.8": BOTH, "8.8.8.9": A,
        "7.7.7.9": A, "::ffff:7.7.7.9": A, "6.6.6.6": A, "6.6.6.7": NONE, "::909:900": NONE,
    }  # fmt: skip
    assert {address: flags(found, address) for address in expected} == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("9.9.9", "9.9.9"),
        ("9.9.9.9/33", "0 to 32"),
        ("9.9.9.9/-1", "0 to 32"),
        ("9.9.9.9/", "0 to 32"),
        ("9.9.9.9/²", "no network"),
        ("9.9.9.9/24", "beyond its prefix"),
        ("2a00::1/32", "beyond its prefix"),
        ("2a00::/129", "0 to 128"),
        ("09.9.9.9", "09.9.9.9"),
        ("9.9.9.256", "9.9.9.256"),
        ("9.9.9.9.9", "9.9.9.9.9"),
        ("fe80::1%eth0", "zone"),
        ("example.org", "example.org"),
        ("9.9.9.9 scanner", "scanner"),
        ("9.9.9.9 vpn tor", "vpn tor"),
        ("9.9.9.0-9.9.9.255", "9.9.9.0-9"),
        ("9.9.9.9,vpn", "9.9.9.9,vpn"),
        ("<!doctype html>", "doctype"),
        ("é.9.9.9", r"\xc3\xa9"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"9.9.9.9\n# a comment\n{line}\n8.8.8.8\n")
    error = error_of(path)
    assert (error.code, error.place.line) == ("BP0309", 3)
    assert said in error.detail


@pytest.mark.parametrize("text", ["\n", "# nothing\n", "   \n\t\n# x"])
def test_a_list_of_nothing_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    assert error_of(path).code == "BP0310"


def test_a_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    path.write_text("9.9.9.9\n# x\n8.8.8.8\n")
    monkeypatch.setattr(limits, "ANONYMISER_NETWORKS_MAX", 2)
    assert Anonymisers.open([path])
    monkeypatch.setattr(limits, "ANONYMISER_NETWORKS_MAX", 1)
    error = error_of(path)
    assert (error.code, error.place.line) == ("BP0311", 3)
    monkeypatch.setattr(limits, "ANONYMISER_LIST_BYTES_MAX", 5)
    assert error_of(path).code == "BP0311"


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert error_of(path).code == "BP0301"
    assert error_of(tmp_path).code == "BP0301"
    path.write_bytes(b"")
    assert error_of(path).code == "BP0302"
    path.write_bytes(gzip.compress(b"9.9.9.9\n"))
    assert "gzip" in error_of(path).detail
    path.write_bytes(b"9.9.9.9\n\x00\x01\x02" * 100)
    assert error_of(path).code == "BP0303"
    path.write_bytes(b"9.9.9.9\n" * 1000 + b"\x00\x01")
    assert error_of(path).code == "BP0309"


# All files together


def test_the_digest_is_of_all_files_in_any_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("9.9.9.9\n")
    two.write_text("8.8.8.8 hosting\n")
    both = Anonymisers.open([one, two])
    assert both.digest == Anonymisers.open([two, one, one]).digest
    assert both.digest != Anonymisers.open([one]).digest != Anonymisers().digest
    assert [flags(both, "9.9.9.9"), flags(both, "8.8.8.8")] == [A, H]
    assert (bool(both), bool(Anonymisers())) == (True, False)
    assert flags(Anonymisers(), "9.9.9.9") == NONE
    assert [flags(both, address) for address in ("2002:909:909::1", "2002:808:808::1", "2002:707:707::1")] == [
        A,
        H,
        NONE,
    ]


def test_one_file_that_cannot_be_used_makes_all_unusable(tmp_path: Path) -> None:
    good = write_mmdb(tmp_path / "a.mmdb", {"9.9.9.0/24": {"vpn": True}}, database_type="x")
    bad = tmp_path / "bad"
    bad.write_text("nonsense\n")
    with pytest.raises(BorderpostError, match="BP0309"):
        Anonymisers.open([good, bad])


_ADDRESS = st.one_of(
    st.integers(0x09090900, 0x090909FF).map(ipaddress.IPv4Address),
    st.integers(0, 255).map(lambda low: ipaddress.IPv6Address((0x2A000077 << 96) + low)),
)


@st.composite
def _networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address: Address = draw(_ADDRESS)
    bits = draw(st.integers(address.max_prefixlen - 9, address.max_prefixlen))
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)


@given(st.lists(st.tuples(_networks(), st.sampled_from(["", "vpn", "hosting"])), min_size=1, max_size=8), _ADDRESS)
@settings(max_examples=200, deadline=None)
def test_a_list_flags_exactly_what_its_networks_hold(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[Any, str]], address: Address
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-list.txt"
    path.write_text("".join(f"{network} {word}\n" for network, word in lines))
    expected = NONE
    for network, word in lines:
        if address in network:
            expected |= H if word == "hosting" else A
    assert NetworkList.read(path).flags(address) == expected


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_list_or_an_error_with_a_code(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(data)
    try:
        Anonymisers.open([path]).close()
    except BorderpostError as error:
        assert error.code in {"BP0302", "BP0303", "BP0309", "BP0310"}


_INTERVAL = st.tuples(st.integers(0, 60), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(_INTERVAL, max_size=8), st.sampled_from([0, 1 << 100]))
def test_ranges_hold_what_they_were_made_of(intervals: list[tuple[int, int]], offset: int) -> None:
    ranges = Ranges((start + offset, end + offset) for start, end in intervals)
    for number in range(70):
        assert (number + offset in ranges) == any(start <= number <= end for start, end in intervals)
