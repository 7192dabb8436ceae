"""Numbers of payment cards: of a known issuer's range and length, the last digit the check digit of ISO/IEC 7812-1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stdnum import luhn

from borderpost.payload.detectors.candidates import Form, any_is, digits_of, evenly_grouped, form
from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text

_RANGES: Final = (
    ("4", (13, 16, 19)),  # Visa
    ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    ("3[47]", (15,)),  # American Express
    ("30[0-5]|3095|36|3[89]", (14, 16, 19)),  # Diners Club
    ("352[89]|35[3-8]", (16, 17, 18, 19)),  # JCB
    ("6011|64[4-9]|65", (16, 17, 18, 19)),  # Discover
    ("62|81", (16, 17, 18, 19)),  # UnionPay
    ("60|508|82", (16,)),  # RuPay
    ("220[0-4]", (16, 17, 18, 19)),  # Mir
    ("9792", (16,)),  # Troy
    ("5018|5020|5038|5893|6304|6759|676[1-3]", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
)
"""First digits and lengths, as the networks publish them for those who accept cards."""
_LENGTHS: Final = sorted({length for _, lengths in _RANGES for length in lengths})
_ISSUED: Final = {
    length: re.compile("|".join(prefix for prefix, lengths in _RANGES if length in lengths)) for length in _LENGTHS
}
_BETWEEN: Final = (" ", "-", ".", "/", "  ", " - ")


def _forms() -> Iterator[Form]:
    """Yield how cards are written: in one piece, and in the groups in which they are printed."""
    yield form("0" * 12, "00{11,18}")
    for between in _BETWEEN:
        by = re.escape(between)
        fours = between.join(("0000", "0000", "0"))
        yield form(fours, f"0000{by}0000{by}(?:0000{by})?0{{1,4}}")
        yield form(fours, f"0000{by}0000{by}0000{by}0000{by}0{{1,3}}")
        yield form(between.join(("0000", "000000", "0000")), f"0000{by}000000{by}0000(?:0)?")


_FORMS: Final = tuple(_forms())


class Cards:
    """Finds payment cards; however their digits are grouped, where no other number stands beside them."""

    name = "cards"

    def __init__(self, data_class: str) -> None:
        self.data_class = data_class

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        return any_is(_candidates(text.numbers), luhn.is_valid)


def make(settings: DetectorSettings) -> Cards:
    """Make the detector."""
    return Cards(settings.data_class)


def _candidates(text: Text) -> Iterator[str]:
    for one_form in _FORMS:
        yield from filter(_is_issued, map(digits_of, one_form.pieces(text)))
    yield from filter(_is_issued, map(digits_of, evenly_grouped(text, _LENGTHS[0], _LENGTHS[-1])))


def _is_issued(digits: str) -> bool:
    issued = _ISSUED.get(len(digits))
    return issued is not None and issued.match(digits) is not None and len(set(digits)) > 1
