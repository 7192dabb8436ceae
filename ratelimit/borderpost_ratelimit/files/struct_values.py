"""A rule's metadata: arbitrary data that must be fit for a protobuf Struct."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from borderpost_base.errors import BorderpostError
from borderpost_base.yaml_source import KeyPath, YamlDocument
from borderpost_ratelimit.files.go_scalars import go_scalar


def struct_of(
    document: YamlDocument, data: Any, path: KeyPath, errors: list[BorderpostError]
) -> Mapping[str, object] | None:
    """Return metadata as envoyproxy/ratelimit reads it; None where there is none, or none that can be (`errors`)."""
    if data is None or data == {}:
        return None
    if not isinstance(data, dict):
        errors.append(BorderpostError("BP1611", "`metadata` is a mapping", place=document.place(path)))
        return None
    found = _value(document, data, path, errors)
    return found if isinstance(found, dict) else None


def _value(document: YamlDocument, data: Any, path: KeyPath, errors: list[BorderpostError]) -> object:
    if isinstance(data, dict):
        built: dict[str, object] = {}
        for key, item in data.items():
            value = _value(document, item, (*path, key), errors)
            if key != "<<":
                built[key] = value
                continue
            layers = value[::-1] if isinstance(value, list) else [value]
            for layer in layers:
                if isinstance(layer, dict):
                    built.update(layer)
                else:
                    place = document.place((*path, key))
                    errors.append(BorderpostError("BP1611", "`<<` merges mappings", place=place))
        return built
    if isinstance(data, list):
        return [_value(document, item, (*path, index), errors) for index, item in enumerate(data)]
    text = document.plain.get(path)
    meaning = str(data) if text is None else go_scalar(text)
    if isinstance(meaning, float) and not math.isfinite(meaning):
        errors.append(BorderpostError("BP1611", f"`{text}` is no finite number", place=document.place(path)))
    return meaning
