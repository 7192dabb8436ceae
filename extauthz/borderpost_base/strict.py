"""Strict pydantic models, and their errors told with line, key and the nearest known key."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from borderpost_base import limits
from borderpost_base.errors import NOWHERE, BorderpostError, Place, Problems
from borderpost_base.yaml_source import KeyPath, YamlDocument

__all__ = ["KeyPath", "StrictModel", "YamlDocument", "validate"]


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys; the base of configuration, policy and event files."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=False,
        str_strip_whitespace=False,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], document: YamlDocument, *, code_value: str = "BP0104") -> Model:
    """Build the model from a document.

    Raises Problems with one placed error for each mistake, of very many for the first.
    """
    data = document.data if document.data is not None else {}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        items = _without_echoes(error.errors())[: limits.PROBLEMS_MAX]
        raise Problems(_joined([_told(model, document, item, code_value) for item in items])) from error


def _without_echoes(items: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short where it is so only because an item of it is refused."""
    return [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(item["loc"]) and other["loc"][: len(item["loc"])] == item["loc"] for other in items
        )
    ]


def _joined(errors: list[BorderpostError]) -> list[BorderpostError]:
    """Join what the branches of a union said of one value into one error; the reader made one mistake."""
    by_place: dict[tuple[str, Place], list[BorderpostError]] = {}
    for error in errors:
        by_place.setdefault((error.code, error.place), []).append(error)
    joined = []
    for (code, place), same in by_place.items():
        details = list(dict.fromkeys(error.detail for error in same))
        joined.append(BorderpostError(code, "; or ".join(details), place=place, mend=same[0].mend))
    return joined


def _told(model: type[BaseModel], document: YamlDocument, item: Any, code_value: str) -> BorderpostError:
    kind = item["type"]
    path = _path_in(document, tuple(item["loc"]), keep_last=kind == "missing")
    place = document.place(path)
    if kind == "extra_forbidden":
        siblings = known_keys(model, tuple(item["loc"])[:-1])
        near = difflib.get_close_matches(str(path[-1]), siblings, n=1, cutoff=0.5)
        mend = f"did you mean `{near[0]}`?" if near else f"known keys here: {', '.join(sorted(siblings)) or 'none'}"
        return BorderpostError("BP0102", f"`{path[-1]}` is not known here", place=place, mend=mend)
    if kind == "missing":
        return BorderpostError("BP0103", f"`{item['loc'][-1]}` is required", place=place)
    context = item.get("ctx", {}).get("error")
    if isinstance(context, BorderpostError):
        where = context.place if context.place != NOWHERE else place
        return BorderpostError(context.code, context.detail, mend=context.mend, place=where)
    message = item["msg"].removeprefix("Value error, ")
    return BorderpostError(code_value, message[:1].lower() + message[1:], place=place)


def _path_in(document: YamlDocument, location: tuple[str | int, ...], *, keep_last: bool) -> KeyPath:
    """Keep of pydantic's location only the parts that exist in the document (it adds union branches).

    `keep_last` is for a missing key, which is not in the document and is what the error is about.
    """
    path: list[str | int] = []
    data = document.data
    for index, part in enumerate(location):
        in_mapping = isinstance(data, dict) and part in data
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_mapping or in_list:
            data = data[part]
            path.append(part)
        elif keep_last and index == len(location) - 1:
            path.append(part)
    return tuple(path)


@functools.lru_cache(maxsize=64)
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON Schema; making it takes as long as reading a small file."""
    return model.model_json_schema(by_alias=True)


def known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys known at a location, walking the model's JSON Schema (unions give all branches).

    Parts that the schema does not know, such as pydantic's names of union branches, are passed over.
    """
    schema = _schema_of(model)
    definitions = schema.get("$defs", {})
    level = schema_branches(schema, definitions)
    for part in location:
        level = [
            branch
            for node in level
            for child in schema_children(node, part)
            for branch in schema_branches(child, definitions)
        ] or level
    return sorted({key for node in level for key in node.get("properties", {})})


def schema_branches(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of a JSON Schema node as pydantic writes it, with references followed."""
    if "$ref" in node:
        return schema_branches(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    inner = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
    return [found for one in inner for found in schema_branches(one, definitions)] if inner else [node]


def schema_children(node: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    """Return the schemas of one part of a node (a branch): a key's, an entry's of a mapping, an item's of a list."""
    if isinstance(part, int):
        return [node["items"]] if isinstance(node.get("items"), dict) else []
    if part in node.get("properties", {}):
        return [node["properties"][part]]
    return schema_values(node)


def schema_values(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of the entries of a mapping whose keys are the reader's to choose."""
    free = [node["additionalProperties"]] if isinstance(node.get("additionalProperties"), dict) else []
    return [*free, *node.get("patternProperties", {}).values()]
