"""The public HPACK corpus: real header lists as several encoders code them, decoded file by file, block by block."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hpack as oracle
import pytest

from borderpost_wire.hpack import Decoder
from borderpost_wire.hpack.decoder import TABLE_BYTES_DEFAULT

ARCHIVE = Path(__file__).parent / "corpus" / "hpack-test-case.tar.xz"
CHECKOUT = os.environ.get("BORDERPOST_HPACK_CORPUS")
"""Where set: a checkout of the whole collection, read in place of the archive."""
ENCODERS = {
    "go-hpack": 32,
    "haskell-http2-linear": 32,
    "haskell-http2-linear-huffman": 32,
    "haskell-http2-naive": 32,
    "haskell-http2-naive-huffman": 32,
    "haskell-http2-static": 32,
    "haskell-http2-static-huffman": 32,
    "nghttp2": 32,
    "nghttp2-16384-4096": 31,
    "nghttp2-change-table-size": 31,
    "node-http2-hpack": 32,
}
"""How many files the archive has of each."""
BLOCKS = 36_990
"""And how many blocks in all."""

pytestmark = pytest.mark.slow


def stories() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the encoder and the cases of each file."""
    if CHECKOUT is not None:
        for path in sorted(Path(CHECKOUT).glob("*/story_*.json")):
            yield path.parent.name, json.loads(path.read_bytes())["cases"]
        return
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            text = archive.extractfile(member)
            if text is not None:
                yield member.name.split("/")[-2], json.load(text)["cases"]


def headers_of(case: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for field in case["headers"] for name, value in field.items()]


def test_every_file_is_decoded() -> None:
    files: dict[str, int] = {}
    blocks = 0
    for encoder, cases in stories():
        files[encoder] = files.get(encoder, 0) + 1
        decoder = Decoder(1 << 20)
        table_bytes = TABLE_BYTES_DEFAULT
        for case in cases:
            if "wire" not in case:
                continue  # the header lists by themselves
            size = case.get("header_table_size")
            if size not in (None, table_bytes):
                table_bytes = size
                decoder.allow(size)
            assert decoder.decode(bytes.fromhex(case["wire"])) == headers_of(case), (encoder, case["seqno"])
            blocks += 1
    if CHECKOUT is None:
        assert (files, blocks) == (ENCODERS, BLOCKS)
    assert sum(files.values()) >= sum(ENCODERS.values()) and files.keys() >= ENCODERS.keys()


def test_the_same_stories_by_another_library() -> None:
    """Every list once more, coded by python-hpack with its table and Huffman."""
    count = 0
    for encoder, cases in stories():
        if encoder != "nghttp2":
            continue
        other, decoder = oracle.Encoder(), Decoder(1 << 20)
        for case in cases:
            fields = headers_of(case)
            assert decoder.decode(other.encode(fields, huffman=bool(count % 2))) == fields
        count += 1
    assert count == 32
