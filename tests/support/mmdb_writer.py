"""Writes small MaxMind DB 2.0 files, so that tests have one of every schema and every kind of damage.

Layout (https://maxmind.github.io/MaxMind-DB/): the search tree, 16 zero bytes, the data section, a mark, the
metadata map. A tree node is two records of 24 bits, one for each value of the next address bit; a record is
another node, `node_count` for "nothing here", or `node_count + 16 + offset` for data.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = b"\xab\xcd\xefMaxMind.com"
BUILD_EPOCH_S = 1_780_000_000

_STRING, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY, _BOOLEAN = 2, 3, 5, 6, 7, 9, 11, 14


class Uint16(int):
    """An integer that the metadata want as uint16."""


class Uint64(int):
    """An integer that the metadata want as uint64."""


def write_mmdb(
    path: Path,
    networks: Mapping[str, Any],
    *,
    database_type: str,
    ip_version: int = 6,
    build_epoch_s: int = BUILD_EPOCH_S,
) -> Path:
    """Write a database that answers each network (CIDR, not overlapping) with its record; return the path."""
    path.write_bytes(
        build_mmdb(networks, database_type=database_type, ip_version=ip_version, build_epoch_s=build_epoch_s)
    )
    return path


def build_mmdb(
    networks: Mapping[str, Any], *, database_type: str, ip_version: int = 6, build_epoch_s: int = BUILD_EPOCH_S
) -> bytes:
    """Return the bytes of such a database."""
    data = bytearray()
    nodes: list[list[int | None]] = [[None, None]]
    for cidr, record in networks.items():
        bits = _bits(ipaddress.ip_network(cidr), ip_version)
        offset = len(data)
        data += encode(record)
        _insert(nodes, bits, -1 - offset)
    count = len(nodes)
    tree = b"".join(_record(value, count) for node in nodes for value in node)
    metadata = {
        "binary_format_major_version": Uint16(2),
        "binary_format_minor_version": Uint16(0),
        "build_epoch": Uint64(build_epoch_s),
        "database_type": database_type,
        "description": {"en": "made by a test"},
        "ip_version": Uint16(ip_version),
        "languages": ["en"],
        "node_count": count,
        "record_size": Uint16(24),
    }
    return tree + bytes(16) + bytes(data) + MARK + encode(metadata)


def _bits(network: ipaddress.IPv4Network | ipaddress.IPv6Network, ip_version: int) -> str:
    """Return the network's prefix as a text of 0 and 1; IPv4 lies at ::/96 of an IPv6 tree."""
    bits = format(int(network.network_address), f"0{network.max_prefixlen}b")[: network.prefixlen]
    return "0" * 96 + bits if ip_version == 6 and network.version == 4 else bits


def _insert(nodes: list[list[int | None]], bits: str, leaf: int) -> None:
    node = 0
    for bit in bits[:-1]:
        child = nodes[node][int(bit)]
        if child is None:
            nodes.append([None, None])
            child = nodes[node][int(bit)] = len(nodes) - 1
        assert child >= 0, "networks overlap"
        node = child
    assert nodes[node][int(bits[-1])] is None, "networks overlap"
    nodes[node][int(bits[-1])] = leaf


def _record(value: int | None, count: int) -> bytes:
    number = count if value is None else value if value >= 0 else count + 16 + (-1 - value)
    return number.to_bytes(3, "big")


def encode(value: Any) -> bytes:
    """Encode one value of the data section; plain ints become uint32."""
    if isinstance(value, bool):
        return _control(_BOOLEAN, int(value))
    if isinstance(value, str):
        raw = value.encode()
        return _control(_STRING, len(raw)) + raw
    if isinstance(value, float):
        return _control(_DOUBLE, 8) + struct.pack(">d", value)
    if isinstance(value, int):
        kind = _UINT16 if isinstance(value, Uint16) else _UINT64 if isinstance(value, Uint64) else _UINT32
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _control(kind, len(raw)) + raw
    if isinstance(value, Mapping):
        items = (encode(key) + encode(item) for key, item in value.items())
        return _control(_MAP, len(value)) + b"".join(items)
    if isinstance(value, (list, tuple)):
        return _control(_ARRAY, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"MaxMind DB has no type for {type(value).__name__}")


def _control(kind: int, size: int) -> bytes:
    """Return the control byte, with the extended type and the size bytes where they are needed."""
    low, extra = (
        (size, b"") if size < 29 else (29, bytes([size - 29])) if size < 285 else (30, (size - 285).to_bytes(2, "big"))
    )
    return bytes([kind << 5 | low]) + extra if kind < 8 else bytes([low, kind - 7]) + extra
