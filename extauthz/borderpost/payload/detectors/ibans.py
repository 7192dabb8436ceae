"""International bank account numbers: the country's structure and length, and check digits modulo 97 (ISO 13616)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from stdnum import iban, numdb

from borderpost.payload.detectors.candidates import any_is
from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text

_BEGINNING: Final = re.compile(rb"0(?<=aa0)(?<![0a]aa0)0(?=(?:[ .-]{0,2}[0a]){11})")
"""Looks ahead, and takes nothing: another one may begin in what follows."""
_LENGTH: Final = re.compile(r"(\d+)!")
_NEITHER: Final = re.compile(r"[^0-9A-Z]+")
_CHARACTERS_MAX: Final = 34 * 3
"""An IBAN has 34 characters at most, and is looked for with two between any of them."""


class Ibans:
    """Finds IBANs, in groups or not, in capitals or not."""

    name = "ibans"

    def __init__(self, data_class: str) -> None:
        self.data_class = data_class

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        return any_is(_candidates(text), _is_iban)


def make(settings: DetectorSettings) -> Ibans:
    """Make the detector."""
    return Ibans(settings.data_class)


def _candidates(text: Text) -> Iterator[str]:
    for found in _BEGINNING.finditer(text.shape):
        begin = found.start() - 2
        country = text.text[begin : begin + 2].upper()
        length = _length_of(country)
        compact = _NEITHER.sub("", text.text[begin : begin + _CHARACTERS_MAX].upper())
        if length and len(compact) >= length:
            yield compact[:length]


def _is_iban(compact: str) -> bool:
    return iban.is_valid(compact, check_country=False)


@lru_cache(maxsize=1024)
def _length_of(country: str) -> int:
    """Return how long an IBAN of a country is; 0 where there is none."""
    known = numdb.get("iban").info(country)[0][1]
    return 4 + sum(map(int, _LENGTH.findall(known["bban"]))) if "bban" in known else 0
