"""Which fields Envoy's messages have: what in a message's JSON names none of them.

Envoy itself refuses unknown fields of its bootstrap; what passes through another program first, such as istiod, may be
dropped on the way instead. The descriptors are envoy-data-plane's, which is imported by the first question.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import re
import typing
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_PACKAGE = re.compile(r"(?P<package>(?:[a-z0-9_]+\.)+)(?P<name>[A-Z]\w*(?:\.[A-Z]\w*)*)\Z")
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_STRUCTS = frozenset({"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})


class UnknownField(NamedTuple):
    """A key of a message's JSON that is none of its fields."""

    path: tuple[str | int, ...]
    """Where it stands, from the outermost message."""
    message: str
    """The message, by the last part of its name."""
    nearest: str | None
    """The field most like it."""


@functools.cache
def envoy_types_known() -> bool:
    """Say whether the descriptors are installed."""
    return importlib.util.find_spec("envoy_data_plane") is not None


def unknown_fields(type_name: str, data: Any, path: tuple[str | int, ...] = ()) -> Iterator[UnknownField]:
    """Yield what in the JSON of a message, at whatever depth, is no field; nothing for a type that is not known.

    `type_name` is its full name, such as `envoy.config.cluster.v3.Cluster`; within, `@type` names it.
    """
    message = _message(type_name)
    if message is not None:
        yield from _in_message(message, data, path)


@functools.cache
def _message(type_name: str) -> type | None:
    """Return the class of a message by its full name; those of nested messages are joined without dots."""
    found = _PACKAGE.match(type_name)
    if found is None or not envoy_types_known():
        return None
    module = f"envoy_data_plane.{found['package'].rstrip('.')}"
    try:
        with warnings.catch_warnings():
            # envoy-data-plane declares its models in a way that pydantic has since deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None
    kind = getattr(loaded, found["name"].replace(".", ""), None)
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _in_message(message: type, data: Any, path: tuple[str | int, ...]) -> Iterator[UnknownField]:
    if not isinstance(data, dict):
        return
    if message.__module__.startswith("envoy_data_plane.google.protobuf"):  # whose JSON is not their fields
        if message.__name__ == "Any":
            yield from _in_any(data, path)
        return
    fields = _fields(message)
    for key, value in data.items():
        name = _CAMEL.sub(lambda letter: f"_{letter[1].lower()}", key)
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
            yield UnknownField((*path, key), message.__name__, near[0] if near else None)
        else:
            yield from _in_value(fields[name], value, (*path, key))


def _in_any(data: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[UnknownField]:
    url = data.get("@type")
    if not isinstance(url, str):
        return
    name = url.rpartition("/")[2]
    if name in _STRUCTS:
        inner = data.get("type_url", data.get("typeUrl"))
        if isinstance(inner, str):
            yield from unknown_fields(inner.rpartition("/")[2], data.get("value"), (*path, "value"))
        return
    yield from unknown_fields(name, {key: value for key, value in data.items() if key != "@type"}, path)


class _Field(NamedTuple):
    """What a field holds."""

    message: type | None
    """None: scalars."""
    is_map: bool


def _in_value(field: _Field, value: Any, path: tuple[str | int, ...]) -> Iterator[UnknownField]:
    """Look into the value of a field of messages: one, a list of them, or a map to them."""
    if field.message is None:
        return
    if field.is_map:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _in_message(field.message, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_message(field.message, item, (*path, index))
    else:
        yield from _in_message(field.message, value, path)


@functools.cache
def _fields(message: type) -> dict[str, _Field]:
    """Return the fields of a message by proto name; Python's keywords have an underscore after them there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # modules that a hint names are imported here
        hints = typing.get_type_hints(message)
    return {
        field.name.rstrip("_"): _Field(_held(hints[field.name]), typing.get_origin(hints[field.name]) is dict)
        for field in dataclasses.fields(message)
    }


def _held(hint: Any) -> type | None:
    """Return the message somewhere in a type hint."""
    for kind in (hint, *_parts(hint)):
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return kind
    return None


def _parts(hint: Any) -> Iterator[Any]:
    for part in typing.get_args(hint):
        yield part
        yield from _parts(part)
