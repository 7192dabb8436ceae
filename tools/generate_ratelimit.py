"""Fill the parts of docs/guide/ratelimit-operate.md that are made from the registries: metrics and keys."""

from __future__ import annotations

from pathlib import Path

from generate_reference import table
from parts import filled

from borderpost.config.keys import ConfigKey, config_keys
from borderpost.config.model import Config
from borderpost_base.metrics import METRICS, PREFIX

PAGE = Path("docs/guide/ratelimit-operate.md")


def generate(root: Path) -> dict[Path, bytes]:
    """Return the page with its parts brought up to date: {path relative to the repository: content}."""
    return filled(root, PAGE, {"metrics": _metrics, "keys": _keys})


def _metrics() -> list[str]:
    specs = [spec for spec in METRICS.values() if spec.name.startswith(f"{PREFIX}limiter_")]
    rows = [(f"`{spec.name}`", ", ".join(f"`{label}`" for label in spec.labels), spec.help) for spec in specs]
    return table(("Metric", "Labels", "Meaning"), rows)


def _keys() -> list[str]:
    inside = [key for key in config_keys(Config) if key.path[0] == "limiter" and len(key.path) > 1]
    return table(("Key", "Default", "Meaning"), [(f"`{key.dotted}`", _default(key), _first(key)) for key in inside])


def _default(key: ConfigKey) -> str:
    return "required" if key.required else f"`{key.default}`" if key.default is not None else ""


def _first(key: ConfigKey) -> str:
    """Return the first sentence of a key's description; the reference has the others."""
    first, stop, _ = key.description.partition(". ")
    return first + stop.rstrip()
