"""Where a client address is and whose exit, from MaxMind DB files of any schema we know and lists of networks.

No network, no default country.
"""

from __future__ import annotations

from borderpost.geoip.anonymisers import Anonymisers
from borderpost.geoip.config import EMBEDDED, GeoipSpec
from borderpost.geoip.database import ATTRIBUTION, ATTRIBUTION_URL, GeoDatabase
from borderpost.geoip.flags import Flags
from borderpost.geoip.locator import Belief, Locator, Whereabouts
from borderpost.geoip.records import UNKNOWN, GeoAnswer, Shape

__all__ = [
    "ATTRIBUTION",
    "ATTRIBUTION_URL",
    "EMBEDDED",
    "UNKNOWN",
    "Anonymisers",
    "Belief",
    "Flags",
    "GeoAnswer",
    "GeoDatabase",
    "GeoipSpec",
    "Locator",
    "Shape",
    "Whereabouts",
]
