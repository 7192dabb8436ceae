"""The requests of the demo's table, and what the law of the starter packs must say to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EU = ("eu-central-1", "eu-west-1")
EVERYWHERE = ("ap-southeast-1", "eu-central-1", "eu-west-1", "me-central-1", "us-east-1")


@dataclass(frozen=True, slots=True)
class Traveller:
    """One request, and the answer that it must get."""

    country: str
    """What the embedded GeoIP database says of the address; `?` for an address it does not know."""
    address: str
    region: str | None
    """The region that must serve it, None where it must be refused."""
    legal: tuple[str, ...] = ()
    """The whole legal set, sorted."""
    status: int = 200
    reason: str = ""
    """Of a refusal."""
    token: Mapping[str, Any] = field(default_factory=dict)
    """Claims of a verified token; none means no token."""
    residency: str | None = None
    """What the client asserts in x-data-residency."""
    data_class: str | None = None
    """What the client declares in x-data-class."""

    @property
    def claims(self) -> str:
        """What it brings beside its address, for the table."""
        verified = [f"token {name}={value}" for name, value in self.token.items()]
        asserted = [f"header {self.residency}"] if self.residency else []
        return ", ".join(verified + asserted) or "-"


DE = "88.198.0.1"
FR = "62.210.0.1"
US = "12.0.0.1"
BR = "200.160.2.3"
AE = "94.200.0.1"
IN = "49.205.0.1"
SG = "165.21.0.1"
UNKNOWN = "192.0.2.1"  # TEST-NET-1, RFC 5737

TRAVELLERS: tuple[Traveller, ...] = (
    Traveller("DE", DE, "eu-central-1", EU),
    Traveller("DE", "2a01:4f8::1", "eu-central-1", EU),
    Traveller("FR", FR, "eu-west-1", EU),
    Traveller("CH", "195.186.1.1", "eu-central-1", EU),
    Traveller("GB", "212.58.244.20", "eu-west-1", EU),
    Traveller("US", US, "us-east-1", EVERYWHERE),
    Traveller("US", US, "eu-west-1", EU, residency="FR"),
    Traveller("US", US, "eu-west-1", EU, token={"residency": "DE"}),
    Traveller("DE", DE, "eu-central-1", EU, token={"tenant": "clinic"}),
    Traveller("AE", AE, "me-central-1", ("me-central-1",)),
    Traveller("AE", AE, None, status=451, reason="here-not-allowed", data_class="health"),
    Traveller("SG", SG, "ap-southeast-1", ("ap-southeast-1", "us-east-1")),
    Traveller("IN", IN, "me-central-1", EVERYWHERE),
    Traveller("IN", IN, None, status=451, reason="here-not-allowed", data_class="payment"),
    Traveller("BR", BR, "eu-west-1", EU),
    Traveller("BR", BR, "us-east-1", EVERYWHERE, token={"tenant": "press"}, data_class="public"),
    Traveller("IR", "5.160.0.1", None, status=451, reason="embargo"),
    Traveller("RU", "77.88.8.8", None, status=451, reason="no-regime"),
    Traveller("?", UNKNOWN, None, status=403, reason="unknown-subject"),
    Traveller("?", UNKNOWN, "eu-central-1", EU, token={"residency": "DE"}),
)
"""Addresses are ones that the embedded database has; a release that renews it may have to change some."""
