"""The shapes of records that GeoIP publishers write, and what each says of a place.

Publishers agree on the file format (MaxMind DB 2.0) and not on what stands in it:

    NESTED   {country: {iso_code: CA}, subdivisions: [{iso_code: QC}]}    GeoIP2, GeoLite2, DB-IP
    FLAT     {country_code: CA}                                           ip-location-db, IPinfo Lite

GeoIP2 Enterprise also says how sure it is: `confidence` of country and of each subdivision, in percent.

A record may lack any part of its shape; what it lacks is unknown. `registered_country` (where the owner of an
address block is registered) and `represented_country` (whose soldiers use it) say nothing of where a person is,
and are not read.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_COUNTRY = re.compile(r"[A-Z]{2}")
_SUFFIX = re.compile(r"[A-Z0-9]{1,3}")
_NO_COUNTRY = re.compile(r"AA|Q[M-Z]|X[A-JL-Z]|ZZ|EU|AP|T1|[AO][1-9]")
"""ISO 3166-1 user-assigned codes but XK, which databases write for Kosovo; and what databases write where they do
not know: `EU` and `AP` (some country of a continent), `A1`, `A2`, `O1` (proxy, satellite, other), `T1` (Tor)."""


@dataclass(frozen=True, slots=True)
class GeoAnswer:
    """What a database says of one address."""

    country: str | None
    """Two capital letters, or None: not known."""
    subdivision: str | None = None
    """ISO 3166-2 code with its country, `CA-QC`, or None."""
    country_confidence: int | None = None
    """How sure the publisher is of the country, 0 to 100; None where he does not say."""
    subdivision_confidence: int | None = None
    """The same of the subdivision."""

    @property
    def subdivision_unknown(self) -> bool:
        """Return True where the country is known and the subdivision is not, whatever the reason."""
        return self.country is not None and self.subdivision is None


UNKNOWN: Final = GeoAnswer(None)
"""The answer for an address that the database does not know."""


class Shape(enum.Enum):
    """How a database's records say where an address is."""

    NESTED = "country.iso_code"
    FLAT = "country_code"

    def answer(self, record: object) -> GeoAnswer:
        """Read one record; `UNKNOWN` where it names no country."""
        if not isinstance(record, Mapping):
            return UNKNOWN
        if self is Shape.FLAT:
            country = _country(record.get("country_code"))
            return UNKNOWN if country is None else GeoAnswer(country)
        nested = record.get("country")
        country = _country(nested.get("iso_code")) if isinstance(nested, Mapping) else None
        if country is None:
            return UNKNOWN
        largest = _largest(record)
        subdivision = _subdivision(country, largest)
        return GeoAnswer(
            country, subdivision, _confidence(nested), _confidence(largest) if subdivision is not None else None
        )


def shape_of(record: object) -> Shape | None:
    """Return the shape that a record has, None if it names no country in a way we know."""
    if isinstance(record, Mapping):
        nested = record.get("country")
        if isinstance(nested, Mapping) and isinstance(nested.get("iso_code"), str):
            return Shape.NESTED
        if isinstance(record.get("country_code"), str):
            return Shape.FLAT
    return None


def _country(code: object) -> str | None:
    if isinstance(code, str) and _COUNTRY.fullmatch(code) and not _NO_COUNTRY.fullmatch(code):
        return code
    return None


def _largest(record: Mapping[str, object]) -> object:
    """Return the first subdivision, the largest, as it stands in a record."""
    listed = record.get("subdivisions")
    return listed[0] if isinstance(listed, list) and listed else None


def _subdivision(country: str, largest: object) -> str | None:
    """Return a subdivision's code; some publishers write it with the country, most without."""
    code = largest.get("iso_code") if isinstance(largest, Mapping) else None
    if not isinstance(code, str):
        return None
    suffix = code.removeprefix(country + "-")
    return f"{country}-{suffix}" if _SUFFIX.fullmatch(suffix) else None


def _confidence(place: object) -> int | None:
    """Return what a place's record says of itself; what is there and is no number is no confidence at all."""
    if not isinstance(place, Mapping) or "confidence" not in place:
        return None
    stated = place["confidence"]
    return stated if type(stated) is int else 0
