"""Detectors: what each finds however it is written, what it leaves alone, and how often chance deceives it."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Mapping
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from borderpost.payload.detectors import Detector
from borderpost.payload.detectors.candidates import any_is, form, spelt_out
from borderpost.payload.detectors.known import DetectorSettings, make_detectors
from borderpost.payload.detectors.national import NATIONAL_IDS, NationalIds
from borderpost.payload.texts import PARTED, Text, forms_of
from borderpost_base import limits

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("cards", "ibans", "national-ids", "phones", "email")
DETECTORS = {name: make_detectors([DetectorSettings(name, "x")])[0] for name in NAMES}


def finds(detector: str | Detector, text: str) -> bool:
    asked = DETECTORS[detector] if isinstance(detector, str) else detector
    return any(asked.finds(each) for each in forms_of(text))


CARDS = (
    "4111111111111111", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
    "30569309025904", "3566002020360505", "6200000000000005", "6759649826438453",
)  # fmt: skip
"""Numbers that the networks give to those who test their shops."""


def grouped(digits: str, *sizes: int, by: str = " ") -> str:
    parts: list[str] = []
    begin = 0
    while begin < len(digits):
        size = sizes[min(len(parts), len(sizes) - 1)]
        parts.append(digits[begin : begin + size])
        begin += size
    return by.join(parts)


@pytest.mark.parametrize("digits", CARDS)
def test_a_card_is_found_however_it_is_grouped(digits: str) -> None:
    written = [digits, *(grouped(digits, size) for size in range(1, 7))]
    written += [grouped(digits, 4, by=by) for by in ("-", ".", "/", "  ", " - ")]
    written += [grouped(digits, 4, 6, 5)] if len(digits) == 15 else []
    assert [each for each in written if not finds("cards", f"pay with {each}, please")] == []


@pytest.mark.parametrize(
    "text",
    ["5 4111 1111 1111 1111 12/27 123", "Visa:4111111111111111.", "(4111111111111111)", "№4111-1111-1111-1111;12/27",
     "卡号4111111111111111有效期", "4111111111111111\n", "a\t4111111111111111\tb", '"4111111111111111"',
     "=4111111111111111&"],
)  # fmt: skip
def test_a_card_is_found_beside_other_text(text: str) -> None:
    assert finds("cards", text)


def test_last_digits_are_checked_and_ranges_known() -> None:
    for digits in CARDS:
        for last in set("0123456789") - {digits[-1]}:
            assert not finds("cards", digits[:-1] + last)
    outside = [
        digits for digits in ("1234567812345670", "7000000000000005", "9999999999999995") if luhn.is_valid(digits)
    ]
    assert len(outside) == 3
    assert not any(finds("cards", digits) for digits in outside)


@pytest.mark.parametrize(
    "text",
    ["0.4111111111111111", "4.111111111111111", "a4111111111111111", "4111111111111111b", "_4111111111111111", "4" * 16,
     "41111111111111114111111111111111", "4111 1111 1111 111", "2026-11-21 13:50:27", "1763733027123456789",
     "4111,1111,1111,1111",
     f"4111 1111{PARTED}1111 1111", "00000000-0000-4000-8000-000000000000", "4111 1111 1111 11112",
     "27d250bb-4977-4072-7477-3a3e54f06475", "108e392b-4299-5694-4521-0657cc878f3d"],
)  # fmt: skip
def test_what_is_no_card_is_left_alone(text: str) -> None:
    assert not finds("cards", text)


IBANS = ("DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947", "MT84MALT011000012345MTLCAST001S")


@pytest.mark.parametrize("iban", IBANS)
def test_an_iban_is_found_however_it_is_written(iban: str) -> None:
    for written in (iban, iban.lower(), grouped(iban, 4), grouped(iban, 4, by="-"), grouped(iban, 4, by="  ")):
        assert finds("ibans", f"to {written} please") and finds("ibans", f"{written}")
    wrong = iban[:2] + str((int(iban[2:4]) + 1) % 97).zfill(2) + iban[4:]
    assert not finds("ibans", wrong)


def test_an_iban_is_found_behind_what_begins_like_one() -> None:
    assert finds("ibans", "AB12 some words that could go on for ever then DE89 3704 0044 0532 0130 00 and more")


@pytest.mark.parametrize(
    "text", ["XX89370400440532013000", "ADE89370400440532013000", "DE89 3704 0044 0532 0130", "DE89"]
)
def test_what_is_no_iban_is_left_alone(text: str) -> None:
    assert not finds("ibans", text)


@pytest.mark.parametrize("name", NATIONAL_IDS)
def test_each_number_of_people_is_found_by_the_examples_of_the_library(name: str) -> None:
    one = NATIONAL_IDS[name]
    module = importlib.import_module(one.module)
    examples = re.findall(r">>> validate\('([^']+)'", module.__doc__ or "")
    valid = [example for example in examples if module.is_valid(example)]
    if name == "it.codicefiscale":
        valid = [example for example in valid if not example.isdigit()]  # of companies
    assert valid
    detector = NationalIds("x", [one])
    for example in valid:
        assert any(detector.finds(Text(f"no. {each}, and")) for each in (example, module.compact(example)))
        others = [example[:-1] + last for last in "0123456789" if example[-1].isdigit()]
        assert [each for each in others if finds(detector, each) and not module.is_valid(each)] == []


def test_a_number_of_people_counts_only_where_it_is_looked_for() -> None:
    pesel = "44051401359"
    assert not finds("national-ids", pesel)
    (named,) = make_detectors([DetectorSettings("national-ids", "x", ("pl.pesel",))])
    assert finds(named, pesel)
    assert not finds(named, "36574261809")


@pytest.mark.parametrize(
    "text",
    ["+49 30 901820", "tel:+493090182000", "+1 (212) 555-0123", "+1 650-253-0000 12 Main St", "(+44) 20 8765 4321",
     "+86 138 0013 8000", "+49 (0)30 901820", "+33.1.09.75.83.51", "＋４９ ３０ ９０１８２０",
     "+49\u00a030\u00a0901820", "T:+493090182000,"],
)  # fmt: skip
def test_a_telephone_number_is_found(text: str) -> None:
    assert finds("phones", text)


@pytest.mark.parametrize(
    "text", ["030 901820", "+1234567", "+999 1234 5678", "1+4930901820", "+49 30", "2026-11-21", "++"]
)
def test_what_is_no_telephone_number_is_left_alone(text: str) -> None:
    assert not finds("phones", text)


def test_national_form_counts_for_the_countries_named() -> None:
    (german,) = make_detectors([DetectorSettings("phones", "x", ("DE",))])
    (both,) = make_detectors([DetectorSettings("phones", "x", ("DE", "US"))])
    for text in ("ruf 030 901820 an", "(030) 901820", "030/901820", "+1 650-253-0000"):
        assert finds(german, text)
    assert not finds(german, "650-253-0000")
    assert finds(both, "call 650-253-0000")
    assert not any(finds(both, text) for text in ("2026-11-21 13:50:27", "10.200.30.40", "1,234,567"))


@pytest.mark.parametrize("country", ["DE", "FR", "US", "IN", "BR", "JP", "ZA", "PL"])
def test_an_example_of_each_country_is_found(country: str) -> None:
    number = phonenumbers.example_number(country)
    assert number is not None
    (national,) = make_detectors([DetectorSettings("phones", "x", (country,))])
    for form_ in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164):
        assert finds("phones", phonenumbers.format_number(number, form_))
    assert finds(national, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL))


@pytest.mark.parametrize(
    "text",
    ["jane@example.org", "<jane@example.org>", "a+b@mail.example.co.uk,", "ö@bücher.example", "jane＠example.org"],
)
def test_an_address_is_found(text: str) -> None:
    assert finds("email", text)


@pytest.mark.parametrize(
    "text", ["@app.route", "x@y", "pkg@1.2.3", "logo@2x.png", "a@b.", "@", "a @example.org", "a@-b.de"]
)
def test_what_is_no_address_is_left_alone(text: str) -> None:
    assert not finds("email", text)


SAMPLES = {
    "cards": "4111 1111 1111 1111", "ibans": "DE89 3704 0044 0532 0130 00", "national-ids": "36 574 261 809",
    "phones": "+49 30 901820",
}  # fmt: skip
DISGUISES: dict[str, Mapping[int, int | str]] = {
    "wide": str.maketrans("0123456789 +-", "０１２３４５６７８９\u3000＋－"),
    "arabic": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"),
    "devanagari": str.maketrans("0123456789", "०१२३४५६७८९"),
    "bold": str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"),
    "raised": str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    "circled": str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨"),
    "narrow spaces": str.maketrans(" ", "\u202f"),
    "no-break spaces": str.maketrans(" ", "\u00a0"),
    "dashes": str.maketrans(" ", "–"),
    "minus": str.maketrans(" ", "\u2212"),
    "keycaps": {ord(digit): digit + "\ufe0f\u20e3" for digit in "0123456789"},
    "struck through": {ord(digit): digit + "\u0336" for digit in "0123456789"},
    "zero-width": {ord(digit): digit + "\u200b" for digit in "0123456789"},
    "joined": {ord(digit): "\u2060" + digit for digit in "0123456789"},
    "soft hyphens": {ord(digit): digit + "\u00ad" for digit in "0123456789"},
}


# Nobody writes the number of a person that is our sample with hyphens, and in one piece it has none.
DISGUISED = [
    (name, disguise)
    for name in SAMPLES
    for disguise in DISGUISES
    if name != "national-ids" or disguise not in {"dashes", "minus"}
]


@pytest.mark.parametrize(("name", "disguise"), DISGUISED)
def test_what_looks_the_same_is_found_the_same(name: str, disguise: str) -> None:
    assert finds(name, f"x {SAMPLES[name].translate(DISGUISES[disguise])} y")


def test_a_form_that_differs_adds_and_never_hides() -> None:
    assert finds("cards", "4111111111111111\u200b2")
    assert [each.text for each in forms_of("plain")] == ["plain"]
    assert [each.text for each in forms_of("１\u200b2")] == ["１\u200b2", "12"]
    assert [each.text for each in forms_of("Straße, 北京")] == ["Straße, 北京"]


@given(st.text(max_size=60))
def test_a_plain_form_is_its_own(text: str) -> None:
    *_, plain = forms_of(text)
    assert len(forms_of(plain.text)) == 1
    assert len(plain.shape) == len(plain.text)


class Whole(Text):
    """A text that is gone through as a whole, without its shortcuts."""

    @property
    def numbers(self) -> Text:  # type: ignore[override]
        return self


PARTS = st.sampled_from(
    [*CARDS, *IBANS, *(grouped(digits, 4) for digits in CARDS), "85.07.30-033 28", "36 574 261 809", "12345678Z",
     "131052-308T", "x2482300w", "X-2482300-W", "880320-0016", "+49 30 901820", "+1 (212) 555-0123",
     "RSSMRA85T10A562S", "1 85 05 78 006 084 91", "1234567", "99", "a", "b_", " ", "  ", "     ", "-", ".", ",", "+",
     "(", ")", "/", "0.", "é", PARTED, "\n", "word "]
)  # fmt: skip


@given(st.lists(PARTS, max_size=8).map("".join), st.sampled_from(NAMES))
def test_what_is_left_out_of_a_search_holds_nothing(text: str, name: str) -> None:
    assert DETECTORS[name].finds(Text(text)) == DETECTORS[name].finds(Whole(text))


@given(st.text("0123456789 -.+()@aA\u200b１", max_size=60), st.sampled_from(NAMES))
def test_a_detector_takes_any_text(text: str, name: str) -> None:
    assert finds(name, text) in {True, False}


CHANCE = {"cards": 1 / 12, "ibans": 0, "phones": 0, "national-ids": 1 / 30, "email": 0}
"""At most so many of random strings of digits of one length are taken for something. Cards: those of 16 digits, a
quarter of which an issuer's range has, and a tenth of these the check digit."""


