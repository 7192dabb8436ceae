"""What the stage is set with: five regions, the gateway's configuration, and where its files lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ISSUER = "https://id.demo.example/"
LOG = "demo.example/gateway"
EVENTS = "events.yaml"
LIST = "law.jsonl"
SIGNERS = ("legal", "security")
"""Who signs legal events on the stage: their keys are made when it is set."""
AUDIT = "audit"

REGIONS: Mapping[str, Mapping[str, Any]] = {
    "eu-central-1": {
        "country": "DE",
        "subdivision": "DE-HE",
        "operator": {"entity": "Example Cloud GmbH", "jurisdiction": "DE"},
    },
    "eu-west-1": {"country": "IE", "operator": {"entity": "Example Cloud Ltd", "jurisdiction": "IE"}},
    "us-east-1": {
        "country": "US",
        "subdivision": "US-VA",
        "operator": {"entity": "Example Cloud Inc.", "jurisdiction": "US", "certifications": ["apec-cbpr"]},
    },
    "me-central-1": {
        "country": "AE",
        "subdivision": "AE-DU",
        "operator": {"entity": "Example Cloud FZ", "jurisdiction": "AE"},
    },
    "ap-southeast-1": {"country": "SG", "operator": {"entity": "Example Cloud Pte", "jurisdiction": "SG"}},
}
"""Each region as the configuration describes it. None has contracts, so law alone decides among them; the one
certification lets Singapore's data reach the United States, and no more."""

_ORDER = ("eu-central-1", "eu-west-1", "us-east-1", "me-central-1", "ap-southeast-1")
_LATENCY_MS: Mapping[str, tuple[int, ...]] = {
    # from client area       to  DE   IE   US   AE   SG
    "DE": (8, 25, 95, 110, 165),
    "FR": (22, 15, 85, 105, 160),
    "GB": (24, 10, 80, 115, 170),
    "EU": (20, 30, 95, 110, 165),
    "US": (90, 75, 12, 200, 220),
    "AE": (105, 115, 190, 6, 85),
    "SG": (165, 175, 220, 85, 5),
    "IN": (125, 135, 200, 40, 60),
    "BR": (195, 180, 115, 280, 330),
    "*": (120, 130, 140, 150, 160),
}
"""Round figures of the kind that one measures between such places."""


def configuration(ports: Mapping[str, int], *, admin_port: int) -> dict[str, Any]:
    """Return the gateway's configuration. Paths are relative to the file."""
    return {
        "here": {"country": "DE", "subdivision": "DE-HE", "contracts": ["ae-contract", "sg-enforceable"]},
        "regions": {region: dict(spec) for region, spec in REGIONS.items()},
        "region_defaults": {"retention": "same", "telemetry": "same"},
        "policy": {"packs": ["starter"]},
        "tenants": {
            "clinic": {"classes": ["health"]},
            "press": {"classes": ["personal"], "trust_declared_class": True},
        },
        "events": {"file": EVENTS, "clock_error_ms": 0},  # all of it runs by one clock
        "ranking": {
            "latency_ms": {area: dict(zip(_ORDER, row, strict=True)) for area, row in _LATENCY_MS.items()},
            "probes": {region: _probe(port) for region, port in ports.items()},
        },
        "audit": {"directory": AUDIT, "log": LOG},
        "server": {"directory": "server", "workers": 2, "drain_s": 0.5},
        "runtime": {"directory": "state", "watch_s": 0.1},
        "admin": {"port": admin_port},
    }


def write_configuration(
    directory: Path, ports: Mapping[str, int], *, admin_port: int, more: Mapping[str, Any] | None = None
) -> Path:
    """Write the configuration, with `more` sections, and an events file without events; return the former's path."""
    write_events(directory, [])
    path = directory / "borderpost.yaml"
    sections = {**configuration(ports, admin_port=admin_port), **(more or {})}
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return path


def sign_events_instead(path: Path) -> None:
    """Have a configuration read a signed list, still empty, instead of the plain file; the keys lie beside it."""
    config = yaml.safe_load(path.read_text())
    config["events"] = {
        "file": LIST,
        "signers": {name: f"{name}.pub.pem" for name in SIGNERS},
        "clock_error_ms": 0,  # whoever writes events here and whoever reads them have one clock
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    (path.parent / LIST).touch()


def write_events(directory: Path, events: list[dict[str, Any]]) -> None:
    """Replace the events file by a rename, so that no reader ever sees half of it."""
    text = yaml.safe_dump({"apiVersion": "residency/v1", "kind": "LegalEvents", "events": events}, sort_keys=False)
    fresh = directory / f"{EVENTS}.new"
    fresh.write_text(text)
    fresh.rename(directory / EVENTS)


def _probe(port: int) -> dict[str, Any]:
    return {
        "kind": "http",
        "address": f"127.0.0.1:{port}",
        "path": "/health",
        "interval_s": 0.5,
        "timeout_s": 0.4,
        "healthy_after": 1,
        "unhealthy_after": 2,
    }
