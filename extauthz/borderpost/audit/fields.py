"""The catalogue of records: every type and every field, closed. The reference in the docs is made from it.

A field without a source yet is left out of a record, never faked; a field that is not here cannot be written.
The bounds are chosen so that no record that fits its schema exceeds `limits.RECORD_BYTES_MAX`, however many
regions there are: a test builds the largest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from borderpost.audit.kinds import Boolean, Choice, CountsOf, Field, Integer, Kind, ListOf, Shape, Stamp, Text
from borderpost.audit.profile import ProfileError
from borderpost_base import limits

VERSION: Final = 1
"""Value of `v`. A change that an old reader would misunderstand raises it."""

_NAME_BYTES = limits.RECORDED_NAME_BYTES_MAX
_VISIBLE = r"[!#-\[\]-~]"
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*")

NAME = Text("name", re.compile(rf"{_VISIBLE}+"), _NAME_BYTES)
"""An id of ours: visible ASCII but the quote and the backslash, which JSON would double."""
LABEL = Text("label", re.compile(rf"{_VISIBLE}+"), limits.RECORDED_LABEL_BYTES_MAX)
"""A name of somebody else's: of a tenant, or a model."""
CLUSTER = Text("cluster name", re.compile(r"[!-~]+"), limits.CLUSTER_NAME_BYTES_MAX)
ROUTE = Text("route name", re.compile(r"[ -~]+"), 200)
REASON = Text("reason", re.compile(rf"{_VISIBLE}+"), limits.RECORDED_REASON_BYTES_MAX)
DIGEST = Text("digest, sha256:<64 hex digits>", re.compile(r"sha256:[0-9a-f]{64}"), 71)
HEX_64 = Text("64 hex digits", re.compile(r"[0-9a-f]{64}"), 64)
EPOCH = Text("20 hex digits", re.compile(r"[0-9a-f]{20}"), 20)
NONCE = Text("128 bits in base64url", re.compile(r"[A-Za-z0-9_-]{21}[AQgw]"), 22)
PLACE = Text("ISO 3166 code or sub-country jurisdiction", re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,8})?"), 11)
LOG = Text("origin and stream", re.compile(r"[A-Za-z0-9._:/-]+"), 128 + 1 + _NAME_BYTES)
LINE = Text("printable text", _PRINTABLE, 256)
REQUEST_ID = Text("printable text", _PRINTABLE, limits.REQUEST_ID_BYTES_MAX)
CONTENT_DIGEST = Text("a Content-Digest", _PRINTABLE, limits.CONTENT_DIGEST_BYTES_MAX)
HEX_32 = Text("32 hex digits", re.compile(r"[0-9a-f]{32}"), 32)
BASES = Text("legal bases joined by commas", re.compile(rf"{_VISIBLE}+"), 1024)
ENGINE = Text("version of the decision engine", re.compile(rf"{_VISIBLE}+"), 128)
SEED = Text("1 to 32 hex digits", re.compile(r"[0-9a-f]{1,32}"), 32)
RULE = Text("domain and keys of a limit, joined by dots", re.compile(r"[ !#-\[\]-~]+"), limits.RECORDED_RULE_BYTES_MAX)
ALGORITHM = Choice(("fixed_window", "sliding_window", "token_bucket", "concurrency", "budget"))
COUNT = Integer()


@dataclass(frozen=True, slots=True)
class RecordType:
    """One type of record: its name, why it is written, and its own fields beside the common ones."""

    name: str
    about: str
    shape: Shape


def _optional(name: str, kind: Kind, about: str) -> Field:
    return Field(name, kind, about, required=False)


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
        _optional("signals", DIGEST, "The snapshot of health and latency that ranked the regions."),
        Field("catalog", DIGEST, "The catalogue of regions."),
        _optional("geoip", DIGEST, "The GeoIP database, where one is in use."),
        _optional("anonymisers", DIGEST, "What is known of anonymisers and hosting networks, where anything is."),
        _optional("shadow", DIGEST, "The policy that is weighed beside and binds nobody, where one is."),
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
        _optional("subdivision_unknown", Boolean(), "True where the source knows the country only."),
        _optional(
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
        _optional("missing", _SOURCE, "Evidence that tenant or route requires and the request lacks."),
        _optional("conflict", REASON, "How sources disagreed, such as `token-vs-geoip`."),
        Field("rule", NAME, "The conflict rule, `narrowing-only`."),
        Field("subdivision_unknown", Boolean(), "True where a subdivision would have mattered and was not known."),
        _optional("mode", _MODE, "The mode that held; absent for `legal-first`."),
        _optional("mode_set", _MODE, "The strictest mode that tenant and route set, where one does."),
    )
)

