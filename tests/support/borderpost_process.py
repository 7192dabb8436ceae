"""The real service for tests: the demo's process, and a small configuration to start it with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost.demo.children import free_port
from borderpost.demo.service_process import BorderpostProcess

__all__ = ["ENGINE", "BorderpostProcess", "merged", "small_config", "write_config"]

ENGINE = os.environ.get("BORDERPOST_TEST_ENGINE", "auto")
"""`server.engine` of every gateway under test: the same tests run on either engine (`make test-full`)."""


def small_config(ports: Mapping[str, tuple[str, int]], *, probe_s: float = 0.3) -> dict[str, Any]:
    """Return a configuration for regions given as id → (country, port), with the first one's country as `here`.

    Paths are relative, so everything lands beside the file. The admin port is a free one.
    """
    first_country = next(iter(ports.values()))[0]
    return {
        "here": {"country": first_country},
        "regions": {region: {"country": country} for region, (country, _port) in ports.items()},
        "region_defaults": {"retention": "same", "telemetry": "same"},
        "server": {"directory": "server"},
        "runtime": {"directory": "state"},
        "audit": {"directory": "audit", "log": "test.example/gateway"},
        "admin": {"port": free_port()},
        "ranking": {
            "probes": {
                region: {
                    "kind": "http",
                    "address": f"127.0.0.1:{port}",
                    "path": "/health",
                    "interval_s": probe_s,
                    "timeout_s": min(1.0, probe_s),
                    "healthy_after": 1,
                    "unhealthy_after": 1,
                }
                for region, (_country, port) in ports.items()
            }
        },
    }


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with these changes laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return result


def write_config(directory: Path, config: Mapping[str, Any]) -> Path:
    """Write the configuration as YAML (JSON is YAML) and return its path."""
    path = directory / "borderpost.yaml"
    path.write_text(json.dumps(config, indent=2))
    return path
