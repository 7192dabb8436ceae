"""GeoIP databases: every schema we know, every kind of file we cannot use, and answers that are never a default."""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.geoip import ATTRIBUTION, UNKNOWN, GeoAnswer, GeoDatabase, Shape
from borderpost.geoip.addresses import has_place, parse_address
from borderpost.geoip.database import EMBEDDED_PATH
from borderpost_base.errors import BorderpostError
from support.mmdb_writer import BUILD_EPOCH_S, MARK, build_mmdb, write_mmdb

DAY_US = 86_400_000_000


def nested(country: str, *subdivisions: str) -> dict[str, object]:
    record: dict[str, object] = {
        "country": {"iso_code": country, "geoname_id": 6_251_999, "names": {"en": "x" * 40}},
        "registered_country": {"iso_code": "US"},
        "location": {"latitude": 45.5, "accuracy_radius": 20},
    }
    if subdivisions:
        record["subdivisions"] = [{"iso_code": code, "names": {"en": code}} for code in subdivisions]
    return record


CITY = {"24.48.0.0/16": nested("CA", "QC"), "81.2.69.0/24": nested("GB", "ENG", "WBK"), "2.16.0.0/13": nested("FR")}


def open_made(tmp_path: Path, networks: Mapping[str, object], database_type: str, **more: int) -> GeoDatabase:
    return GeoDatabase.open(write_mmdb(tmp_path / "made.mmdb", networks, database_type=database_type, **more))


@pytest.mark.parametrize("kind", ["GeoIP2-City", "GeoLite2-City", "GeoIP2-Enterprise", "DBIP-City", "no name we know"])
def test_city_gives_country_and_subdivision(tmp_path: Path, kind: str) -> None:
    database = open_made(tmp_path, CITY, kind)
    assert database.lookup("24.48.1.1") == GeoAnswer("CA", "CA-QC")
    assert database.lookup("81.2.69.142") == GeoAnswer("GB", "GB-ENG")
    assert not database.lookup("24.48.1.1").subdivision_unknown
    assert database.has_subdivisions
    assert database.shape is Shape.NESTED


def test_known_country_without_subdivision_is_marked_even_in_a_city_database(tmp_path: Path) -> None:
    answer = open_made(tmp_path, CITY, "GeoLite2-City").lookup("2.16.1.1")
    assert (answer.country, answer.subdivision, answer.subdivision_unknown) == ("FR", None, True)


@pytest.mark.parametrize("kind", ["GeoIP2-Country", "GeoLite2-Country", "DBIP-Country-Lite"])
def test_country_database_leaves_the_subdivision_unknown(tmp_path: Path, kind: str) -> None:
    database = open_made(tmp_path, {"24.48.0.0/16": nested("CA")}, kind)
    assert database.lookup("24.48.1.1") == GeoAnswer("CA")
    assert database.lookup("24.48.1.1").subdivision_unknown
    assert not database.has_subdivisions


def test_confidence_where_the_publisher_states_it(tmp_path: Path) -> None:
    sure, unsure = nested("CA", "QC"), nested("GB", "ENG", "WBK")
    sure["country"]["confidence"], sure["subdivisions"][0]["confidence"] = 99, 41  # type: ignore[index]
    unsure["country"]["confidence"] = "high"  # type: ignore[index]
    database = open_made(tmp_path, {"24.48.0.0/16": sure, "81.2.69.0/24": unsure}, "GeoIP2-Enterprise")
    assert database.lookup("24.48.1.1") == GeoAnswer("CA", "CA-QC", 99, 41)
    assert database.lookup("81.2.69.142") == GeoAnswer("GB", "GB-ENG", 0), "what is no number is no confidence"


def test_flat_schema(tmp_path: Path) -> None:
    database = open_made(tmp_path, {"24.48.0.0/16": {"country_code": "CA", "city": "x"}}, "country ipvAll")
    assert database.shape is Shape.FLAT
    assert database.lookup("24.48.1.1") == GeoAnswer("CA")


def test_subdivision_written_with_its_country(tmp_path: Path) -> None:
    networks = {"24.48.0.0/16": nested("CA", "CA-QC"), "24.49.0.0/16": nested("CA", "Québec")}
    database = open_made(tmp_path, networks, "GeoIP2-City")
    assert database.lookup("24.48.1.1") == GeoAnswer("CA", "CA-QC")
    assert database.lookup("24.49.1.1") == GeoAnswer("CA")


@pytest.mark.parametrize(
    "code", ["ZZ", "EU", "AP", "A1", "A2", "O1", "T1", "XX", "QM", "ca", "CAN", "", "-", "C\u00c4"]
)
@pytest.mark.parametrize("shape", list(Shape))
def test_codes_that_are_no_country_are_unknown(tmp_path: Path, code: str, shape: Shape) -> None:
    record = nested(code) if shape is Shape.NESTED else {"country_code": code}
    database = open_made(tmp_path, {"24.48.0.0/16": record}, "GeoIP2-Country")
    assert database.lookup("24.48.1.1") is UNKNOWN


