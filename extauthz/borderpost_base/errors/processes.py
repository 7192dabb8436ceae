"""Errors of area 06: workers and steward."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0601",
        "another instance uses this runtime directory",
        "A steward holds the lock of `server.directory`.",
        "Stop it, or give this instance a directory of its own.",
    ),
    ErrorSpec(
        "BP0602",
        "snapshot damaged",
        "A published snapshot is missing or does not match the digest that names it.",
        "The last good snapshot stays in force; check the disk that holds `server.directory`.",
    ),
    ErrorSpec(
        "BP0603",
        "worker keeps dying",
        "A worker process, or the limiter, ended several times within a short while of its start.",
        "See its own log lines above; the steward goes on restarting it with growing pauses.",
    ),
    ErrorSpec(
        "BP0604",
        "runtime directory unusable",
        "The directory for sockets and snapshots cannot be created or written.",
        "Create it with the right owner, or set `server.directory`.",
    ),
    ErrorSpec(
        "BP0605",
        "admin address unusable",
        "The host and port of `admin` cannot be bound.",
        "Free the port or set `admin.port`.",
    ),
    ErrorSpec(
        "BP0606",
        "list of legal events is not an extension of the one in force",
        "The list is append-only: leaving out or changing what was known would rewrite the past. That holds over "
        "restarts too, since the log knows what was in force.",
        "Put the event back. What is over ends by a `lift` in a signed list. To begin anew on purpose, start once with "
        "`borderpost serve --accept-older`, which the log then shows.",
    ),
    ErrorSpec(
        "BP0607",
        "worker not replaced",
        "The configuration changes what workers or the limiter are started with, and one did not get ready with it.",
        "The one before it serves on. See the log lines of the one that was to follow, mend, and reload again.",
    ),
    ErrorSpec(
        "BP0608",
        "only a restart can change this",
        "A reload changes keys that Envoy's configuration, this instance's place or its evidence hang on.",
        "Put them back and reload, or stop Borderpost and start it with the changed configuration.",
    ),
    ErrorSpec(
        "BP0609",
        "no gateway answers here",
        "Nobody holds `runtime.directory`, or the steward that does gives no outcome of the reload.",
        "Start `borderpost serve` with this configuration, or name the one that it was started with.",
    ),
    ErrorSpec(
        "BP0610",
        "pack older than one seen before",
        "The audit log shows that requests were decided by a newer edition of this pack (`as_of`, then `version`). "
        "Putting an older one in its place would bring law back that was known to have changed.",
        "Put the newer pack back; it is in force meanwhile. To go back on purpose, publish the older content "
        "with a new version and date, or start once with `borderpost serve --accept-older`, which the log then shows.",
    ),
    ErrorSpec(
        "BP0611",
        "GeoIP database older than one seen before",
        "The audit log shows that requests were decided by a database that was built later.",
        "Bring a database at least as new; the newer one is in force meanwhile. To go back on purpose, as to another "
        "publisher's, start once with `borderpost serve --accept-older`, which the log then shows.",
    ),
    ErrorSpec(
        "BP0612",
        "pack past its review date",
        "The pack's author promised it until its `review_by`, and nobody has read the law again since.",
        "Take the pack's newer edition, or read the law, mend the pack, and give it a new `as_of` and `review_by`.",
    ),
    ErrorSpec(
        "BP0613",
        "what the log decided by is missing",
        "The audit log names the law, the events and the GeoIP database that it last decided by, so that nothing older "
        "is taken afterwards. Their bytes belong in `inputs/` beside the log, and are missing, altered, or "
        "of a release that this one cannot read.",
        "Restore `inputs/` from a copy of the audit directory. Where what it held is known to be no newer than what is "
        "configured now, start once with `borderpost serve --accept-older`, which the log then shows.",
    ),
    ErrorSpec(
        "BP0614",
        "runtime directory of another release",
        "A worker found what a steward of another release wrote for its own workers. Both are to be of one release; "
        "most likely the installation was changed under a running gateway.",
        "The workers before it serve on. Install releases beside each other, and start each steward and its workers "
        "from one: docs/guide/upgrade.md.",
    ),
    ErrorSpec(
        "BP0620",
        "Redis out of reach",
        "The Redis or Valkey server cannot be connected to, does not let this gateway in, or answers with an "
        "error. What was last read stays in force; with `events.max_age_s` set, revocable bases end once it "
        "is too old.",
        "See the message for the reason. It is tried again by itself, at most every few seconds.",
    ),
    ErrorSpec(
        "BP0621",
        "stream is not the list of legal events",
        "The stream is missing, was trimmed, or holds entries that are no lines of the list. What was last "
        "read stays in force, and lines that go on from it are still taken.",
        "Restore the stream from a copy of the list (`borderpost events apply`), and remove entries that do not belong "
        "(XDEL). A list that has no line yet needs a heartbeat that says so.",
    ),
    ErrorSpec(
        "BP0622",
        "nobody vouches for the list of legal events any more",
        "The newest valid heartbeat is older than `events.max_age_s`: news of the law may be withheld. "
        "Revocable bases are refused until a newer one comes.",
        "See that heartbeats are signed (`borderpost events heartbeat`) and reach this gateway.",
    ),
)
