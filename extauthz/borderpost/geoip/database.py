"""One open GeoIP database: recognised, identified by its digest, asked for addresses.

A file is recognised by what its records hold, not by its name: `metadata.database_type` is free text that
every publisher fills in his own way. It is used only to say what a file is that cannot be used.

Workers map the file into memory, so it must be replaced by renaming a new file over it. Writing into a mapped
file changes answers under a digest that no longer holds, and cutting it short kills the process.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

import maxminddb

from borderpost.geoip.addresses import Address, has_place, parse_address
from borderpost.geoip.config import EMBEDDED, GeoipSpec
from borderpost.geoip.records import UNKNOWN, GeoAnswer, Shape, shape_of
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.memo import Remembered

ATTRIBUTION: Final = "IP Geolocation by DB-IP"
"""What CC BY 4.0 asks of whoever shows results of the embedded database, linked to `ATTRIBUTION_URL`."""
ATTRIBUTION_URL: Final = "https://db-ip.com"
EMBEDDED_PATH: Final = Path(__file__).parent.parent / "data" / "dbip-country-lite.mmdb"
"""DB-IP Country Lite; its licence stands beside it."""

_HOST: Final = re.compile(rb"([0-9.]{7,15})|\[([0-9a-fA-F:.]{2,45})\]")
"""An IPv4 address, or an IPv6 address in brackets, by its characters."""
_METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
"""Begins the metadata, which stand in the last 128 KiB of the file (MaxMind DB 2.0)."""
_METADATA_BYTES_MAX = 128 << 10
_PROBED_NETWORKS_MAX = 2000
"""How many networks of each IP version are looked at to recognise a shape: many City files begin with networks that
have no country."""
_OTHER_FORMATS = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_BAD_METADATA = "its metadata cannot be read"
_DAMAGE = (maxminddb.InvalidDatabaseError, ValueError, TypeError, OverflowError, SystemError)
"""What the reader raises on damaged bytes; SystemError comes out of maxminddb 3.2 where a string is no UTF-8."""
_DAY_S = 86_400


class GeoDatabase:
    """An open database. `lookup` is its whole use; the rest says which database it is."""

    def __init__(
        self, reader: maxminddb.Reader, shape: Shape, *, path: Path, digest: str, has_subdivisions: bool,
        remembered_addresses: int,
    ) -> None:  # fmt: skip
        metadata = reader.metadata()
        self.path = path
        self.digest = digest
        """`sha256:` and 64 hex digits, over the whole file."""
        self.shape = shape
        self.has_subdivisions = has_subdivisions
        """Whether any of the first records names one; False means that it surely is a country database."""
        self.database_type = metadata.database_type
        """The publisher's name for the kind of file, such as `GeoLite2-City`."""
        self.build_epoch_s = metadata.build_epoch
        """When the publisher built it, seconds since 1970 (UTC)."""
        self.ip_version = metadata.ip_version
        """6, or 4 for a file that knows no IPv6 address."""
        self._reader = reader
        self._remembered: Remembered[str | bytes, GeoAnswer] = Remembered(remembered_addresses)
        self._places: dict[GeoAnswer, int] = {}
        self._place_of_host: Remembered[bytes, int] = Remembered(remembered_addresses)

    @classmethod
    def open(
        cls, database: Path | str = EMBEDDED, *, remembered_addresses: int = limits.REMEMBERED_ADDRESSES_MAX
    ) -> GeoDatabase:
        """Open a file, or `embedded`, and recognise its schema.

        Reads the whole file once for its digest. Raises BorderpostError: BP0301 (cannot be read), BP0302 (not a
        MaxMind DB), BP0303 (damaged or cut short), BP0304 (no countries in it), BP0305 (changed meanwhile).
        """
        path = EMBEDDED_PATH if database == EMBEDDED else Path(database)
        try:
            with path.open("rb") as handle:
                reader, digest = _open_reader(handle, path)
        except OSError as error:
            raise BorderpostError("BP0301", error.strerror or str(error), place=Place(str(path))) from error
        try:
            shape, has_subdivisions = _recognise(reader, path)
        except BaseException:
            reader.close()
            raise
        return cls(
            reader,
            shape,
            path=path,
            digest=digest,
            has_subdivisions=has_subdivisions,
            remembered_addresses=remembered_addresses,
        )

    @classmethod
    def of(cls, spec: GeoipSpec) -> GeoDatabase:
        """Open what the configuration names. Raises as `open`."""
        return cls.open(spec.database, remembered_addresses=spec.remembered_addresses)

    def lookup(self, address: str | bytes) -> GeoAnswer:
        """Return what the database says of an address: text, or 4 or 16 bytes in network order.

        An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is looked up as the IPv4 address that it is. Addresses that
        no public network has (private, loopback, link-local, documentation, multicast…) are unknown without
        asking the file. Raises ValueError for what is not an address, and BorderpostError BP0306 where the
        file turns out to be damaged: no answer can be given then, not even `UNKNOWN`.
        """
        answer = self._remembered.get(address)
        if answer is None:
            answer = self._ask(parse_address(address))
            self._remembered.put(address, answer)
        return answer

    def place_number(self, host: bytes) -> int | None:
        """Return a number for what the database says of a host: the same for the same answer, and for no other.

        `host` is an IPv4 address, or an IPv6 address in brackets, as it stands before the port of a socket address.
        None for anything else and for what cannot be looked up: such an address has to be read with care.
        """
        number = self._place_of_host.recent.get(host)
        if number is None:
            number = self._place_of_host.get(host)
        if number is None:
            text = _HOST.fullmatch(host)
            if text is None:
                return None
            try:
                answer = self._ask(parse_address((text[1] or text[2]).decode("ascii")))
            except (ValueError, BorderpostError):
                return None
            number = self._places.setdefault(answer, len(self._places) + 1)
            self._place_of_host.put(host, number)
        return number

    def age_days(self, now_us: int) -> int:
        """Return whole days from the build to `now_us` (microseconds since 1970), at least 0."""
        return max(0, (now_us // 1_000_000 - self.build_epoch_s) // _DAY_S)

    def too_old(self, max_age_days: int, now_us: int) -> BorderpostError | None:
        """Return BP0307 if the build is older than that, as a warning to be told; None if it is not."""
        age = self.age_days(now_us)
        if age <= max_age_days:
            return None
        return BorderpostError(
            "BP0307", f"built {age} days ago; at most {max_age_days} wanted", place=Place(str(self.path))
        )

    def close(self) -> None:
        """Unmap the file; look-ups raise ValueError from now on."""
        self._remembered.clear()
        self._place_of_host.clear()
        self._reader.close()

    def _ask(self, address: Address) -> GeoAnswer:
        if not has_place(address) or (address.version == 6 and self.ip_version == 4):
            return UNKNOWN
        try:
            record = self._reader.get(address)
        except _DAMAGE:
            if self._reader.closed:
                raise
            # Without the library's message and traceback: they name the client's address.
            raise BorderpostError("BP0306", "a record cannot be decoded", place=Place(str(self.path))) from None
        return UNKNOWN if record is None else self.shape.answer(record)


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
        sound = isinstance(metadata.database_type, str) and isinstance(metadata.build_epoch, int)
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
    if _is_text(head):
        return BorderpostError("BP0302", "it is a text file", place=place)
    detail = f"no MaxMind metadata in the last {len(tail)} of its {size_bytes} bytes: cut short, or another format"
    return BorderpostError("BP0303", detail, place=place)


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


def _recognise(reader: maxminddb.Reader, path: Path) -> tuple[Shape, bool]:
    """Return the shape of the records, and whether any of the first ones names a subdivision."""
    shape: Shape | None = None
    has_subdivisions = False
    kind = reader.metadata().database_type
    for record in _first_records(reader, path):
        shape = shape or shape_of(record)
        if shape is Shape.FLAT:
            break
        if shape is not None and shape.answer(record).subdivision is not None:
            has_subdivisions = True
            break
    if shape is None:
        detail = f"a database of type `{kind}` whose records name no country as `country.iso_code` or `country_code`"
        raise BorderpostError("BP0304", detail, place=Place(str(path)))
    return shape, has_subdivisions


def _first_records(reader: maxminddb.Reader, path: Path) -> Iterator[object]:
    """Yield the first records of the public address space, network by network.

    The reader's own iterator aborts the process on a damaged search tree (libmaxminddb 1.13), a look-up does not:
    so each step is a look-up, and the prefix length it gives leads to the next network.
    """
    try:
        for start, end in (("1.0.0.0", "223.255.255.255"), ("2000::", "3fff:ffff::")):
            yield from _walk(reader, ipaddress.ip_address(start), ipaddress.ip_address(end))
    except _DAMAGE as error:
        raise BorderpostError("BP0303", "its records cannot be read", place=Place(str(path))) from error


def _walk(reader: maxminddb.Reader, start: Address, end: Address) -> Iterator[object]:
    if start.version == 6 and reader.metadata().ip_version == 4:
        return
    number, last = int(start), int(end)
    for _ in range(_PROBED_NETWORKS_MAX):
        record, prefix_bits = reader.get_with_prefix_len(type(start)(number))
        if record is not None:
            yield record
        host_bits = start.max_prefixlen - min(max(prefix_bits, 0), start.max_prefixlen)
        number = ((number >> host_bits) + 1) << host_bits
        if number > last:
            return