def test_kosovo_is_a_place(tmp_path: Path) -> None:
    assert open_made(tmp_path, {"24.48.0.0/16": nested("XK")}, "GeoIP2-Country").lookup("24.48.1.1").country == "XK"


def test_registered_country_is_not_where_somebody_is(tmp_path: Path) -> None:
    networks = {**CITY, "5.5.5.0/24": {"registered_country": {"iso_code": "US"}, "traits": {"is_anycast": True}}}
    assert open_made(tmp_path, networks, "GeoIP2-City").lookup("5.5.5.5") is UNKNOWN


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "169.254.1.1", "100.64.0.1", "192.168.1.1", "198.51.100.7", "224.0.0.1",
     "255.255.255.255", "0.0.0.0", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "2001:db8::1",
     "2001::1", "64:ff9b::808:808", "::ffff:10.1.2.3"],
)  # fmt: skip
def test_addresses_of_no_public_network_are_unknown_whatever_the_file_says(tmp_path: Path, address: str) -> None:
    record = {"country_code": "DE"}
    networks: dict[str, object] = {"0.0.0.0/1": record, "128.0.0.0/1": record, "8000::/1": record, "2000::/3": record}
    database = open_made(tmp_path, networks, "country")
    assert database.lookup("9.9.9.9").country == "DE"
    assert database.lookup("2a00::1").country == "DE"
    assert database.lookup(address) is UNKNOWN


def test_all_forms_of_one_address_have_one_answer(tmp_path: Path) -> None:
    database = open_made(tmp_path, CITY, "GeoIP2-City")
    for form in (
        "24.48.1.1",
        "::ffff:24.48.1.1",
        "::FFFF:1830:0101",
        bytes([24, 48, 1, 1]),
        bytes(10) + b"\xff\xff\x18\x30\x01\x01",
    ):
        assert database.lookup(form) == GeoAnswer("CA", "CA-QC"), form


def test_ipv6_records_and_ipv4_only_files(tmp_path: Path) -> None:
    six = open_made(tmp_path, {"2a00:1450::/32": {"country_code": "IE"}}, "country")
    assert six.lookup("2a00:1450::7").country == "IE"
    assert six.lookup("2a00:1451::7") is UNKNOWN
    four = open_made(tmp_path, {"24.48.0.0/16": {"country_code": "CA"}}, "country", ip_version=4)
    assert four.lookup("24.48.0.1").country == "CA"
    assert four.lookup("::ffff:24.48.0.1").country == "CA"
    assert four.lookup("2a00:1450::7") is UNKNOWN


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "1.2.3.4:80", "localhost", "0x7f.1", "[::1]", b"123", "\x00", "१.2.3.4"]
)
def test_what_is_no_address_is_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        GeoDatabase.open().lookup(text)


@given(st.ip_addresses())
@settings(max_examples=200, deadline=None)
def test_every_address_has_an_answer(
    embedded: GeoDatabase, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    answer = embedded.lookup(str(address))
    assert answer == embedded.lookup(address.packed)
    assert answer.country is None or (len(answer.country) == 2 and has_place(parse_address(str(address))))


@pytest.fixture(scope="module")
def embedded() -> GeoDatabase:
    return GeoDatabase.open("embedded")


def test_embedded_database_is_whole_and_attributed(embedded: GeoDatabase) -> None:
    assert embedded.lookup("8.8.8.8").country == "US"
    assert embedded.lookup("8.8.8.8").subdivision_unknown
    assert embedded.digest == "sha256:" + hashlib.sha256(EMBEDDED_PATH.read_bytes()).hexdigest()
    assert "DB-IP" in ATTRIBUTION
    assert EMBEDDED_PATH.with_name("DBIP-LICENSE").is_file()


def test_identity_and_age(tmp_path: Path) -> None:
    database = open_made(tmp_path, CITY, "GeoIP2-City")
    assert database.digest == "sha256:" + hashlib.sha256(database.path.read_bytes()).hexdigest()
    assert (database.database_type, database.build_epoch_s, database.ip_version) == ("GeoIP2-City", BUILD_EPOCH_S, 6)
    built_us = BUILD_EPOCH_S * 1_000_000
    assert database.age_days(built_us - DAY_US) == 0
    assert database.age_days(built_us + 31 * DAY_US - 1) == 30
    assert database.too_old(30, built_us + 31 * DAY_US - 1) is None
    warning = database.too_old(30, built_us + 31 * DAY_US)
    assert warning is not None and warning.code == "BP0307" and str(database.path) in str(warning)


def code_of(path: Path) -> tuple[str, str]:
    with pytest.raises(BorderpostError) as caught:
        GeoDatabase.open(path)
    assert str(path) in str(caught.value)
    assert caught.value.mend
    return caught.value.code, caught.value.detail


def test_missing_unreadable_directory(tmp_path: Path) -> None:
    assert code_of(tmp_path / "none.mmdb")[0] == "BP0301"
    assert code_of(tmp_path)[0] == "BP0301"


def test_other_formats_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert code_of(path) == ("BP0302", "the file is empty")
    path.write_bytes(b"network,geoname_id\n1.0.0.0/24,2077456\n" * 500)
    assert code_of(path) == ("BP0302", "it is a text file")
    path.write_bytes(gzip.compress(build_mmdb(CITY, database_type="GeoIP2-City")))
    assert code_of(path) == ("BP0302", "it is gzip-compressed")


def test_every_cut_of_a_file_is_refused_or_answers_as_the_whole(tmp_path: Path) -> None:
    whole = build_mmdb(CITY, database_type="GeoIP2-City")
    path = tmp_path / "cut.mmdb"
    for size in range(1, len(whole) - 1, 37):
        path.write_bytes(whole[:size])
        assert code_of(path)[0] in {"BP0302", "BP0303"}, size
    for start in range(1, whole.index(MARK), 97):
        path.write_bytes(whole[start:])
        try:
            answer = GeoDatabase.open(path).lookup("24.48.1.1")
        except BorderpostError as error:
            assert error.code in {"BP0303", "BP0304", "BP0306"}
        else:
            assert answer.country in {None, "CA", "GB", "FR"}


def test_middle_missing(tmp_path: Path) -> None:
    whole = EMBEDDED_PATH.read_bytes()
    path = tmp_path / "middle.mmdb"
    path.write_bytes(whole[: 1 << 20] + whole[whole.rindex(MARK) :])
    code, detail = code_of(path)
    assert code == "BP0303"
    assert "MaxMind" in detail or "search tree" in detail or "metadata" in detail


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("GeoLite2-ASN", {"autonomous_system_number": 3320, "autonomous_system_organization": "x"}),
        ("GeoIP2-Anonymous-IP", {"is_anonymous": True}),
        ("GeoIP2-City-Blocks", {"city": {"names": {"en": "x"}}, "location": {"latitude": 1.0}}),
        ("DBIP-ASN-Lite", {"country": "DE"}),
    ],
)
def test_databases_without_countries_are_refused_by_name(tmp_path: Path, kind: str, record: dict[str, object]) -> None:
    code, detail = code_of(write_mmdb(tmp_path / "wrong.mmdb", {"24.48.0.0/16": record}, database_type=kind))
    assert code == "BP0304"
    assert kind in detail


