"""Errors of area 04: the audit log. BP0410 to BP0419 are what `verify` finds; 10 to 19 are its exit statuses."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0401",
        "audit stream is locked by another process",
        "Each stream has one writer; a second one would fork the chain.",
        "Stop the other process, or give this one a stream or directory of its own. "
        "The lock goes with its process: there is no stale lock to delete.",
    ),
    ErrorSpec(
        "BP0402",
        "audit log cannot be opened",
        "The directory cannot be created or written: permissions, a read-only file system, or a full disk.",
        "Give the process a writable local directory with free space; nothing is decided without a record.",
    ),
    ErrorSpec(
        "BP0403",
        "audit log is damaged before its end",
        "A crash can only tear the end of a log. Damage that valid records follow is tampering or a failing medium.",
        "Keep the stream's directory as it stands as evidence, run `borderpost verify` on a copy, then move it "
        "aside; a new stream starts in its place.",
    ),
    ErrorSpec(
        "BP0404",
        "record is outside the profile",
        "A record may hold only what its type's schema names, in the strict profile of RFC 8785, "
        "and is bounded in size.",
        "This is a mistake in the code that made the record; report it with the field named.",
    ),
    ErrorSpec(
        "BP0405",
        "audit log takes no records",
        "Writing or syncing the log failed. Until it has been repaired every request is refused, "
        "because no record means no route.",
        "Look at the disk named: free space, health, mount state. The log comes back by itself, with a `gap` record.",
    ),
    ErrorSpec(
        "BP0406",
        "too many records wait for the disk",
        "Records arrive faster than the disk makes them durable, or a sync hangs; the backlog is bounded.",
        "Use a faster disk, or spread the load over more gateways; a sync that never ends is a failing disk.",
    ),
    ErrorSpec(
        "BP0407",
        "input is not in the store",
        "A record names an input (policy, events, catalogue, GeoIP) by digest, and the store does not hold it.",
        "Restore `inputs/` from a backup of the same log: the file's name is its SHA-256.",
    ),
    ErrorSpec(
        "BP0408",
        "not an audit log",
        "The path is neither an audit directory, nor one stream of it, nor a segment file.",
        "Name the directory that `audit.directory` names, a folder in it, or a `.jsonl` file in that.",
    ),
    ErrorSpec(
        "BP0409",
        "no such decision in this log",
        "No stream of this log holds a record with this id.",
        "Check that the id has 32 hex digits and that it was answered by a gateway that writes this log.",
    ),
    ErrorSpec(
        "BP0410",
        "altered record",
        "The record is not the one that its successor was chained to, or it is no record at all.",
        "Treat the log as tampered from this record on; compare with a shipped copy or a checkpoint.",
    ),
    ErrorSpec(
        "BP0411",
        "missing records",
        "Sequence numbers are missing inside a segment.",
        "Treat the log as tampered; the records before and after are named, a shipped copy may hold the rest.",
    ),
    ErrorSpec(
        "BP0412",
        "records out of order",
        "A record stands after one that was written later.",
        "Treat the log as tampered; its writer appends only.",
    ),
    ErrorSpec(
        "BP0413",
        "log does not end with a close",
        "The last epoch has no `epoch.close` and no process holds the stream: the writer died, or the end was cut off.",
        "If the writer crashed, start it again: it records how it ended. If it did not, the tail was cut.",
    ),
    ErrorSpec(
        "BP0414",
        "record outside the profile",
        "The line is not in canonical form, or holds what its type's schema does not allow.",
        "The product's writer makes no such line: find out who did.",
    ),
    ErrorSpec(
        "BP0415",
        "torn last line",
        "The last line has no end: a write was cut short by a crash or a full disk.",
        "Start the writer again: it puts the torn bytes aside and records that it did. No answer stood on them.",
    ),
    ErrorSpec(
        "BP0416",
        "missing or altered input",
        "A record names an input by digest, and the store has no such file or one with other bytes.",
        "Restore the file from a backup; without it the decisions that name it cannot be replayed.",
    ),
    ErrorSpec(
        "BP0417",
        "sequence number used twice",
        "Two records claim the same place in the stream: a copied line, or a fork.",
        "Treat the log as tampered; find out which of the two was answered.",
    ),
    ErrorSpec(
        "BP0418",
        "unknown record type or version",
        "The record's `type` or `v` is not one this version knows.",
        "Verify with the version of Borderpost that wrote the log, or a newer one.",
    ),
    ErrorSpec(
        "BP0419",
        "stream or segment missing or inconsistent",
        "Segment names, epochs or the log's name do not fit together.",
        "Find the missing segment (moved, deleted, renamed), or restore it from a shipped copy.",
    ),
)