@pytest.mark.parametrize("length", range(7, 20))
def test_chance_deceives_seldom(length: int) -> None:
    chance = random.Random(length)
    drawn = ["".join(chance.choices("0123456789", k=length)) for _ in range(150)]
    for name, most in CHANCE.items():
        assert sum(finds(name, digits) for digits in drawn) <= most * len(drawn)


@pytest.mark.parametrize("name", [name for name, one in NATIONAL_IDS.items() if one.by_default])
def test_each_default_number_of_people_is_hit_by_chance_less_than_once_in_150(name: str) -> None:
    one = NATIONAL_IDS[name]
    detector = NationalIds("x", [one])
    for length in {len(spelling) for written in one.written for spelling in spelt_out(written) if spelling.isdigit()}:
        chance = random.Random(length)
        drawn = ["".join(chance.choices("0123456789", k=length)) for _ in range(600)]
        assert sum(detector.finds(Text(digits)) for digits in drawn) <= 4 + 4  # twice what is expected of 600


def test_ordinary_text_is_left_alone() -> None:
    pages = sorted(
        [*(ROOT / "docs").rglob("*.md"), *(ROOT / "extauthz").rglob("*.yaml"), *(ROOT / "extauthz").rglob("*.py")]
    )
    texts = [page.read_text(encoding="utf-8") for page in pages if "payload" not in page.as_posix()]
    assert sum(map(len, texts)) > 1_000_000
    taken = [name for name in ("cards", "ibans", "national-ids", "phones") if finds(name, PARTED.join(texts))]
    assert taken == []