def test_database_without_records_is_refused(tmp_path: Path) -> None:
    assert code_of(write_mmdb(tmp_path / "none.mmdb", {}, database_type="GeoIP2-Country"))[0] == "BP0304"


def test_damage_found_during_a_lookup_is_an_error_and_never_unknown(tmp_path: Path) -> None:
    networks: dict[str, object] = {f"24.{second}.0.0/16": nested("CA", "QC") for second in range(1, 256)}
    networks |= {f"25.{second}.{third}.0/24": nested("FR") for second in range(10) for third in range(250)}
    networks["81.2.69.0/24"] = {"country": {"iso_code": "GBQX"}}
    raw = bytearray(build_mmdb(networks, database_type="GeoIP2-City"))
    at = raw.index(b"\x44GBQX")
    raw[at] = 0x5E  # a string of 285 bytes and more: it runs past the end of the data
    raw[at + 1 : at + 3] = b"\xff\xff"
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(bytes(raw))
    database = GeoDatabase.open(path)
    assert database.lookup("24.48.1.1").country == "CA"
    for _ in range(2):  # remembered neither as an answer nor as unknown
        with pytest.raises(BorderpostError) as caught:
            database.lookup("81.2.69.142")
        assert caught.value.code == "BP0306"
        assert "81.2.69" not in str(caught.value), "a client's address is not for logs"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_an_error_with_a_code_or_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(build_mmdb(CITY, database_type="GeoIP2-City"))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged-any.mmdb"
    temporary = path.with_suffix(".new")
    temporary.write_bytes(bytes(raw))
    temporary.replace(path)  # never into a file that an earlier example still maps
    try:
        database = GeoDatabase.open(path)
        answers = [database.lookup(address) for address in ("24.48.1.1", "81.2.69.142", "2.16.1.1", "9.9.9.9")]
    except BorderpostError as error:
        assert error.code.startswith("BP03")
    else:
        assert all(isinstance(answer, GeoAnswer) for answer in answers)


def test_file_replaced_while_it_is_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mmdb(tmp_path / "city.mmdb", CITY, database_type="GeoIP2-City")
    other = write_mmdb(tmp_path / "other.mmdb", {"24.48.0.0/16": nested("US")}, database_type="GeoIP2-City")
    digest = hashlib.file_digest

    def digest_then_replace(handle: object, name: str) -> object:
        found = digest(handle, name)  # type: ignore[arg-type]
        other.replace(path)
        return found

    monkeypatch.setattr("hashlib.file_digest", digest_then_replace)
    assert code_of(path)[0] == "BP0305"


def test_open_file_survives_its_replacement(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "city.mmdb", CITY, database_type="GeoIP2-City")
    database = GeoDatabase.open(path)
    write_mmdb(tmp_path / "other.mmdb", {"24.48.0.0/16": nested("US")}, database_type="GeoIP2-City").replace(path)
    assert database.lookup("24.48.9.9").country == "CA"
    assert GeoDatabase.open(path).lookup("24.48.9.9").country == "US"
    database.close()
    with pytest.raises(ValueError):
        database.lookup("24.48.9.10")
