"""GeoIP database and anonymisers between steward and workers: what is published of them, and how it is taken.

Files of any size do not travel in snapshots. The steward publishes where they lie and their digests; each worker
copies them into the store of inputs, for replay, and decides by the copies. Those are read-only and nobody else's: a
file that is written into while it is mapped would change answers under a digest that no longer holds, or end the
process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from borderpost.audit.inputs import InputStore
from borderpost.geoip import Anonymisers, GeoDatabase
from borderpost.geoip.anonymisers import FlagDatabase
from borderpost.geoip.network_list import NetworkList
from borderpost_base.errors import BorderpostError, Place

FILE_PARTS = ("geoip", "anonymisers")
"""Parts of a snapshot that name files."""


def describe_geoip(database: GeoDatabase) -> bytes:
    """Return what is published of the database."""
    return orjson.dumps(_described(database), option=orjson.OPT_SORT_KEYS)


def describe_anonymisers(anonymisers: Anonymisers) -> bytes:
    """Return what is published of the anonymisers; nothing is, where there are none."""
    return orjson.dumps({"files": list(map(_described, anonymisers.files))}, option=orjson.OPT_SORT_KEYS)


def take_geoip(part: bytes, inputs: InputStore) -> GeoDatabase:
    """Store the database that the steward described and open the copy.

    Raises BorderpostError BP0602 where it has changed since, OSError, and as `GeoDatabase.open`.
    """
    return GeoDatabase.open(_stored(orjson.loads(part), inputs))


def take_anonymisers(part: bytes, inputs: InputStore) -> Anonymisers:
    """Store the files that the steward described, and the list of them that records name, and open the copies.

    Raises BorderpostError BP0602 where one has changed since, OSError, and as `Anonymisers.open`.
    """
    anonymisers = Anonymisers.open(_stored(described, inputs) for described in orjson.loads(part)["files"])
    if anonymisers:
        inputs.put(anonymisers.canonical())
    return anonymisers


def _described(file: GeoDatabase | FlagDatabase | NetworkList) -> dict[str, str]:
    return {"path": str(file.path), "digest": file.digest}


def _stored(described: Mapping[str, Any], inputs: InputStore) -> Path:
    if not inputs.has(described["digest"]):
        stored = inputs.put_file(Path(described["path"]))
        if stored != described["digest"]:
            raise BorderpostError("BP0602", "the file has changed since", place=Place(described["path"]))
    return inputs.path(described["digest"])
