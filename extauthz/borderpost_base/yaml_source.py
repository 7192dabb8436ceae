"""YAML by the 1.2 rules, with the place of every key and value.

PyYAML's scanner builds the nodes; this module resolves the scalars itself by the YAML 1.2 core schema,
so that `NO` is Norway and `012` is twelve, refuses duplicate keys, and bounds size, depth and alias
expansion. `YamlDocument.place` answers where a key path stands in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

KeyPath = tuple[str | int, ...]

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class YamlDocument:
    """Plain data and where each part of it stands."""

    file: str
    """Name to show in errors; not necessarily a path."""
    data: Any
    """dict, list, str, int, float, bool or None, nested."""
    lines: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    """Key path to (line, column) of its key (or item), from 1."""
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    """Key path to the name of the flag or variable that set it, instead of the file."""
    plain: dict[KeyPath, str] = field(default_factory=dict)
    """Key path to the text of each unquoted scalar, where asked for: for formats with other rules of what it means."""

    def place(self, path: KeyPath) -> Place:
        """Return the place of a key path, or of its nearest ancestor that exists in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return Place(self.overrides[path[:length]], key=dotted(path))
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line, column = self.lines.get(known, (1, 1))
        return Place(self.file, line, column, dotted(path) or None)

    def override(self, path: KeyPath, value: Any, name: str) -> None:
        """Set a value over the file's; errors about it will name `name` as their place.

        Raises BorderpostError BP0104 where the path leads through something that is no mapping.
        """
        if self.data is None:
            self.data = {}
        at = self.data
        for part in path[:-1]:
            if isinstance(at, dict) and at.get(part) is None:
                at[part] = {}
            at = at[part] if isinstance(at, dict) else None
        if not isinstance(at, dict):
            detail = f"`{dotted(path[:-1])}` does not lead through mappings, so nothing can be set in it"
            raise BorderpostError("BP0104", detail, place=Place(name, key=dotted(path)))
        at[path[-1]] = value
        self.overrides[path] = name


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: `regions.eu-1.probe`, `regimes[0].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def load_yaml_file(path: Path) -> YamlDocument:
    """Read and parse a file. Raises BorderpostError BP0003, BP0101, BP0105 or BP0106."""
    try:
        with path.open("rb") as handle:
            raw = handle.read(limits.YAML_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError("BP0003", f"{path}: {error.strerror}", place=Place(str(path))) from error
    return load_yaml(raw, str(path))


def load_yaml(raw: bytes, file: str) -> YamlDocument:
    """Parse one YAML document. Raises BorderpostError BP0101, BP0105 or BP0106."""
    return _load(raw, file, lambda text: [yaml.compose(text, Loader=yaml.CSafeLoader)])[0]


def load_yaml_documents(raw: bytes, file: str, *, keep_plain: bool = False) -> list[YamlDocument]:
    """Parse a file of any number of YAML documents, empty ones among them; the bounds are the whole file's.

    `keep_plain` fills `YamlDocument.plain`. Raises BorderpostError BP0101, BP0105 or BP0106.
    """
    return _load(raw, file, lambda text: yaml.compose_all(text, Loader=yaml.CSafeLoader), keep_plain=keep_plain)


def _load(
    raw: bytes, file: str, compose: Callable[[str], Iterable[yaml.Node | None]], *, keep_plain: bool = False
) -> list[YamlDocument]:
    if len(raw) > limits.YAML_BYTES_MAX:
        line = raw.count(b"\n", 0, limits.YAML_BYTES_MAX) + 1
        raise BorderpostError("BP0106", f"more than {limits.YAML_BYTES_MAX} bytes", place=Place(file, line))
    try:
        text = raw.decode("utf-8-sig")
        _screen(text, file)
        nodes = list(compose(text))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BorderpostError("BP0101", "not UTF-8", place=Place(file, line)) from error
    except yaml.MarkedYAMLError as error:
        place = _mark_place(file, error.problem_mark or error.context_mark)
        raise BorderpostError("BP0101", error.problem or "cannot be parsed", place=place) from error
    except yaml.reader.ReaderError as error:
        place = Place(file, text.encode().count(b"\n", 0, error.position) + 1)  # libyaml counts bytes
        raise BorderpostError("BP0101", f"the character {error.character:#06x} is not allowed", place=place) from error
    except yaml.YAMLError as error:
        raise BorderpostError("BP0101", " ".join(str(error).split()), place=Place(file)) from error
    documents = []
    built = 0
    for node in nodes:
        document = YamlDocument(file, None)
        if node is not None:
            builder = _Builder(document, built, keep_plain)
            document.data = builder.build(node, (), 0)
            built = builder.nodes
        documents.append(document)
    return documents


def _screen(text: str, file: str) -> None:
    """Refuse what the composer must not see: nesting beyond the bound (it recurses) and explicit tags.

    A tag (`!!str`, `!!python/object`) would change a value's type behind the reader's back.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        tag = getattr(event, "tag", None)
        if tag is not None:
            detail = f"the tag `{tag}` is not supported; quote a value to make it text"
            raise BorderpostError("BP0101", detail, place=_mark_place(file, event.start_mark))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limits.YAML_DEPTH_MAX:
                detail = f"nested deeper than {limits.YAML_DEPTH_MAX} levels"
                raise BorderpostError("BP0106", detail, place=_mark_place(file, event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _mark_place(file: str, mark: Any) -> Place:
    """Return the place of a scanner's mark, which the C parser leaves out for some errors."""
    return Place(file) if mark is None else Place(file, mark.line + 1, mark.column + 1)


class _Builder:
    """Turns nodes into data, counting nodes so that aliases cannot expand without bound."""

    def __init__(self, document: YamlDocument, nodes: int, keep_plain: bool) -> None:
        self._document = document
        self._keep_plain = keep_plain
        self.nodes = nodes
        """How many there are, those of earlier documents of the file included."""

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        """Return the node's data and note the places below it."""
        self.nodes += 1
        if self.nodes > limits.YAML_NODES_MAX or depth > limits.YAML_DEPTH_MAX:
            raise BorderpostError("BP0106", "anchors expand beyond the bound", place=self._at(node, path))
        self._document.lines.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        raise BorderpostError("BP0101", "unknown kind of node", place=self._at(node, path))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise BorderpostError("BP0101", "a key must be plain text", place=self._at(key_node, path))
            key = key_node.value
            if key in built:
                raise BorderpostError(
                    "BP0105", f"`{key}` stands here a second time", place=self._at(key_node, (*path, key))
                )
            self._document.lines[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            built[key] = self.build(value_node, (*path, key), depth + 1)
        return built

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text: str = node.value
        if node.style:  # quoted or block: a string, whatever it looks like
            return text
        if self._keep_plain:
            self._document.plain[path] = text
        if len(text) > limits.YAML_INTEGER_DIGITS_MAX and _INT.fullmatch(text):
            detail = f"a number of more than {limits.YAML_INTEGER_DIGITS_MAX} digits"
            raise BorderpostError("BP0104", detail, place=self._at(node, path))
        return resolved_scalar(text)

    def _at(self, node: yaml.Node, path: KeyPath) -> Place:
        return Place(self._document.file, node.start_mark.line + 1, node.start_mark.column + 1, dotted(path) or None)


def resolved_scalar(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means by the YAML 1.2 core schema; an integer has at most YAML_INTEGER_DIGITS_MAX
    digits."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def walk_paths(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield every key path of plain data, parents before children."""
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk_paths(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk_paths(value, (*path, index))