HOSTILE = {
    "digits": "0" * 65_536,
    "single digits": "1 " * 32_768 + "x",
    "pairs": "12 " * 21_845 + "x",
    "groups": "4111 1111 1111 1112 " * 3_276,
    "plus": "+" * 65_536,
    "plus and digits": "+12 34 56 78 " * 5_041,
    "beginnings of accounts": "DE89" * 16_384,
    "ats": "a@" * 32_768,
    "labels": "a@" + "a-" * 32_000 + "." + "a." * 400,
    "brackets": "(0" * 32_768,
    "digits of many scripts": "٠۰०０𝟎①" * 10_000,
    "nothing": "\u200b" * 65_536,
    "emoji": "4\ufe0f\u20e3" * 21_845,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_gone_through(text: str) -> None:
    """What took time by the square of its length would not end within the test's time."""
    for name in NAMES:
        assert finds(name, text * 2) in {True, False}


def test_more_candidates_than_are_looked_at_count_as_a_finding() -> None:
    most = limits.DETECTOR_CANDIDATES_MAX
    assert not any_is(map(str, range(most)), lambda _: False)
    assert any_is(map(str, range(most + 1)), lambda _: False)
    assert not any_is((str(number % most) for number in range(10 * most)), lambda _: False)
    wrong = [f"4{number:014d}" for number in range(most + 100)]
    flood = [digits + str((int(luhn.calc_check_digit(digits)) + 1) % 10) for digits in wrong]
    assert not finds("cards", "\n".join(flood[: most - 1]))
    assert finds("cards", "\n".join(flood[: most + 1]))


def test_forms_are_spelt_out() -> None:
    assert spelt_out("0{3}[-+]?a") == ["000a", "000-a", "000+a"]
    assert spelt_out("00?.0") == ["0.0", "00.0"]
    for wrong in ("0?1", "0{3}", "1a", "b0", ""):
        with pytest.raises(ValueError, match="no single digit"):
            form("", wrong)
