"""The catalogue of records: every type and every field, closed. The reference in the docs is made from it.

A field without a source yet is left out of a record, never faked; a field that is not here cannot be written.
The bounds are chosen so that no record that fits its schema exceeds `limits.RECORD_BYTES_MAX`, however many
regions there are: a test builds the largest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from borderpost.audit.forms import (
    BASES,
    CLUSTER,
    CONTENT_DIGEST,
    COUNT,
    DIGEST,
    ENGINE,
    EPOCH,
    HEX_32,
    HEX_64,
    LABEL,
    LINE,
    LOG,
    NAME,
    NONCE,
    PLACE,
    REASON,
    REQUEST_ID,
    ROUTE,
    SEED,
    RecordType,
    optional,
)
from borderpost.audit.kinds import Boolean, Choice, CountsOf, Field, Integer, ListOf, Shape, Stamp, Text
from borderpost.audit.limit_fields import LIMIT_TYPES
from borderpost.audit.profile import ProfileError
from borderpost_base import limits

VERSION: Final = 1
"""Value of `v`. A change that an old reader would misunderstand raises it."""

COMMON: Final = Shape(
    (
        Field("v", Integer(VERSION, VERSION), "Version of the format."),
        Field("type", NAME, "Type of the record."),
        Field("log", LOG, "Origin name of the log and name of the stream, so that no record fits another stream."),
        Field("epoch", EPOCH, "80 random bits drawn when the writer started; with `seq` it makes the decision id."),
        Field("seq", COUNT, "Place in the stream: 0, 1, 2… without a hole, across epochs and segments."),
        Field("prev", HEX_64, "SHA-256 of the line before, without its newline; zeros for the first of a stream."),
        Field("nonce", NONCE, "Random bits, so that nobody finds a record's content by guessing at its hash."),
        Field("ts", Stamp(), "The instant the record speaks of; for a decision the very `now` the law was asked for."),
        Field("mono_us", COUNT, "Monotonic clock of the machine, microseconds; tells durations when the clock is set."),
    )
)
"""Fields of every record."""

_INPUTS = Shape(
    (
        Field("policy", DIGEST, "The policy bundle."),
        Field("events", DIGEST, "The list of legal events."),
        optional("signals", DIGEST, "The snapshot of health and latency that ranked the regions."),
        Field("catalog", DIGEST, "The catalogue of regions."),
        optional("geoip", DIGEST, "The GeoIP database, where one is in use."),
        optional("anonymisers", DIGEST, "What is known of anonymisers and hosting networks, where anything is."),
        optional("shadow", DIGEST, "The policy that is weighed beside and binds nobody, where one is."),
        Field("engine", ENGINE, "The version of the code that decided."),
    )
)

_SOURCE = Choice(("token", "mtls", "header", "geoip"))
_MODE = Choice(("legal-first", "hybrid", "performance-first"))

_EVIDENCE = Shape(
    (
        Field("src", _SOURCE, "Source."),
        Field("val", PLACE, "The place it names."),
        Field("trust", Choice(("verified", "asserted", "inferred")), "How far the source is believed."),
        optional("subdivision_unknown", Boolean(), "True where the source knows the country only."),
        optional(
            "doubt",
            Choice(("anonymiser", "hosting", "confidence")),
            "Why it is not believed: it calls for embargoes only.",
        ),
    )
)

_JURISDICTION = Shape(
    (
        Field("effective", ListOf(PLACE, 16), "Jurisdictions that counted, sorted."),
        Field("regimes", ListOf(NAME, 32), "Regimes that applied, sorted."),
        Field("evidence", ListOf(_EVIDENCE, 4), "What each source said."),
        optional("missing", _SOURCE, "Evidence that tenant or route requires and the request lacks."),
        optional("conflict", REASON, "How sources disagreed, such as `token-vs-geoip`."),
        Field("rule", NAME, "The conflict rule, `narrowing-only`."),
        Field("subdivision_unknown", Boolean(), "True where a subdivision would have mattered and was not known."),
        optional("mode", _MODE, "The mode that held; absent for `legal-first`."),
        optional("mode_set", _MODE, "The strictest mode that tenant and route set, where one does."),
    )
)

_CANDIDATE = Shape(
    (
        Field("r", NAME, "Region."),
        Field("ok", Boolean(), "True if legal and able to serve."),
        optional("why", Choice(("down",)), "Why not: its probe says that it cannot serve."),
        optional("lat_us", COUNT, "Latency it was ranked by, microseconds."),
    )
)

_LEAF = Shape(
    (
        Field("r", NAME, "Region."),
        Field("cc", PLACE, "Its place."),
        Field("basis", BASES, "The bases that allow it, `regime/basis`."),
    )
)

_OUT = Shape(
    (
        Field("action", Choice(("route", "refuse")), "What Envoy was told, or would have been."),
        optional("r", NAME, "The region chosen."),
        optional("cluster", CLUSTER, "The cluster Envoy was told."),
        optional("cc", PLACE, "The region's place."),
        optional("basis", BASES, "The bases that allow the region, `regime/basis`."),
        optional(
            "then",
            ListOf(_LEAF, limits.FAILOVER_REGIONS_MAX - 1),
            "Where a retry of Envoy's may go, in order, if the cluster is a failover group's: its other regions, each "
            "legal for this request and none known to be down. Absent, no retry leaves the region.",
        ),
        optional("status", Integer(100, 599), "HTTP status of a refusal."),
        optional("code", Text("error code", re.compile(r"BP\d{4}"), 6), "Error code of a refusal."),
        optional("reason", REASON, "The particular reason of a refusal."),
    )
)

_DIGEST_OUTCOME = Choice(("verified", "not-verified"))

_SHADOW = Shape(
    (
        Field(
            "kind",
            Choice(("widened", "narrowed", "region", "failover", "reason", "basis", "failed")),
            "How its answer differs: it routes what was refused, refuses what was routed, names another region, "
            "other regions for a retry, another reason, other bases; `failed` if it could not be asked.",
        ),
        optional("r", NAME, "The region that it would have chosen."),
        optional("basis", BASES, "The bases that allow that region by it."),
        optional("reason", REASON, "The reason for which it would have refused."),
    )
)

_OBSERVED = Shape(
    (
        optional("route", ROUTE, "Envoy's route, where Envoy told it."),
        optional("cluster", CLUSTER, "The cluster of Envoy's to which the request went, where Envoy told it."),
        optional("r", NAME, "The region where it went, by `observe` or its cluster; absent where nobody knows."),
        optional("unlawful", REASON, "Why the law allows no request like it to go there; absent where it does."),
        optional("body_unseen", Boolean(), "True where an enforced route's body would have counted too."),
        optional("unenforced", Boolean(), "True where the route was to be enforced: an alarm."),
    )
)

_BODY = Shape(
    (
        Field("bytes", COUNT, "Its size as received; of one that is too long, of what was received."),
        optional("hash", HEX_64, "HMAC-SHA-256 of it as received, under `payload.hash_key_file`."),
        optional("digest", _DIGEST_OUTCOME, "What its `Content-Digest` came to; absent where there was none."),
        optional("repr_digest", _DIGEST_OUTCOME, "What its `Repr-Digest` came to; absent where there was none."),
        optional("declared", ListOf(NAME, limits.DATA_CLASSES_MAX), "Data classes that it names, sorted."),
        optional("found", ListOf(NAME, limits.DETECTORS_MAX), "Detectors that found something, in order."),
        optional("unread", NAME, "Why its form is not read, so that classes were assumed."),
    )
)

_DECISION = Shape(
    (
        Field(
            "req",
            Shape(
                (
                    optional("id", REQUEST_ID, "`x-request-id`."),
                    optional("trace", HEX_32, "Trace id of `traceparent`."),
                    optional("digest", CONTENT_DIGEST, "`Content-Digest` as the client sent it: its word alone."),
                    optional("body", _BODY, "What is told of the request's body, where bodies are read."),
                )
            ),
            "What joins the record to other logs, and to the body. Never an address, never a piece of the body.",
        ),
        Field("jur", _JURISDICTION, "Whose law applies, and how we know."),
        Field("class", ListOf(NAME, limits.DATA_CLASSES_MAX), "Data classes that counted, sorted."),
        optional("model", LABEL, "The model asked for."),
        optional("tenant", LABEL, "The tenant, where known by verified means."),
        optional("purpose", LABEL, "What the request is for, where known by trusted means."),
        optional(
            "events",
            ListOf(NAME, limits.RECORDED_EVENTS_MAX),
            "Legal events that concerned the request, by id, sorted.",
        ),
        optional(
            "stale", Boolean(), "True where the legal events were older than allowed: no revocable basis counted."
        ),
        optional("shadow", _SHADOW, "What the shadow says, where it differs; absent with `inputs.shadow`: it agrees."),
        Field("inputs", _INPUTS, "What the decision was made from, by digest: what replay needs."),
        Field("seed", SEED, "Breaks ties between equal regions, the same way again in replay."),
        Field("here", PLACE, "This gateway's own place, which is a processor too."),
        Field("cand", ListOf(_CANDIDATE, 1 + limits.RUNNERS_UP_MAX), "The region chosen, then the runners-up."),
        optional("refused", CountsOf(REASON, limits.REFUSAL_REASONS_MAX), "Regions refused, counted by reason."),
        optional("table", DIGEST, "Digest of the whole table of candidates, which replay rebuilds."),
        Field("out", _OUT, "The answer."),
        Field("via", Choice(("ext_proc", "ext_authz")), "The door the question came in by."),
        Field(
            "mode",
            Choice(("enforce", "observe")),
            "Whether the answer bound Envoy: `observe` where the route is only observed, and the request went its way.",
        ),
        optional("observed", _OBSERVED, "Where an observed request went; only with `mode: observe`."),
    )
)

_EDITION = Shape(
    (
        Field("id", NAME, "Id of the pack."),
        Field("version", LABEL, "Its version."),
        Field("as_of", Text("day", re.compile(r"\d{4}-\d\d-\d\d", re.ASCII), 10), "The day of its facts."),
    )
)

_PREVIOUS = Shape(
    (
        Field("epoch", EPOCH, "Its epoch."),
        Field("seq", COUNT, "Its last sequence number."),
        Field("head", HEX_64, "SHA-256 of its last line."),
        Field("end", Choice(("clean", "unclean")), "Clean if that line is `epoch.close`."),
    )
)

_TYPES: tuple[RecordType, ...] = (
    RecordType(
        "epoch.open",
        "A writer took the stream. First record of an epoch.",
        Shape(
            (
                optional("previous", _PREVIOUS, "How the epoch before ended; absent in a new stream."),
                Field("engine", ENGINE, "Version of the product."),
            )
        ),
    ),
    RecordType(
        "decision",
        "A request was decided; durable before Envoy was answered, but where the route is only observed.",
        _DECISION,
    ),
    RecordType(
        "policy.activate",
        "A policy bundle came into use by this worker.",
        Shape(
            (
                Field("digest", DIGEST, "The bundle."),
                optional("generation", COUNT, "Number of the snapshot that brought it."),
                optional("packs", ListOf(_EDITION, limits.POLICY_PACKS_MAX), "Its packs, in order."),
            )
        ),
    ),
    RecordType(
        "legal_event.apply",
        "A list of legal events came into use, or an event of it took effect or ended.",
        Shape(
            (
                Field("digest", DIGEST, "The list in force."),
                optional("generation", COUNT, "Number of the snapshot that brought it."),
                optional("head", HEX_64, "SHA-256 of the last line of the signed list that it was read from."),
                optional("length", COUNT, "Lines of that list."),
                optional(
                    "late",
                    ListOf(NAME, limits.LATE_EVENTS_RECORDED_MAX),
                    "Events of the list that became known after they took effect, the newest last: what was decided in "
                    "between was decided without them.",
                ),
                optional("event", NAME, "Id of the event; absent where only the list is new."),
                optional("kind", NAME, "Its kind, such as `region_suspend`."),
                optional("effective_from", Stamp(), "When it takes effect."),
                optional("effective_until", Stamp(), "When it ends."),
                optional("recorded_at", Stamp(), "When it was known."),
            )
        ),
    ),
    RecordType(
        "catalog.activate",
        "A catalogue of regions came into use.",
        Shape(
            (
                Field("digest", DIGEST, "The catalogue."),
                optional("generation", COUNT, "Number of the snapshot that brought it."),
                optional("regions", COUNT, "Number of regions in it."),
            )
        ),
    ),
    RecordType(
        "geoip.activate",
        "A GeoIP database came into use.",
        Shape(
            (
                Field("digest", DIGEST, "The database file."),
                optional("kind", LINE, "`database_type` of its metadata."),
                optional("built_at", Stamp(), "`build_epoch` of its metadata."),
            )
        ),
    ),
    RecordType(
        "anonymisers.activate",
        "Files that flag anonymisers and hosting networks came into use, or none is in use any more.",
        Shape(
            (
                optional("digest", DIGEST, "The list of the files, where there are any."),
                Field("files", ListOf(DIGEST, limits.ANONYMISER_FILES_MAX), "The files, sorted."),
            )
        ),
    ),
    *LIMIT_TYPES,
    RecordType(
        "recovery",
        "Bytes at the end of the log were no record: put aside when the writer started. No answer stood on them.",
        Shape(
            (
                Field("segment", NAME, "File they were in."),
                Field("at", COUNT, "Offset in it, bytes."),
                Field("bytes", COUNT, "How many."),
                Field("sha256", HEX_64, "SHA-256 of the bytes, as kept under `quarantine/`."),
            )
        ),
    ),
    RecordType(
        "gap",
        "The log could not be written for a while. Every request concerned was refused, or if observed not recorded.",
        Shape(
            (
                Field("lost", COUNT, "Records made but never durable; their sequence numbers are used again."),
                Field("bytes", COUNT, "Their size."),
                Field("refused", COUNT, "Records refused outright while the log was down."),
                Field("reason", NAME, "Name of the error, such as `ENOSPC`; `backlog` where too many waited."),
                Field("during", NAME, "What failed, such as `write`, `fdatasync` or `open`."),
                Field("down_us", COUNT, "From the failure to this record, microseconds."),
                Field("attempts", COUNT, "Attempts at repair, this one included."),
            )
        ),
    ),
    RecordType(
        "heartbeat",
        "Nothing happened for a while, and the writer lives.",
        Shape((optional("ahead_us", COUNT, "How far the recorded time stands ahead of a clock set back."),)),
    ),
    RecordType(
        "epoch.close",
        "The writer stopped in order. Last record of an epoch.",
        Shape(
            (
                Field("records", COUNT, "Records in this epoch, this one included."),
                Field("reason", NAME, "Why it stopped."),
            )
        ),
    ),
)

RECORD_TYPES: Final[Mapping[str, RecordType]] = {each.name: each for each in _TYPES}
"""Every type of record by its name."""
RESERVED_TYPES: Final = frozenset({"outcome", "key.rotate", "erasure"})
"""Names kept for types to come; nothing else may take them."""

_WHOLE: Final = {each.name: Shape((*COMMON.fields, *each.shape.fields)) for each in _TYPES}


def check_record(record: Any) -> None:
    """Raise ProfileError, with the field, unless a parsed record fits the schema of its type."""
    if type(record) is not dict:
        raise ProfileError("is not an object")
    kind = record.get("type")
    shape = _WHOLE.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise ProfileError(f"is of no known type: {kind!r:.80}", "type")
    shape.check(record)


def check_fields(kind: str, own: Any) -> None:
    """Raise ProfileError unless the own fields of a record, without the common ones, fit its type.

    The writer does not check decisions one by one; whoever remembers their fixed part checks it once.
    """
    known = RECORD_TYPES.get(kind)
    if known is None:
        raise ProfileError(f"is of no known type: {kind!r:.80}", "type")
    known.shape.check(own)


def check_given(kind: str, own: Mapping[str, Any]) -> None:
    """Raise ProfileError unless each of these fields fits a record's type; others may still be missing.

    For whoever puts a record together from parts, each checked once.
    """
    checks = RECORD_TYPES[kind].shape.checks
    name = ""
    try:
        for name, value in own.items():
            checks[name](value)
    except ProfileError as error:
        raise error.within(name) from None


def check_common(record: Mapping[str, Any]) -> None:
    """Raise ProfileError unless a record has the common fields, whatever else it has."""
    for each in COMMON.fields:
        if each.name not in record:
            raise ProfileError(f"lacks {each.name}")
        try:
            each.kind.check(record[each.name])
        except ProfileError as error:
            raise error.within(each.name) from None


def named_inputs(record: Mapping[str, Any]) -> Iterator[str]:
    """Give the digests (`sha256:<hex>`) of the inputs a record names: files that must be in the store."""
    kind = record.get("type")
    if kind == "decision":
        for name, value in record["inputs"].items():
            if name != "engine":
                yield value
    elif kind in {"policy.activate", "legal_event.apply", "catalog.activate", "geoip.activate", "limits.activate"}:
        yield record["digest"]
    elif kind == "anonymisers.activate" and "digest" in record:
        yield record["digest"]
        yield from record["files"]
