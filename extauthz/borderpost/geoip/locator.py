"""Where an address is, and whether that is believed: the GeoIP database and the anonymisers, read by one policy.

Each worker asks for the same hosts again and again, so answers are remembered, and numbered: two hosts of one number
are alike in all that law sees of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from borderpost.geoip.addresses import parse_address
from borderpost.geoip.anonymisers import Anonymisers
from borderpost.geoip.database import GeoDatabase
from borderpost.geoip.flags import Flags
from borderpost.geoip.records import GeoAnswer
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.memo import Remembered

_HOST: Final = re.compile(rb"([0-9.]{7,15})|\[([0-9a-fA-F:.]{2,45})\]")
"""An IPv4 address, or an IPv6 address in brackets, by its characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What a policy believes."""

    min_confidence: int
    """Least confidence in percent, of databases that state it."""
    disbelieved: Flags
    """Flags that make an address's place doubtful."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an address is, as far as it is known, and why that is not believed."""

    country: str | None
    """Two capital letters, or None: not known."""
    subdivision: str | None = None
    """ISO 3166-2 code with its country, `CA-QC`, or None."""
    doubt: str | None = None
    """`anonymiser`, `hosting` or `confidence`, the first that fits; None where the place is believed. A doubtful place
    is the most exact one that was named: only embargoes ask for it."""


NOWHERE: Final = Whereabouts(None)
"""The answer for an address of which nothing is known."""


class Locator:
    """Answers for addresses by one database, one set of anonymisers and one policy."""

    def __init__(
        self, database: GeoDatabase, anonymisers: Anonymisers, belief: Belief, *,
        remembered_addresses: int = limits.REMEMBERED_ADDRESSES_MAX,
    ) -> None:  # fmt: skip
        self._database = database
        self._anonymisers = anonymisers
        self._belief = belief
        self._remembered: Remembered[str, Whereabouts] = Remembered(remembered_addresses)
        self._numbers: dict[Whereabouts, int] = {}
        self._number_of_host: Remembered[bytes, int] = Remembered(remembered_addresses)

    def lookup(self, address: str) -> Whereabouts:
        """Return what is known of an address.

        Raises ValueError for what is not an address, and BorderpostError BP0306 where a file turns out to be
        damaged: no answer can be given then, not even `NOWHERE`.
        """
        answer = self._remembered.get(address)
        if answer is None:
            answer = self._ask(address)
            self._remembered.put(address, answer)
        return answer

    def place_number(self, host: bytes) -> int | None:
        """Return a number for what is known of a host: the same for the same answer, doubt included, and for no other.

        `host` is an IPv4 address, or an IPv6 address in brackets, as it stands before the port of a socket address.
        None for anything else and for what cannot be looked up: such an address has to be read with care.
        """
        number = self._number_of_host.recent.get(host)
        if number is None:
            number = self._number_of_host.get(host)
        if number is None:
            text = _HOST.fullmatch(host)
            if text is None:
                return None
            try:
                answer = self._ask((text[1] or text[2]).decode("ascii"))
            except (ValueError, BorderpostError):
                return None
            number = self._numbers.setdefault(answer, len(self._numbers) + 1)
            self._number_of_host.put(host, number)
        return number

    def _ask(self, address: str) -> Whereabouts:
        answer = self._database.lookup(address)
        if answer.country is None:
            return NOWHERE
        flags = self._anonymisers.flags(parse_address(address)) if self._anonymisers else Flags.NONE
        doubt = self._doubt(answer, flags & self._belief.disbelieved)
        subdivision = answer.subdivision
        if doubt is None and self._is_low(answer.subdivision_confidence):
            subdivision = None
        return Whereabouts(answer.country, subdivision, doubt)

    def _doubt(self, answer: GeoAnswer, disbelieved: Flags) -> str | None:
        if Flags.ANONYMISER in disbelieved:
            return "anonymiser"
        if Flags.HOSTING in disbelieved:
            return "hosting"
        return "confidence" if self._is_low(answer.country_confidence) else None

    def _is_low(self, confidence: int | None) -> bool:
        return confidence is not None and confidence < self._belief.min_confidence
