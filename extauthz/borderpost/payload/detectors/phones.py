"""Telephone numbers, by the plans of phonenumbers: in international form, and in national form where one is named.

The library's own search costs milliseconds a KB. So only what could be one is handed to it: a `+` and digits that
make a valid number; without the `+`, digits that make a valid number of a named country and that the library's search
takes for one as they are grouped (its leniency STRICT_GROUPING).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Final

import phonenumbers

from borderpost.payload.detectors.candidates import any_is, from_digit, hits
from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

_INTERNATIONAL: Final = re.compile(rb"[+](?<![0a+][+])[(]?0(?:[ ./()-]{0,3}0){6,14}(?![0a])(?P<hit>)")
_NATIONAL: Final = from_digit("(?<![0a+]0)(?<!0[.]0)(?:[ ./()-]{0,3}0){6,14}(?![0a])")
_GROUPS_MAX: Final = 4
"""Groups that may be taken off the end of a candidate: other numbers may follow a telephone number."""
_LAST_GROUP: Final = re.compile(r"[ ./()-]+[0-9]+\Z")
_DIGITS_MIN: Final = 7


class Phones:
    """Finds telephone numbers."""

    name = "phones"

    def __init__(self, data_class: str, countries: tuple[str, ...]) -> None:
        self.data_class = data_class
        self._countries = countries

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        near = text.numbers
        return any_is(_candidates(near, _INTERNATIONAL), _is_international, limits.PHONE_CANDIDATES_MAX) or (
            bool(self._countries) and any_is(_candidates(near, _NATIONAL), self._is_national)
        )

    def _is_national(self, piece: str) -> bool:
        return any(_is_of(country, piece) for country in self._countries)


def make(settings: DetectorSettings) -> Phones:
    """Make the detector; `only` names countries (ISO 3166-1). Raises BorderpostError BP1310."""
    for country in settings.only:
        if country not in phonenumbers.SUPPORTED_REGIONS:
            near = difflib.get_close_matches(country.upper(), phonenumbers.SUPPORTED_REGIONS, n=1)
            mend = f"did you mean `{near[0]}`?" if near else "two capital letters of ISO 3166-1, such as `DE`"
            raise BorderpostError("BP1310", f"no telephone numbers of `{country}` are known", mend=mend)
    return Phones(settings.data_class, settings.only)


def _candidates(text: Text, written: re.Pattern[bytes]) -> Iterator[str]:
    """Yield what could be a number, longest first, without the groups at its end that could be something else."""
    for found in hits(written, text):
        piece = text.text[found.start() : found.end()]
        yield piece
        for _ in range(_GROUPS_MAX):
            shorter = _LAST_GROUP.sub("", piece)
            if shorter == piece or sum(map(str.isdigit, shorter)) < _DIGITS_MIN:
                break
            piece = shorter
            yield piece


def _is_international(piece: str) -> bool:
    return _is_valid(piece, None)


def _is_of(country: str, piece: str) -> bool:
    if not _is_valid(piece, country):
        return False
    matcher = phonenumbers.PhoneNumberMatcher(piece, country, leniency=phonenumbers.Leniency.STRICT_GROUPING)
    return matcher.has_next()


def _is_valid(piece: str, country: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(piece, country))
    except phonenumbers.NumberParseException:
        return False
