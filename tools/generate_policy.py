"""Fill the parts of docs/reference/policy.md that are made from the models of packs, sections and events.

The rest of the page, the rules, is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from parts import filled

from borderpost.config.keys import ConfigKey, config_keys
from borderpost.config.model import Config
from borderpost.policy import event_schema
from borderpost.policy.event_schema import EventScope, EventsFile, EventType
from borderpost.policy.pack import PolicyPack, Rules

PAGE = Path("docs/reference/policy.md")
SECTIONS = ("here", "sinks", "regions", "region_defaults", "policy", "evidence", "tenants", "routes")
"""Sections of the configuration that the law is made from, in the order in which people read them."""


def generate(root: Path) -> dict[Path, bytes]:
    """Return the page with its parts brought up to date: {path relative to the repository: content}."""
    return filled(root, PAGE, {"packs": _packs, "sections": _sections, "events": _events})


def _packs() -> list[str]:
    told = "A pack is one YAML file: what laws of some kind say, each sentence with its source and its date."
    return ["## A pack file", "", told, "", *_table(config_keys(PolicyPack))]


def _sections() -> list[str]:
    told = "The part of [the configuration](configuration.md) that makes law; written as there."
    lines = ["## Sections of the configuration", "", told, ""]
    keys = config_keys(Config)
    for section in SECTIONS:
        inside = [key for key in keys if key.path[0] == section]
        lines += [f"### `{section}`", "", inside[0].description, ""]
        own = [key for key in inside[1:] if section != "policy" or key.path[1] not in Rules.model_fields]
        lines += _table(own)
        if section == "policy":
            shared = ", ".join(f"`{name}`" for name in Rules.model_fields)
            lines += [f"Besides {shared}, as in a pack file.", ""]
    return lines


def _events() -> list[str]:
    lines = [
        "## Legal events",
        "",
        "One YAML file, or the signed list that a fleet shares. `*` is a part of the scope that the type must have.",
        "",
    ]
    rows = []
    for kind in get_args(EventType):
        needed, allowed = (
            event_schema._NEEDED.get(kind, ()),
            event_schema._ALLOWED.get(kind, tuple(EventScope.model_fields)),
        )
        scope = ", ".join(f"`{name}`{'*' if name in needed else ''}" for name in allowed)
        signatures = str(event_schema.SIGNATURES_TO_WIDEN) if kind in event_schema.WIDENING else "1"
        rows.append((f"`{kind}`", "widens" if kind in event_schema.WIDENING else "narrows", signatures, scope))
    lines += ["| type | what it does | signatures | scope |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return [*lines, "", *_table(config_keys(EventsFile))]


def _table(keys: Iterable[ConfigKey]) -> list[str]:
    """Return the keys as rows, with what goes there, the default and the reason for it."""
    rows = [
        (
            f"`{key.dotted}`",
            key.kind,
            "required" if key.required else f"`{key.default}`" if key.default else "",
            key.description,
        )
        for key in keys
    ]
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return [*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') or ' ' for cell in row)} |" for row in rows), ""]