_CANDIDATE = Shape(
    (
        Field("r", NAME, "Region."),
        Field("ok", Boolean(), "True if legal and able to serve."),
        _optional("why", Choice(("down",)), "Why not: its probe says that it cannot serve."),
        _optional("lat_us", COUNT, "Latency it was ranked by, microseconds."),
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
        _optional("r", NAME, "The region chosen."),
        _optional("cluster", CLUSTER, "The cluster Envoy was told."),
        _optional("cc", PLACE, "The region's place."),
        _optional("basis", BASES, "The bases that allow the region, `regime/basis`."),
        _optional(
            "then",
            ListOf(_LEAF, limits.FAILOVER_REGIONS_MAX - 1),
            "Where a retry of Envoy's may go, in order, if the cluster is a failover group's: its other regions, each "
            "legal for this request and none known to be down. Absent, no retry leaves the region.",
        ),
        _optional("status", Integer(100, 599), "HTTP status of a refusal."),
        _optional("code", Text("error code", re.compile(r"BP\d{4}"), 6), "Error code of a refusal."),
        _optional("reason", REASON, "The particular reason of a refusal."),
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
        _optional("r", NAME, "The region that it would have chosen."),
        _optional("basis", BASES, "The bases that allow that region by it."),
        _optional("reason", REASON, "The reason for which it would have refused."),
    )
)

_OBSERVED = Shape(
    (
        _optional("route", ROUTE, "Envoy's route, where Envoy told it."),
        _optional("cluster", CLUSTER, "The cluster of Envoy's to which the request went, where Envoy told it."),
        _optional("r", NAME, "The region where it went, by `observe` or its cluster; absent where nobody knows."),
        _optional("unlawful", REASON, "Why the law allows no request like it to go there; absent where it does."),
        _optional("body_unseen", Boolean(), "True where an enforced route's body would have counted too."),
        _optional("unenforced", Boolean(), "True where the route was to be enforced: an alarm."),
    )
)

_BODY = Shape(
    (
        Field("bytes", COUNT, "Its size as received; of one that is too long, of what was received."),
        _optional("hash", HEX_64, "HMAC-SHA-256 of it as received, under `payload.hash_key_file`."),
        _optional("digest", _DIGEST_OUTCOME, "What its `Content-Digest` came to; absent where there was none."),
        _optional("repr_digest", _DIGEST_OUTCOME, "What its `Repr-Digest` came to; absent where there was none."),
        _optional("declared", ListOf(NAME, limits.DATA_CLASSES_MAX), "Data classes that it names, sorted."),
        _optional("found", ListOf(NAME, limits.DETECTORS_MAX), "Detectors that found something, in order."),
        _optional("unread", NAME, "Why its form is not read, so that classes were assumed."),
    )
)

_DECISION = Shape(
    (
        Field(
            "req",
            Shape(
                (
                    _optional("id", REQUEST_ID, "`x-request-id`."),
                    _optional("trace", HEX_32, "Trace id of `traceparent`."),
                    _optional("digest", CONTENT_DIGEST, "`Content-Digest` as the client sent it: its word alone."),
                    _optional("body", _BODY, "What is told of the request's body, where bodies are read."),
                )
            ),
            "What joins the record to other logs, and to the body. Never an address, never a piece of the body.",
        ),
        Field("jur", _JURISDICTION, "Whose law applies, and how we know."),
        Field("class", ListOf(NAME, limits.DATA_CLASSES_MAX), "Data classes that counted, sorted."),
        _optional("model", LABEL, "The model asked for."),
        _optional("tenant", LABEL, "The tenant, where known by verified means."),
        _optional("purpose", LABEL, "What the request is for, where known by trusted means."),
        _optional(
            "events",
            ListOf(NAME, limits.RECORDED_EVENTS_MAX),
            "Legal events that concerned the request, by id, sorted.",
        ),
        _optional(
            "stale", Boolean(), "True where the legal events were older than allowed: no revocable basis counted."
        ),
        _optional("shadow", _SHADOW, "What the shadow says, where it differs; absent with `inputs.shadow`: it agrees."),
        Field("inputs", _INPUTS, "What the decision was made from, by digest: what replay needs."),
        Field("seed", SEED, "Breaks ties between equal regions, the same way again in replay."),
        Field("here", PLACE, "This gateway's own place, which is a processor too."),
        Field("cand", ListOf(_CANDIDATE, 1 + limits.RUNNERS_UP_MAX), "The region chosen, then the runners-up."),
        _optional("refused", CountsOf(REASON, limits.REFUSAL_REASONS_MAX), "Regions refused, counted by reason."),
        _optional("table", DIGEST, "Digest of the whole table of candidates, which replay rebuilds."),
        Field("out", _OUT, "The answer."),
        Field("via", Choice(("ext_proc", "ext_authz")), "The door the question came in by."),
        Field(
            "mode",
            Choice(("enforce", "observe")),
            "Whether the answer bound Envoy: `observe` where the route is only observed, and the request went its way.",
        ),
        _optional("observed", _OBSERVED, "Where an observed request went; only with `mode: observe`."),
    )
)

