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
        "A worker process ended several times within a short while of its start.",
        "See the worker's own log lines above; the steward goes on restarting it with growing pauses.",
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
        "events file is not an extension of the one in force",
        "The list of legal events is append-only: leaving out or changing what was known would rewrite the past.",
        "Put the event back. To end a suspension early, restart with the changed file: the log shows that act.",
    ),
    ErrorSpec(
        "BP0607",
        "worker not replaced",
        "The configuration changes what workers are started with, and a worker started with it did not get ready.",
        "The worker before it serves on. See the log lines of the one that was to follow, mend, and reload again.",
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
)
