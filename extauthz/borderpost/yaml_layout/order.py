"""Keys in the order of the models, and codes of groups in the order of the alphabet.

What a file's model is comes as its JSON Schema. Keys that it does not know stay behind the others, as they were; names
of the reader's choosing (regions, groups, tenants) keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from borderpost.yaml_layout.tree import Document, Node
from borderpost_base.strict import schema_branches, schema_children

Schema = dict[str, Any]

_FIRST: Final[Mapping[str, tuple[str, ...]]] = {
    "PolicyPack": ("apiVersion", "kind", "metadata"),
    "PolicySection": ("packs", "mode", "no_regime", "processors", "review_grace_days"),
    "Regime": (
        "id", "title", "kind", "source", "as_of", "confidence", "note", "from", "until", "applies_when", "default",
        "basis", "counters",
    ),
    "AllowEntry": ("to", "basis", "from", "until", "require", "below", "except_data", "only_in", "revocable"),
    "DenyEntry": ("to", "operator_in", "basis", "from", "until", "data", "unless", "above"),
}  # fmt: skip
"""Keys that people look for first, by model, where that is not the order of its fields: what a model shares with
another comes before what is its own."""

_GROUPS: Final = "groups"
_MEMBERS: Final = ("all_of", "plus", "minus")


def order_keys(document: Document, schema: Schema) -> None:
    """Put the keys of a document in order. One that refers to itself (`*name`) is left as it is."""
    if document.root is not None and not document.has_anchors:
        _order(document.root.value, [schema], schema.get("$defs", {}))


def _order(node: Node, level: list[Schema], definitions: Schema) -> None:
    branches = [branch for one in level for branch in schema_branches(one, definitions)]
    if node.kind == "mapping":
        known: dict[str, None] = {}
        for branch in branches:
            properties = branch.get("properties", {})
            known |= dict.fromkeys(name for name in _FIRST.get(branch.get("title", ""), ()) if name in properties)
            known |= dict.fromkeys(properties)
        rank = {name: number for number, name in enumerate(known)}
        node.entries.sort(key=lambda entry: rank.get(entry.key.text if entry.key else "", len(rank)))
    for entry in node.entries:
        part: str | int = 0 if entry.key is None else entry.key.text
        _order(entry.value, [child for branch in branches for child in schema_children(branch, part)], definitions)


def sort_codes(document: Document) -> None:
    """Sort the codes of every group: the law is the same, the digest of the policy is not.

    A document that refers to itself (`*name`) is left as it is.
    """
    if document.root is not None and not document.has_anchors:
        for sequence in _code_lists(document.root.value):
            sequence.entries.sort(key=lambda entry: entry.value.text)


def _code_lists(node: Node) -> Iterator[Node]:
    for entry in node.entries:
        if entry.key is None or entry.key.text != _GROUPS or entry.value.kind != "mapping":
            yield from _code_lists(entry.value)
            continue
        for group in entry.value.entries:
            inner = [each.value for each in group.value.entries if each.key is not None and each.key.text in _MEMBERS]
            yield from (one for one in (group.value, *inner) if _is_plain_list(one))


def _is_plain_list(node: Node) -> bool:
    return node.kind == "sequence" and all(entry.value.kind == "scalar" for entry in node.entries)


def codes_sorted(data: Any) -> Any:
    """Return plain data with the codes of every group sorted: what `sort_codes` must not change."""
    if isinstance(data, list):
        return [codes_sorted(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: _groups_sorted(value) if key == _GROUPS else codes_sorted(value) for key, value in data.items()}


def _groups_sorted(groups: Any) -> Any:
    if not isinstance(groups, dict):
        return codes_sorted(groups)
    return {
        name: {key: _sorted(value) if key in _MEMBERS else value for key, value in group.items()}
        if isinstance(group, dict)
        else _sorted(group)
        for name, group in groups.items()
    }


def _sorted(codes: Any) -> Any:
    return sorted(codes, key=repr) if isinstance(codes, list) else codes
