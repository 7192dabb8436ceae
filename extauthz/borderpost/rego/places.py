"""The places of one policy and its events as names of spots, so that Rego can tell them apart without bit masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from borderpost.policy import codes
from borderpost.policy.events import CompiledEvents
from borderpost.policy.places import Place


class Spots:
    """Every spot with a name: `UA`, `UA-43`, `AE-DIFC`, `AE-DU+DIFC`. A country's own name is its plain spot."""

    def __init__(self, events: CompiledEvents) -> None:
        self._places = places = events.places
        scopes = [event.scope for event in events.counted]
        named = {ref for scope in scopes for ref in (*scope.subjects, *scope.countries) if codes.is_code(ref)}
        self.inside: dict[str, list[str]] = {}
        """The codes with a suffix that policy or events name, by country; only countries that have some."""
        for code in sorted({*events.policy.mentioned, *named}):
            if "-" in code and places.is_cut(code):
                self.inside.setdefault(code[:2], []).append(code)
        self.names: list[str] = [""] * places.everywhere.bit_length()
        """The name of each spot, by its bit."""
        for country in codes.COUNTRIES:
            self._name(country)

    def _name(self, country: str) -> None:
        for bit in _bits(self._places[country].cells):
            suffixes = [code[3:] for code in self.inside.get(country, ()) if self._places[code].cells >> bit & 1]
            suffixes.sort(key=lambda suffix: (not codes.is_iso_suffix(suffix), suffix))
            self.names[bit] = country + ("-" + "+".join(suffixes) if suffixes else "")

    def of(self, cells: int) -> list[str]:
        """Return the names of the spots of a mask, sorted."""
        return sorted(self.names[bit] for bit in _bits(cells))

    def _place(self, place: Place) -> dict[str, Any]:
        (plain,) = self.of(place.plain)
        return {"cells": self.of(place.cells), "plain": plain}

    def known(self) -> dict[str, Any]:
        """Return each country and each code that is named, with its spots."""
        named = [code for inside in self.inside.values() for code in inside]
        return {code: self._place(self._places[code]) for code in sorted((*codes.COUNTRIES, *named))}

    def rest(self) -> dict[str, Any]:
        """Return, for each country of which parts are named, what a code stands for that is not."""
        found = {}
        for country in sorted(self.inside):
            unnamed = (_unnamed(self.inside[country], country, length) for length in (3, codes.ISO_SUFFIX_MAX + 1))
            subdivision, jurisdiction = (self._place(self._places[code]) for code in unnamed)
            found[country] = {"subdivision": subdivision, "jurisdiction": jurisdiction}
        return found


def _unnamed(named: Iterable[str], country: str, length: int) -> str:
    """Return a code of a country, with a suffix of so many characters, that nobody names."""
    taken = {*named, *codes.OWN_CODE}
    numbers = (f"{country}-{number:0{length}d}" for number in range(10**length))
    return next(code for code in numbers if code not in taken)


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
