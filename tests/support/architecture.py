"""Which part of the product may import which: what `test_tidy.py` holds the sources to."""

from __future__ import annotations

ARROWS: dict[str, set[str]] = {
    # package or module: what of ours it may import besides itself; the longest prefix that fits counts
    "borderpost_base": set(),
    "borderpost_wire": set(),
    "borderpost_proto": set(),
    "borderpost_ratelimit": {"borderpost_base", "borderpost_proto", "borderpost_wire"},
    "borderpost.version": set(),
    "borderpost.policy": {
        "borderpost_base.errors",
        "borderpost_base.limits",
        "borderpost_base.memo",
        "borderpost_base.names",
        "borderpost_base.strict",
        "borderpost_base.yaml_source",
    },
    "borderpost.geoip": {"borderpost_base"},
    "borderpost.facts": {"borderpost_base", "borderpost.policy", "borderpost.geoip"},
    "borderpost.payload": {"borderpost_base", "borderpost.facts.headers"},
    "borderpost.regions": {"borderpost_base", "borderpost.policy"},
    "borderpost.yaml_layout": {"borderpost_base"},
    "borderpost.proof": {"borderpost_base", "borderpost.policy", "borderpost.facts", "borderpost.geoip"},
    "borderpost.reports": {"borderpost_base.errors", "borderpost.version"},
    "borderpost.manifests": {"borderpost_base", "borderpost.policy", "borderpost.reports"},
    "borderpost.rego": {"borderpost.policy"},
    "borderpost.audit": {"borderpost_base", "borderpost.policy", "borderpost.version"},
    "borderpost.events": {
        "borderpost_base",
        "borderpost.policy",
        "borderpost.audit.profile",
        "borderpost.audit.segment",
    },
    "borderpost.config": {
        "borderpost_base",
        "borderpost.events",
        "borderpost.policy",
        "borderpost.facts",
        "borderpost.geoip",
        "borderpost.payload",
        "borderpost.regions",
        "borderpost.audit",
        "borderpost_ratelimit.config",
        "borderpost_wire.callers",
        "borderpost_wire.errors",
    },
}
"""The parts at the bottom, one by one. What stands above them is in `LEVELS`."""

LEVELS: tuple[tuple[str, ...], ...] = (
    (
        "borderpost.answers",
        "borderpost.body_mode",
        "borderpost.catalog",
        "borderpost.clock_error",
        "borderpost.engine_identity",
        "borderpost.event_memory",
        "borderpost.events_redis",
        "borderpost.events_stream",
        "borderpost.feed_streams",
        "borderpost.freshness",
        "borderpost.geoip_parts",
        "borderpost.health",
        "borderpost.law_book",
        "borderpost.listening",
        "borderpost.recognition",
        "borderpost.redis_link",
        "borderpost.requests",
        "borderpost.runtime_directory",
        "borderpost.seen",
        "borderpost.snapshots",
        "borderpost.watch",
    ),
    (
        "borderpost.decision",
        "borderpost.decision_record",
        "borderpost.lawful_answer",
        "borderpost.recorded_decision",
        "borderpost.remembered_law",
        "borderpost.shadow",
        "borderpost.shared_fields",
        "borderpost.worker_settings",
    ),
    ("borderpost.counters", "borderpost.live", "borderpost.observation", "borderpost.record_keeper"),
    ("borderpost.entrance",),
    ("borderpost.observer", "borderpost.processor", "borderpost.outcomes"),
    ("borderpost.descriptors",),
    ("borderpost.foresight",),
    ("borderpost.anonymiser_files", "borderpost.reviews", "borderpost.rollback", "borderpost.uptake"),
    ("borderpost.certificates", "borderpost.law_watch", "borderpost.renewal"),
    ("borderpost.feeds",),
    ("borderpost.limiter",),
    ("borderpost.worker", "borderpost.steward", "borderpost.supervisor", "borderpost.publication", "borderpost.admin"),
    ("borderpost_envoy",),
    ("borderpost_istio",),
    ("borderpost.demo",),
    ("borderpost_bench",),
    ("borderpost.cli",),
)
"""From the bottom up: a level may import what is in it and below it, and all of `ARROWS`."""

BESIDE: dict[str, set[str]] = {
    "borderpost_envoy": {
        "borderpost_base",
        "borderpost_ratelimit.rules",
        "borderpost.config",
        "borderpost.manifests.tree",
        "borderpost.policy",
        "borderpost.reports",
    },
    "borderpost_istio": {
        "borderpost_base",
        "borderpost_envoy",
        "borderpost.config",
        "borderpost.manifests.objects",
        "borderpost.manifests.reading",
        "borderpost.manifests.tree",
        "borderpost.policy",
        "borderpost.reports",
    },
    "borderpost_bench": {
        "borderpost_base",
        "borderpost_envoy",
        "borderpost_proto",
        "borderpost_ratelimit",
        "borderpost_wire",
        "borderpost.answers",
        "borderpost.audit.reader",
        "borderpost.audit.record",
        "borderpost.catalog",
        "borderpost.config",
        "borderpost.decision",
        "borderpost.demo",
        "borderpost.events",
        "borderpost.events_redis",
        "borderpost.geoip",
        "borderpost.lawful_answer",
        "borderpost.payload",
        "borderpost.policy",
        "borderpost.recognition",
        "borderpost.regions.signals",
        "borderpost.requests",
    },
}
"""What stands beside the serving processes, and the little of the product that it may import."""

PURE = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "difflib", "enum", "functools", "graphlib",
    "hashlib", "importlib.resources", "itertools", "json", "operator", "orjson", "pydantic", "pydantic_core", "re",
    "string", "types", "typing", "unicodedata",
}  # fmt: skip
"""What `borderpost.policy` may import from outside: nothing that reads a clock, a disk or a socket."""

HEAVY = {"envoy_data_plane", "betterproto2"}
"""Never on the serve path: half a second and 40 MiB."""
