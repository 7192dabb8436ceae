"""A Terraform or OpenTofu plan as `show -json` prints it: its resources, with what the configuration says of each.

    planned_values    what will be, by module; what is not known before apply is left out
    configuration     what was written: providers' regions, and which resource refers to which
    values            of a state in place of a plan; the same shape as planned_values

Source: developer.hashicorp.com/terraform/internals/json-format, format 1.x.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from borderpost.manifests.tree import Document, Node
from borderpost_base.errors import BorderpostError

_INDEX = re.compile(r"\[(?:\d+|\"(?:[^\"\\]|\\.)*\")\]")
_PROVIDERS = {"aws": "aws", "awscc": "aws", "azurerm": "azure", "azapi": "azure", "google": "gcp", "google-beta": "gcp"}
"""Clouds by the names of their providers."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a plan."""

    node: Node
    address: str
    type: str
    cloud: str | None
    """The cloud that it is of, by its name in `clouds.yaml`; None for any other provider's."""
    written: Node
    """Its block in the configuration; absent in a state."""

    @property
    def name(self) -> Node:
        """Return the line that names it: its address."""
        return self.node.get("address")

    @property
    def values(self) -> Node:
        """Return its attributes as they will be."""
        return self.node.get("values")

    @property
    def module(self) -> str:
        """Return the address of its module with the dot behind, empty for the root."""
        head, _, _ = _INDEX.sub("", self.address).rpartition(f"{self.type}.")
        return head

    @property
    def is_written(self) -> bool:
        """Say whether the configuration is at hand, which tells what was written from what is computed."""
        return isinstance(self.written.get("expressions").value, dict)

    def attributes(self) -> Iterator[tuple[str, Node]]:
        """Yield the attributes that were written; all where nobody can say which were."""
        written = self.written.get("expressions").value
        for name, node in self.values.items():
            if not isinstance(written, dict) or name in written:
                yield name, node

    def references(self) -> set[str]:
        """Return the addresses, without indexes, of resources that its block refers to."""
        found: set[str] = set()
        for node in self.written.get("expressions").texts():
            if "references" in node.path:
                parts = (node.text or "").split(".")
                if len(parts) >= 2 and parts[0] not in ("var", "local", "module", "data", "each", "count", "self"):
                    found.add(self.module + _INDEX.sub("", ".".join(parts[:2])))
        return found


def is_plan(document: Document) -> bool:
    """Say whether a document is a plan or a state in JSON."""
    data = document.data
    return isinstance(data, dict) and "format_version" in data and "terraform_version" in data


class Plan:
    """All resources of one plan."""

    def __init__(self, document: Document) -> None:
        """Raises BorderpostError BP1233 for a format that is not 1.x, or a document that has no values."""
        self._top = Node(document, (), document.data)
        version = self._top.get("format_version")
        root = self._top.get("planned_values", "root_module")
        if root.value is None:
            root = self._top.get("values", "root_module")
        if not (version.text or "").startswith(("0.", "1.")):
            raise BorderpostError("BP1233", f"format {version.text} is not read", place=version.place)
        if not isinstance(root.value, dict):
            raise BorderpostError("BP1233", "it has neither `planned_values` nor `values`", place=version.place)
        self._written = dict(self._blocks())
        self.resources = list(self._planned(root))
        self._by_address: dict[str, Resource] = {}
        for resource in self.resources:
            self._by_address.setdefault(_INDEX.sub("", resource.address), resource)

    def _planned(self, root: Node) -> Iterator[Resource]:
        waiting = [root]
        while waiting:
            module = waiting.pop()
            for node in module.below("resources"):
                address, type_ = node.get("address").text, node.get("type").text
                if address is None or type_ is None or node.get("mode").text == "data":
                    continue
                provider = (node.get("provider_name").text or "").rpartition("/")[2]
                written = self._written.get(_INDEX.sub("", address)) or self._top.get("configuration", "(none)")
                yield Resource(node, address, type_, _PROVIDERS.get(provider), written)
            waiting.extend(reversed(list(module.below("child_modules"))))

    def _blocks(self) -> Iterator[tuple[str, Node]]:
        """Yield each resource's block in the configuration by its address without indexes."""
        waiting = [("", self._top.get("configuration", "root_module"))]
        while waiting:
            prefix, module = waiting.pop()
            for node in module.below("resources"):
                yield f"{prefix}{node.get('address').text}", node
            for name, call in module.get("module_calls").items():
                waiting.append((f"{prefix}module.{name}.", call.get("module")))

    def referred(self, resource: Resource) -> Iterator[Resource]:
        """Yield the planned resources that a resource refers to."""
        for address in sorted(resource.references()):
            found = self._by_address.get(address)
            if found is not None:
                yield found

    def provider(self, resource: Resource) -> Node:
        """Return the configuration of a resource's provider; absent where nobody can say which it is."""
        providers = self._top.get("configuration", "provider_config")
        key = resource.written.get("provider_config_key").text
        name = (resource.node.get("provider_name").text or "").rpartition("/")[2]
        if key is not None:
            for known in (key, key.rpartition(":")[2]):
                if providers.get(known).value is not None:
                    return providers.get(known)
            return providers.get(key)
        same = [node for known, node in providers.items() if node.get("name").text == name or known == name]
        return same[0] if len(same) == 1 else providers.get("(none)")

    def expressed(self, node: Node) -> Any:
        """Return the value of a provider's expression: a constant, or a variable of the root module; None: unknown."""
        if node.get("constant_value").value is not None:
            return node.get("constant_value").value
        references = [part.text or "" for part in node.below("references")]
        if references and references[0].startswith("var."):
            name = references[0].removeprefix("var.").split(".")[0]
            return self._top.get("variables", name, "value").value
        return None
