"""A record and its line: how it is chained to the one before, hashed, named and told apart.

    line   canonical JSON of one record, without the newline that ends it in the file
    digest SHA-256(line): `prev` of the next record
    leaf   SHA-256(0x00 || line): leaf of the Merkle tree (RFC 9162, section 2.1.1)

Both hashes are of the bytes as stored, so a verifier of the chain needs no JSON at all; and because `prev` is
inside the line, chain and tree cannot disagree.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from borderpost.audit import fields
from borderpost.audit.kinds import format_stamp
from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.profile import ProfileError, canonical, decode, encode
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.world import Randomness

DECISION_ID: Final = re.compile(r"[0-9a-f]{32}")
_NONCE_BYTES: Final = 16
_NONCES_AT_ONCE: Final = 64
_SPLIT_NONCES: Final = struct.Struct(f"{_NONCE_BYTES}s" * _NONCES_AT_ONCE).unpack


class Head(NamedTuple):
    """The last record of a stream: what the next one is chained to."""

    seq: int
    """Its sequence number; -1 before the first record."""
    digest: str
    """SHA-256 of its line in hex; 64 zeros before the first."""


NO_RECORD: Final = Head(-1, "0" * 64)
"""Head of an empty stream."""


class Position(NamedTuple):
    """Where an appended record will stand. It does stand there once its batch has been committed, not before:
    after a failed commit another record takes the place, so a decision id is told to nobody until then."""

    seq: int
    decision_id: str
    """32 hex digits: 20 of the epoch, 12 of the sequence number."""
    digest: str
    """SHA-256 of the line in hex."""


def digest_of(line: bytes) -> str:
    """Return the chain's hash of a line, hex."""
    return hashlib.sha256(line).hexdigest()


def leaf_of(line: bytes) -> bytes:
    """Return the tree's hash of a line, 32 bytes."""
    return hashlib.sha256(b"\x00" + line).digest()


def decision_id(epoch: str, seq: int) -> str:
    """Return the id of a record: 20 hex digits of its epoch and 12 of its sequence number."""
    return f"{epoch}{seq:012x}"


def decision_ids(epoch: str, first_seq: int, count: int) -> list[bytes]:
    """Return the ids of records in a row, as bytes."""
    start = epoch.encode()
    return [b"%b%012x" % (start, seq) for seq in range(first_seq, first_seq + count)]


def split_decision_id(text: str) -> tuple[str, int]:
    """Return epoch and sequence number of an id. Raises BorderpostError BP0409 if it is none."""
    if DECISION_ID.fullmatch(text) is None:
        raise BorderpostError("BP0409", f"{text[:80]!r} is not a decision id: 32 lower-case hex digits")
    return text[:20], int(text[20:], 16)


def parse(line: bytes) -> dict[str, Any]:
    """Return the record of a line after checking all that one line can tell: canonical bytes, schema, size.

    Raises ProfileError.
    """
    if len(line) > limits.RECORD_BYTES_MAX:
        raise ProfileError(f"has {len(line)} bytes, at most {limits.RECORD_BYTES_MAX} are allowed")
    record = decode(line)
    fields.check_record(record)
    if encode(record) != line:
        raise ProfileError("is not in canonical form")
    return dict(record)


