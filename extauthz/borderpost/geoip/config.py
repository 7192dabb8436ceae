"""The `geoip` section of the configuration: which files, how old they may be, how much is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from borderpost_base import limits
from borderpost_base.strict import StrictModel

EMBEDDED: Final = "embedded"
"""The value of `geoip.database` that means the database carried in the package."""


class GeoipSpec(StrictModel):
    """Where countries of client addresses come from."""

    database: Literal["embedded"] | Path = EMBEDDED
    """`embedded`, or the path of an MMDB file: GeoIP2 or GeoLite2 (Country, City, Enterprise), DB-IP, or
    ip-location-db. The embedded DB-IP Country Lite works offline in the first minute, but it has no
    subdivisions and is as old as the release that carries it. Replace a file by renaming a new one over it,
    never by writing into it: workers map it into memory."""

    anonymisers: tuple[Path, ...] = Field(default=(), max_length=limits.ANONYMISER_FILES_MAX)
    """Files that say which addresses are exits of VPNs, proxies or Tor, or belong to hosting networks: MMDB files with
    such flags (GeoIP Anonymous IP, IPinfo Privacy…), or texts with one network a line. None by default: the product
    carries no such data. `evidence.geoip` says what such an address is worth. Replace a file by renaming."""

    max_age_days: int = Field(default=365, ge=1, le=3650)
    """Age in days of a database's build beyond which a warning is given. A year by default: by then neither the
    database nor the release that carries the embedded one has been renewed. Old data is still used: it narrows
    as well as new data does, and no data at all would refuse everybody."""

    remembered_addresses: int = Field(default=limits.REMEMBERED_ADDRESSES_MAX, ge=2, le=1 << 20)
    """How many addresses each worker remembers the answer for, in memory alone. 65,536 take about 12 MiB."""
