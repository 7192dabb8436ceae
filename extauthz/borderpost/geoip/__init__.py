"""Where a client address is, from a MaxMind DB file of any schema we know. No network, no default country."""

from __future__ import annotations

from borderpost.geoip.config import EMBEDDED, GeoipSpec
from borderpost.geoip.database import ATTRIBUTION, ATTRIBUTION_URL, GeoDatabase
from borderpost.geoip.records import UNKNOWN, GeoAnswer, Shape

__all__ = [
    "ATTRIBUTION",
    "ATTRIBUTION_URL",
    "EMBEDDED",
    "UNKNOWN",
    "GeoAnswer",
    "GeoDatabase",
    "GeoipSpec",
    "Shape",
]