class RecordMaker:
    """Makes the lines of one epoch of one stream. It keeps no chain: the caller says what comes before."""

    def __init__(self, log: str, epoch: str, randomness: Randomness) -> None:
        self.log = log
        self.epoch = epoch
        self._randomness = randomness
        self._nonces: list[bytes] = []
        self._stamped_us = -1
        self._stamp = ""

    def make(
        self, kind: str, own: Mapping[str, Any], before: Head, *, at_us: int, mono_us: int, checked: bool
    ) -> bytes:
        """Return the line of the record that follows `before`.

        `checked=False` is for the hot path, whose caller builds `own` from values that are known to fit; all
        other records are held to their schema. Raises BorderpostError BP0404 for a record outside it or too
        large.
        """
        record = {
            **own,
            "v": fields.VERSION,
            "type": kind,
            "log": self.log,
            "epoch": self.epoch,
            "seq": before.seq + 1,
            "prev": before.digest,
            "nonce": self._nonce().decode(),
            "ts": self._stamp_of(at_us),
            "mono_us": mono_us,
        }
        try:
            if checked:
                fields.check_record(record)
            line = encode(record)
        except ProfileError as error:
            raise BorderpostError("BP0404", f"a {kind!r} record {error}") from error
        if len(line) > limits.RECORD_BYTES_MAX:
            raise BorderpostError("BP0404", f"a {kind!r} record has {len(line)} bytes")
        return line

    def prepare(self, kind: str, own: Mapping[str, Any]) -> PreparedRecord:
        """Return the line of a record with holes for the fields of one request. `own` fits its schema.

        Raises BorderpostError BP0404 where a line of it could be too long.
        """
        fixed = {**own, "v": fields.VERSION, "type": kind, "log": self.log, "epoch": self.epoch}
        prepared = PreparedRecord(fixed, epoch=self.epoch)
        if prepared.bytes_max > limits.RECORD_BYTES_MAX:
            raise BorderpostError("BP0404", f"a {kind!r} record may have {prepared.bytes_max} bytes")
        return prepared

    def follow(
        self, entries: Sequence[tuple[PreparedRecord, bytes]], before: Head, *, at_us: int, mono_us: int
    ) -> tuple[list[bytes], Head]:
        """Return the lines of prepared records that follow `before` in a row, and the new head.

        An entry is a prepared record and the canonical JSON of its `req`. Raises ValueError for a record that was
        prepared for another epoch.
        """
        epoch, stamp = self.epoch, self._stamp_of(at_us).encode()
        seq, prev = before.seq, before.digest.encode()
        lines = []
        for prepared, request in entries:
            if prepared.epoch != epoch:
                raise ValueError("a record that was prepared for another epoch")
            seq += 1
            line, prev = prepared.fill(mono_us, self._nonce(), prev, request, seq, stamp)
            lines.append(line)
        return lines, Head(seq, prev.decode())

    def _stamp_of(self, at_us: int) -> str:
        """Return the timestamp; a batch has one instant, so the last one is kept."""
        if at_us != self._stamped_us:
            self._stamped_us = at_us
            self._stamp = f"{_second(at_us // 1_000_000)}{at_us % 1_000_000:06d}Z"
        return self._stamp

    def _nonce(self) -> bytes:
        if not self._nonces:
            # One system call and one encoding for many: each costs more than all the rest of a nonce.
            token = self._randomness.token(_NONCE_BYTES * _NONCES_AT_ONCE)
            padded = b"\0\0".join((*_SPLIT_NONCES(token), b""))
            coded = base64.urlsafe_b64encode(padded)
            self._nonces = [coded[at : at + 22] for at in range(0, len(coded), 24)]
        return self._nonces.pop()


@functools.lru_cache(maxsize=16)
def _second(at_s: int) -> str:
    return format_stamp(at_s * 1_000_000)[:20]


def recorded_reason(reason: str) -> str:
    """Return a reason as long as a record holds it."""
    return reason[: limits.RECORDED_REASON_BYTES_MAX]


def refusal_counts(reasons: Iterable[str]) -> dict[str, int]:
    """Count regions by the reason they were refused for, bounded for a record's `refused` field.

    The most frequent reasons are kept, ties by name; the rest is added up as `other`.
    """
    counts: dict[str, int] = {}
    for reason in reasons:
        short = recorded_reason(reason)
        counts[short] = counts.get(short, 0) + 1
    if len(counts) <= limits.REFUSAL_REASONS_MAX:
        return counts
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = {reason: count for reason, count in ranked[: limits.REFUSAL_REASONS_MAX - 1] if reason != "other"}
    kept["other"] = sum(counts.values()) - sum(kept.values())
    return kept


def table_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest, `sha256:<hex>`, of a whole table of candidates: its rows as a canonical JSON array.

    Raises ProfileError for a row outside the profile.
    """
    return "sha256:" + hashlib.sha256(canonical([dict(row) for row in rows])).hexdigest()
