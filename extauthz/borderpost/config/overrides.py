"""Flags over `BORDERPOST_…` variables over the file: what was set outside the file, laid over it.

`BORDERPOST_SERVER__WORKERS=2` sets `server.workers`: two underscores part the levels. An entry of a mapping that
the file names (`regions`, `tenants`) is found by its name with `-` and `.` written as `_` and in any case; a
variable changes such an entry and does not add one. A value is read as YAML, so `[a, b]` is a list. A variable
that fits no key is an error: what somebody set and Borderpost does not know would be a silent gap.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from borderpost.config.keys import config_keys
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import schema_branches, schema_children, schema_values
from borderpost_base.variables import PREFIX, VARIABLES
from borderpost_base.yaml_source import KeyPath, YamlDocument, load_yaml

_SERVICE_LINK = re.compile(
    rf"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$|^{PREFIX}PORT$"
)
"""Variables by which Kubernetes tells a container of each Service (Docker's links, as its documentation calls them)."""


def apply_variables(
    document: YamlDocument, model: type[BaseModel], environ: Mapping[str, str]
) -> list[BorderpostError]:
    """Lay the variables over the document; return what was wrong with them (BP0101, BP0104, BP0107)."""
    names = sorted(name for name in environ if name.startswith(PREFIX) and name not in VARIABLES)
    schema = model.model_json_schema(by_alias=True) if names else {}
    problems = []
    for name in names:
        try:
            path = _path_of(name, schema, document.data)
            if path is None:
                raise _unknown(name, model)
            document.override(path, _value(environ[name], name), name)
        except BorderpostError as error:
            problems.append(error)
    return problems


def apply_flags(document: YamlDocument, overrides: Mapping[str, str]) -> list[BorderpostError]:
    """Lay the flags (`server.workers` → `2`) over the document; return what was wrong with them."""
    problems = []
    for key, text in overrides.items():
        name = f"--set {key}"
        try:
            document.override(tuple(key.split(".")), _value(text, name), name)
        except BorderpostError as error:
            problems.append(error)
    return problems


def _value(text: str, name: str) -> Any:
    return load_yaml(text.encode("utf-8", "surrogateescape"), name).data


def _path_of(name: str, schema: dict[str, Any], data: Any) -> KeyPath | None:
    """Return the key path that a variable names, or None."""
    definitions = schema.get("$defs", {})
    level, path = schema_branches(schema, definitions), list[str]()
    for segment in name.removeprefix(PREFIX).split("__"):
        known = next((key for node in level for key in node.get("properties", {}) if key.upper() == segment), None)
        if known is None and any(schema_values(node) for node in level):
            known = _entry(segment, data)
        if known is None:
            return None
        path.append(known)
        children = [child for node in level for child in schema_children(node, known)]
        level = [branch for child in children for branch in schema_branches(child, definitions)]
        data = data.get(known) if isinstance(data, dict) else None
    return tuple(path)


def _entry(segment: str, data: Any) -> str | None:
    """Return the one entry of a mapping whose name is written like this in a variable."""
    if not isinstance(data, dict):
        return None
    fitting = [key for key in data if key.upper().replace("-", "_").replace(".", "_") == segment.upper()]
    return fitting[0] if len(fitting) == 1 else None


def _unknown(name: str, model: type[BaseModel]) -> BorderpostError:
    if _SERVICE_LINK.search(name):
        link = "Kubernetes sets it for a Service with such a name: set `enableServiceLinks: false` in the pod."
        return BorderpostError("BP0107", f"`{name}` sets nothing", place=Place(name), mend=link)
    known = [key.variable for key in config_keys(model) if key.variable and "<" not in key.variable]
    near = difflib.get_close_matches(name, [*known, *VARIABLES], n=1, cutoff=0.6)
    mend = f"did you mean `{near[0]}`?" if near else None
    return BorderpostError("BP0107", f"`{name}` sets nothing", place=Place(name), mend=mend)
