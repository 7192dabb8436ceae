"""Who sends requests in tests of the whole product, and which regions the starter packs allow each.

The sets are written down here by hand, apart from the code that decides: a test compares where requests really
went, and what the log says, with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from borderpost.demo.travellers import AE, BR, DE, EU, EVERYWHERE, FR, IN, UNKNOWN, US

ALL = frozenset(EVERYWHERE)
UNION = frozenset(EU)
NOWHERE: frozenset[str] = frozenset()

LEGAL_OF_PLACE = {
    "DE": UNION,
    "FR": UNION,
    "IE": UNION,
    "CH": UNION,
    "GB": UNION,
    "BR": UNION,
    "AE": frozenset({"me-central-1"}),
    "SG": frozenset({"ap-southeast-1", "us-east-1"}),
    "US": ALL,
    "IN": ALL,
}
"""Personal data, the regions of the demo, a gateway in Germany. A place that is not here has no legal region."""

LEGAL_HEADER = "x-test-legal"
"""Request header in which each request carries its own legal set, for the region that gets it to be judged by."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client by its address, as a trusted hop tells it."""

    address: str
    legal: frozenset[str]
    """Regions that may serve its personal data."""


GERMAN = Client(DE, UNION)
GERMAN_V6 = Client("2a01:4f8::1", UNION)
FRENCH = Client(FR, UNION)
AMERICAN = Client(US, ALL)
EMIRATI = Client(AE, LEGAL_OF_PLACE["AE"])
BRAZILIAN = Client(BR, UNION)
INDIAN = Client(IN, ALL)
IRANIAN = Client("5.160.0.1", NOWHERE)
RUSSIAN = Client("77.88.8.8", NOWHERE)
STRANGER = Client(UNKNOWN, NOWHERE)
"""An address that the embedded database does not know."""


def legal_header(legal: Iterable[str]) -> tuple[str, str]:
    """Return the header that says which regions may see this request."""
    return LEGAL_HEADER, ",".join(sorted(legal)) or "none"


def trespasses(seen: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> list[str]:
    """Return one line for each (region, request headers) whose request the region should never have seen."""
    found = []
    for region, headers in seen:
        legal = dict(headers).get(LEGAL_HEADER, "")
        if region not in legal.split(","):
            found.append(f"{region} served a request for {legal or 'nobody knows whom'}")
    return found


def illegal_routes(
    decisions: Iterable[dict[str, Any]], legal_of_place: Mapping[str, frozenset[str]] = LEGAL_OF_PLACE
) -> Iterator[str]:
    """Yield the recorded decisions that send somebody where one of the places it may be in does not allow it.

    Requests of free data, which only a trusted tenant can declare, are left out.
    """
    for record in decisions:
        out = record["out"]
        if out["action"] != "route" or record["class"] == ["public"] or record["mode"] != "enforce":
            continue
        believed = [piece for piece in record["jur"]["evidence"] if "doubt" not in piece]
        places = [piece["val"].partition("-")[0] for piece in believed]
        legal = ALL.intersection(*(legal_of_place.get(place, NOWHERE) for place in places)) if places else NOWHERE
        for region in (out["r"], *(leaf["r"] for leaf in out.get("then", ()))):
            if region not in legal:
                yield f"{record['epoch']}/{record['seq']}: {places} sent to {region}"
