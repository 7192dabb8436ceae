"""One open GeoIP database: recognised, identified by its digest, asked for addresses.

A file is recognised by what its records hold, not by its name: `metadata.database_type` is free text that
every publisher fills in his own way. It is used only to say what a file is that cannot be used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import maxminddb

from borderpost.geoip.addresses import has_place, parse_address
from borderpost.geoip.config import EMBEDDED, GeoipSpec
from borderpost.geoip.mmdb import MaxMindFile
from borderpost.geoip.records import UNKNOWN, GeoAnswer, Shape, shape_of
from borderpost_base.errors import BorderpostError, Place

ATTRIBUTION: Final = "IP Geolocation by DB-IP"
"""What CC BY 4.0 asks of whoever shows results of the embedded database, linked to `ATTRIBUTION_URL`."""
ATTRIBUTION_URL: Final = "https://db-ip.com"
EMBEDDED_PATH: Final = Path(__file__).parent.parent / "data" / "dbip-country-lite.mmdb"
"""DB-IP Country Lite; its licence stands beside it."""


class GeoDatabase(MaxMindFile):
    """An open database. `lookup` is its whole use; the rest says which database it is."""

    def __init__(self, reader: maxminddb.Reader, path: Path, digest: str) -> None:
        super().__init__(reader, path, digest)
        self.shape, self.has_subdivisions = self._recognise()
        """How records say where an address is; and whether any of the first ones names a subdivision: if not, it
        surely is a country database."""

    @classmethod
    def open(cls, database: Path | str = EMBEDDED) -> GeoDatabase:
        """Open a file, or `embedded`, and recognise its schema.

        Raises BorderpostError: BP0304 (no countries in it), and as `open_path`.
        """
        return cls.open_path(EMBEDDED_PATH if database == EMBEDDED else Path(database))

    @classmethod
    def of(cls, spec: GeoipSpec) -> GeoDatabase:
        """Open what the configuration names. Raises as `open`."""
        return cls.open(spec.database)

    def lookup(self, address: str | bytes) -> GeoAnswer:
        """Return what the database says of an address: text, or 4 or 16 bytes in network order.

        An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is looked up as the IPv4 address that it is. Addresses that
        no public network has (private, loopback, link-local, documentation, multicast…) are unknown without
        asking the file. Raises ValueError for what is not an address, and BorderpostError BP0306 where the
        file turns out to be damaged: no answer can be given then, not even `UNKNOWN`.
        """
        parsed = parse_address(address)
        if not has_place(parsed):
            return UNKNOWN
        record = self.record(parsed)
        return UNKNOWN if record is None else self.shape.answer(record)

    def _recognise(self) -> tuple[Shape, bool]:
        shape: Shape | None = None
        for record in self.first_records():
            shape = shape or shape_of(record)
            if shape is Shape.FLAT:
                break
            if shape is not None and shape.answer(record).subdivision is not None:
                return shape, True
        if shape is None:
            detail = (
                f"a database of type `{self.database_type}` whose records name no country as `country.iso_code` or "
                "`country_code`"
            )
            raise BorderpostError("BP0304", detail, place=Place(str(self.path)))
        return shape, False
