"""What is known of exits: all files of `geoip.anonymisers` together, one answer for an address.

A file is an MMDB whose records have flags, or a list of networks. Which of them it is shows in its bytes, not in its
name. What one file flags is flagged, whatever the others say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

import maxminddb

from borderpost.geoip.addresses import Address
from borderpost.geoip.flags import Flags, flags_of, has_flags
from borderpost.geoip.mmdb import MaxMindFile, is_text
from borderpost.geoip.network_list import NetworkList
from borderpost_base.errors import BorderpostError, Place

_HEAD_BYTES = 4096


class FlagDatabase(MaxMindFile):
    """An MMDB whose records have flags."""

    def __init__(self, reader: maxminddb.Reader, path: Path, digest: str) -> None:
        super().__init__(reader, path, digest)
        if not any(map(has_flags, self.first_records())):
            detail = f"a database of type `{self.database_type}` whose records have no field of a flag"
            raise BorderpostError("BP0310", detail, place=Place(str(path)))

    def flags(self, address: Address) -> Flags:
        """Return the flags of an address. Raises BorderpostError BP0306 where the file turns out to be damaged."""
        return flags_of(self.record(address))


class Anonymisers:
    """The open files; empty where none is configured."""

    def __init__(self, files: Iterable[FlagDatabase | NetworkList] = ()) -> None:
        self.files = tuple(files)

    @classmethod
    def open(cls, paths: Iterable[Path]) -> Anonymisers:
        """Open and read all files.

        Raises BorderpostError: BP0301 (cannot be read), BP0302 (neither MaxMind DB nor text), BP0303 (damaged or cut
        short), BP0305 (changed meanwhile), BP0309 (a line cannot be read), BP0310 (no flags in it), BP0311 (a list
        too long).
        """
        files: list[FlagDatabase | NetworkList] = []
        try:
            for path in paths:
                files.append(NetworkList.read(path) if _is_list(path) else FlagDatabase.open_path(path))
        except BaseException:
            Anonymisers(files).close()
            raise
        return cls(files)

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def databases(self) -> tuple[FlagDatabase, ...]:
        """Return the files that are databases, and so have an age."""
        return tuple(file for file in self.files if isinstance(file, FlagDatabase))

    def canonical(self) -> bytes:
        """Return the digests of all files as one text, in an order of its own: what a record names by its digest."""
        return json.dumps({"files": sorted({file.digest for file in self.files})}, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """Return `sha256:<hex>` of the canonical text."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    def flags(self, address: Address) -> Flags:
        """Return what the files together say of an address. Raises BorderpostError BP0306 where one is damaged.

        A 6to4 address (RFC 3056) is also the IPv4 address that stands in it: databases place it by that one.
        """
        found = Flags.NONE
        inner = address.sixtofour if isinstance(address, IPv6Address) else None
        for file in self.files:
            found |= file.flags(address)
            if inner is not None:
                found |= file.flags(inner)
        return found

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()


def _is_list(path: Path) -> bool:
    """Say whether a file is a text; what cannot be read, is empty or packed is for whoever opens it to tell."""
    try:
        with path.open("rb") as handle:
            head = handle.read(_HEAD_BYTES)
    except OSError:
        return True
    return bool(head) and is_text(head)