_EDITION = Shape(
    (
        Field("id", NAME, "Id of the pack."),
        Field("version", LABEL, "Its version."),
        Field("as_of", Text("day", re.compile(r"\d{4}-\d\d-\d\d", re.ASCII), 10), "The day of its facts."),
    )
)

_LIMITED = Shape(
    (
        _optional(
            "decision",
            HEX_32,
            "Id of the decision that let the request pass, by Envoy's word. Its record is in another stream.",
        ),
        _optional("name", LINE, "What else Envoy named the request, where it did."),
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
                _optional("previous", _PREVIOUS, "How the epoch before ended; absent in a new stream."),
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
                _optional("generation", COUNT, "Number of the snapshot that brought it."),
                _optional("packs", ListOf(_EDITION, limits.POLICY_PACKS_MAX), "Its packs, in order."),
            )
        ),
    ),
    RecordType(
        "legal_event.apply",
        "A list of legal events came into use, or an event of it took effect or ended.",
        Shape(
            (
                Field("digest", DIGEST, "The list in force."),
                _optional("generation", COUNT, "Number of the snapshot that brought it."),
                _optional("head", HEX_64, "SHA-256 of the last line of the signed list that it was read from."),
                _optional("length", COUNT, "Lines of that list."),
                _optional(
                    "late",
                    ListOf(NAME, limits.LATE_EVENTS_RECORDED_MAX),
                    "Events of the list that became known after they took effect, the newest last: what was decided in "
                    "between was decided without them.",
                ),
                _optional("event", NAME, "Id of the event; absent where only the list is new."),
                _optional("kind", NAME, "Its kind, such as `region_suspend`."),
                _optional("effective_from", Stamp(), "When it takes effect."),
                _optional("effective_until", Stamp(), "When it ends."),
                _optional("recorded_at", Stamp(), "When it was known."),
            )
        ),
    ),
    RecordType(
        "catalog.activate",
        "A catalogue of regions came into use.",
        Shape(
            (
                Field("digest", DIGEST, "The catalogue."),
                _optional("generation", COUNT, "Number of the snapshot that brought it."),
                _optional("regions", COUNT, "Number of regions in it."),
            )
        ),
    ),
    RecordType(
        "geoip.activate",
        "A GeoIP database came into use.",
        Shape(
            (
                Field("digest", DIGEST, "The database file."),
                _optional("kind", LINE, "`database_type` of its metadata."),
                _optional("built_at", Stamp(), "`build_epoch` of its metadata."),
            )
        ),
    ),
    RecordType(
        "anonymisers.activate",
        "Files that flag anonymisers and hosting networks came into use, or none is in use any more.",
        Shape(
            (
                _optional("digest", DIGEST, "The list of the files, where there are any."),
                Field("files", ListOf(DIGEST, limits.ANONYMISER_FILES_MAX), "The files, sorted."),
            )
        ),
    ),
    RecordType(
        "limits.activate",
        "A set of limits files came into use by the limiter.",
        Shape(
            (
                Field("digest", DIGEST, "The files in order, each after its length and a colon."),
                Field("domains", COUNT, "Domains that they limit."),
            )
        ),
    ),
    RecordType(
        "limit.refuse",
        "A limit refused a request that the law had let pass. It names no value of the request.",
        Shape(
            (
                Field("req", _LIMITED, "What joins the record to others."),
                Field("rule", RULE, "The rule that refused, by its place in the limits files."),
                Field("algorithm", ALGORITHM, "How it counts."),
                Field("amount", COUNT, "How many it lets pass."),
                Field("window_us", COUNT, "In how long, microseconds."),
                Field(
                    "source",
                    Choice(("store", "near_cache", "estimate", "assumed")),
                    "Whose count it was: the store's, the store's of a moment ago, this process's own while the store "
                    "was away, or nobody's.",
                ),
            )
        ),
    ),
    RecordType(
        "limit.refusals",
        "Requests that limits refused and that have no record of their own.",
        Shape(
            (
                Field("since", Stamp(), "When the first of them was refused; the last was by this record."),
                Field("count", COUNT, "How many."),
                Field("rules", CountsOf(RULE, limits.RECORDED_RULES_MAX), "How many by rule; `other` are the rest."),
                Field("flood", COUNT, "Those beyond what has records of its own in one second."),
                Field("untaken", COUNT, "Those of which the log took no record: it was down, or too many waited."),
            )
        ),
    ),
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
        Shape((_optional("ahead_us", COUNT, "How far the recorded time stands ahead of a clock set back."),)),
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
