"""Opening a MaxMind DB file (MaxMind DB 2.0): what it is if it cannot be used, its digest, its records.

Workers map such a file into memory, so it must be replaced by renaming a new file over it. Writing into a mapped
file changes answers under a digest that no longer holds, and cutting it short kills the process.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

import maxminddb

from borderpost.geoip.addresses import Address
from borderpost_base.errors import BorderpostError, Place

_YEAR_10000_S = 253_402_300_800
"""A build is dated before it: further no calendar goes."""
_METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
"""Begins the metadata, which stand in the last 128 KiB of the file (MaxMind DB 2.0)."""
_METADATA_BYTES_MAX = 128 << 10
_PROBED_NETWORKS_MAX = 2000
"""How many networks of each IP version are looked at to recognise a shape: many City files begin with networks that
have no country."""
_OTHER_FORMATS = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_BAD_METADATA = "its metadata cannot be read"
_DAMAGE: Final = (maxminddb.InvalidDatabaseError, ValueError, TypeError, OverflowError, SystemError)
"""What the reader raises on damaged bytes; SystemError comes out of maxminddb 3.2 where a string is no UTF-8."""
_DAY_S = 86_400


class MaxMindFile:
    """An open file of any schema, known by its digest."""

    def __init__(self, reader: maxminddb.Reader, path: Path, digest: str) -> None:
        metadata = reader.metadata()
        self.path = path
        self.digest = digest
        """`sha256:` and 64 hex digits, over the whole file."""
        self.database_type = metadata.database_type
        """The publisher's name for the kind of file, such as `GeoLite2-City`."""
        self.build_epoch_s = metadata.build_epoch
        """When the publisher built it, seconds since 1970 (UTC)."""
        self.ip_version = metadata.ip_version
        """6, or 4 for a file that knows no IPv6 address."""
        self._reader = reader

    @classmethod
    def open_path(cls, path: Path) -> Self:
        """Open a file; it is read once, whole, for its digest.

        Raises BorderpostError: BP0301 (cannot be read), BP0302 (not a MaxMind DB), BP0303 (damaged or cut short),
        BP0305 (changed meanwhile).
        """
        try:
            with path.open("rb") as handle:
                reader, digest = _open_reader(handle, path)
        except OSError as error:
            raise BorderpostError("BP0301", error.strerror or str(error), place=Place(str(path))) from error
        try:
            return cls(reader, path, digest)
        except BaseException:
            reader.close()
            raise

    def record(self, address: Address) -> object:
        """Return the record of an address, None where there is none.

        Raises BorderpostError BP0306 where the file turns out to be damaged, and ValueError if it is closed.
        """
        if address.version == 6 and self.ip_version == 4:
            return None
        try:
            return self._reader.get(address)
        except _DAMAGE:
            if self._reader.closed:
                raise
            # Without the library's message and traceback: they name the client's address.
            raise BorderpostError("BP0306", "a record cannot be decoded", place=Place(str(self.path))) from None

    def first_records(self) -> Iterator[object]:
        """Yield the first records of the public address space, network by network. Raises BorderpostError BP0303.

        The reader's own iterator aborts the process on a damaged search tree (libmaxminddb 1.13), a look-up does
        not: so each step is a look-up, and the prefix length it gives leads to the next network.
        """
        try:
            for start, end in (("1.0.0.0", "223.255.255.255"), ("2000::", "3fff:ffff::")):
                yield from self._walk(ipaddress.ip_address(start), ipaddress.ip_address(end))
        except _DAMAGE as error:
            raise BorderpostError("BP0303", "its records cannot be read", place=Place(str(self.path))) from error

    def too_old(self, max_age_days: int, now_us: int) -> BorderpostError | None:
        """Return BP0307 if the build is older than that, as a warning to be told; None if it is not."""
        age = self.age_days(now_us)
        if age <= max_age_days:
            return None
        detail = f"built {age} days ago; at most {max_age_days} wanted"
        return BorderpostError("BP0307", detail, place=Place(str(self.path)))

    def age_days(self, now_us: int) -> int:
        """Return whole days from the build to `now_us` (microseconds since 1970), at least 0."""
        return max(0, (now_us // 1_000_000 - self.build_epoch_s) // _DAY_S)

    def close(self) -> None:
        """Unmap the file; look-ups raise ValueError from now on."""
        self._reader.close()

    def _walk(self, start: Address, end: Address) -> Iterator[object]:
        if start.version == 6 and self.ip_version == 4:
            return
        number, last = int(start), int(end)
        for _ in range(_PROBED_NETWORKS_MAX):
            record, prefix_bits = self._reader.get_with_prefix_len(type(start)(number))
            if record is not None:
                yield record
            host_bits = start.max_prefixlen - min(max(prefix_bits, 0), start.max_prefixlen)
            number = ((number >> host_bits) + 1) << host_bits
            if number > last:
                return


def is_text(head: bytes) -> bool:
    """Say whether a file that begins so is a text file."""
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


def _open_reader(handle: BufferedReader, path: Path) -> tuple[maxminddb.Reader, str]:
    """Return a reader on the very file whose digest is returned. The reader opens by name, hence the check."""
    before = _identity(os.fstat(handle.fileno()))
    digest = hashlib.file_digest(handle, "sha256").hexdigest()
    try:
        reader = maxminddb.open_database(path)
    except _DAMAGE as error:
        raise _unreadable(handle, path) from error
    try:
        _check_metadata(reader, before[2], path)
        if _identity(path.stat()) != before or _identity(os.fstat(handle.fileno())) != before:
            raise BorderpostError("BP0305", "the file changed while it was being read", place=Place(str(path)))
    except BaseException:
        reader.close()
        raise
    return reader, f"sha256:{digest}"


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _check_metadata(reader: maxminddb.Reader, size_bytes: int, path: Path) -> None:
    """Refuse a file whose metadata cannot be read, or whose search tree has no room in it: its middle is missing."""
    try:
        metadata = reader.metadata()
        tree_bytes = metadata.node_count * metadata.record_size // 4
        epoch_s = metadata.build_epoch
        sound = isinstance(metadata.database_type, str) and isinstance(epoch_s, int) and 0 <= epoch_s < _YEAR_10000_S
    except _DAMAGE:
        sound, tree_bytes = False, 0
    if not sound:
        raise BorderpostError("BP0303", _BAD_METADATA, place=Place(str(path)))
    if size_bytes < tree_bytes + 16 + len(_METADATA_MARK):
        detail = f"its metadata speak of a search tree of {tree_bytes} bytes; the whole file has {size_bytes}"
        raise BorderpostError("BP0303", detail, place=Place(str(path)))


def _unreadable(handle: BufferedReader, path: Path) -> BorderpostError:
    """Say what a file is that the reader does not take: another format, or an MMDB that is not whole."""
    size_bytes = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(4096)
    handle.seek(max(0, size_bytes - _METADATA_BYTES_MAX))
    tail = handle.read()
    place = Place(str(path))
    if not head:
        return BorderpostError("BP0302", "the file is empty", place=place)
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            detail = f"it is {name}-compressed"
            return BorderpostError("BP0302", detail, place=place, mend="Unpack it and name the `.mmdb` file in it.")
    if _METADATA_MARK in tail:
        return BorderpostError("BP0303", _BAD_METADATA, place=place)
    if is_text(head):
        return BorderpostError("BP0302", "it is a text file", place=place)
    detail = f"no MaxMind metadata in the last {len(tail)} of its {size_bytes} bytes: cut short, or another format"
    return BorderpostError("BP0303", detail, place=place)
