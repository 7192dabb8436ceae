"""Every key of the configuration as a flat list, read off the models' JSON Schema.

The reference page, `borderpost help --variables`, the check of `BORDERPOST_…` variables and shell completion
are all made from it. In a key path `<name>` stands for a name of the reader's choosing, `[]` for a list's items.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from borderpost_base.strict import schema_branches, schema_values
from borderpost_base.variables import PREFIX

NAME = "<name>"
ITEM = "[]"

_DEPTH_MAX = 12
_FORMATS = {"path": "path", "date-time": "date and time", "date": "date"}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key that a configuration file may hold."""

    path: tuple[str, ...]
    kind: str
    """What goes there, in the reader's words: `integer`, `one of unix, tcp`, `mapping`."""
    required: bool
    default: str | None
    """The default as YAML, or None where there is none (a required key, or a section)."""
    description: str
    """The docstring of the field, or else of its model (JSON Schema keeps one where the two agree), on one line."""

    @property
    def dotted(self) -> str:
        """Return the key as people write it: `regions.<name>.cluster`, `policy.packs[]`."""
        return ".".join(self.path).replace(f".{ITEM}", ITEM)

    @property
    def variable(self) -> str | None:
        """Return the environment variable that sets it; None for the items of a list, set as a whole."""
        if ITEM in self.path:
            return None
        return PREFIX + "__".join(part if part == NAME else part.upper() for part in self.path)


def config_keys(model: type[BaseModel]) -> list[ConfigKey]:
    """Return every key of a model and of the models in it, parents before children."""
    schema = model.model_json_schema(by_alias=True)
    return list(dict.fromkeys(_walk(schema, schema.get("$defs", {}), ())))


def _walk(node: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]) -> Iterator[ConfigKey]:
    if len(path) > _DEPTH_MAX:
        return
    for branch in schema_branches(node, definitions):
        required = branch.get("required", [])
        for name, child in branch.get("properties", {}).items():
            inner = (*path, name)
            yield _key(inner, child, definitions, name in required)
            yield from _walk(child, definitions, inner)
        for child in schema_values(branch):
            yield from _walk(child, definitions, (*path, NAME))
        if isinstance(branch.get("items"), dict):
            yield from _walk(branch["items"], definitions, (*path, ITEM))


def _key(path: tuple[str, ...], node: dict[str, Any], definitions: dict[str, Any], required: bool) -> ConfigKey:
    default = None
    if not required and "default" in node and not isinstance(node["default"], dict):
        default = json.dumps(node["default"], ensure_ascii=False)
    told = node.get("description") or schema_branches(node, definitions)[0].get("description", "")
    description = " ".join(told.split())
    return ConfigKey(path, _kind(node, definitions), required, default, description)


def _kind(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in the reader's words what a schema node accepts."""
    kinds = [_one_kind(branch, definitions) for branch in schema_branches(node, definitions)]
    return " or ".join(dict.fromkeys(kinds))


def _one_kind(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "enum" in node:
        return "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    kind = str(node.get("type"))
    if kind == "array":
        items = node.get("items")
        return f"list of {_kind(items, definitions)}" if isinstance(items, dict) else "list"
    if kind == "object":
        return "mapping"
    if kind in {"integer", "number"}:
        return kind + _bounds(node)
    if kind == "string":
        return _FORMATS.get(str(node.get("format")), "text")
    named = {"boolean": "`true` or `false`", "null": "`null`"}
    return named.get(kind, "any value")


def _bounds(node: dict[str, Any]) -> str:
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f" {low} to {high}"
    if low is not None:
        return f" {'above' if 'exclusiveMinimum' in node else 'from'} {low}"
    return f" up to {high}" if high is not None else ""
