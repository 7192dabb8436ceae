"""Make the chart's README and values schema from its commented values.yaml, and keep its appVersion.

In values.yaml the comment lines above a key describe it. A last line `schema: {…}` among them narrows the JSON Schema
that the default implies. A mapping whose keys have comments is a section; any other mapping is one value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from borderpost.version import __version__

CHART = Path("istio/chart/borderpost")

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_INTRODUCTION = """\
<!-- Made by `make generate` from values.yaml; edit that instead. -->

# {name}

{description}

Version {version}, product {app_version}, Kubernetes {kube_version}. The guide's page
[Kubernetes](../../../docs/guide/kubernetes.md) goes through an installation step by step.

```text
helm install borderpost istio/chart/borderpost --namespace istio-ingress \\
    --set image.repository=registry.example.com/borderpost --set image.digest=sha256:… \\
    --set-file config=borderpost.yaml
borderpost render istio --config borderpost.yaml > istio.yaml
kubectl diff --server-side --filename istio.yaml
kubectl apply --server-side --filename istio.yaml
```

The configuration is one text, the same that `borderpost check-config` and `borderpost render istio` read. The chart
reads paths, workers, the admin address and the log's name from it, and refuses with a sentence what would not fit the
pod.
"""


@dataclass(frozen=True, slots=True)
class Value:
    """One key of values.yaml."""

    path: tuple[str, ...]
    description: str
    default: Any
    schema: dict[str, Any]


class UndocumentedValue(ValueError):
    """A key of values.yaml without a comment, or with a `schema:` line that is none."""


def generate(root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}. Raises UndocumentedValue."""
    values = read_values((root / CHART / "values.yaml").read_text(encoding="utf-8"))
    chart = (root / CHART / "Chart.yaml").read_text(encoding="utf-8")
    chart = re.sub(r"(?m)^appVersion: .*$", f'appVersion: "{__version__}"', chart)
    return {
        CHART / "Chart.yaml": chart.encode(),
        CHART / "values.schema.json": (json.dumps(schema_of(values), indent=2) + "\n").encode(),
        CHART / "README.md": readme(yaml.safe_load(chart), values).encode(),
    }


def read_values(text: str) -> list[Value]:
    """Return every value in the order of the file."""
    node = yaml.compose(text)
    if not isinstance(node, yaml.MappingNode):
        raise UndocumentedValue("values.yaml is no mapping")
    return list(_values(node, (), text.splitlines()))


def _values(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = (*above, key.value)
        if isinstance(value, yaml.MappingNode) and not value.flow_style and _comment(value.value[0][0], lines):
            yield from _values(value, path, lines)
            continue
        comment = _comment(key, lines)
        schema = comment.pop() if comment and comment[-1].startswith("schema:") else "schema: {}"
        if not comment:
            raise UndocumentedValue(f"values.yaml:{key.start_mark.line + 1}: `{'.'.join(path)}` has no comment")
        narrowed = yaml.safe_load(schema)["schema"]
        if not isinstance(narrowed, dict):
            raise UndocumentedValue(f"values.yaml:{key.start_mark.line + 1}: `schema:` is followed by a mapping")
        default = yaml.safe_load(yaml.serialize(value))
        yield Value(path, " ".join(comment), default, narrowed)


def _comment(key: yaml.Node, lines: list[str]) -> list[str]:
    """Return the comment lines directly above a key, without their marks."""
    found: list[str] = []
    at = key.start_mark.line - 1
    while at >= 0 and lines[at].strip().startswith("#"):
        found.insert(0, lines[at].strip().removeprefix("#").strip())
        at -= 1
    return found


def schema_of(values: list[Value]) -> dict[str, Any]:
    """Return the JSON Schema; a key that nobody described is an error. `global` is Helm's own."""
    root: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", **_section()}
    for value in values:
        level = root
        for name in value.path[:-1]:
            level = level["properties"].setdefault(name, _section())
        implied = {} if value.default is None else {"type": _TYPES[type(value.default)]}
        level["properties"][value.path[-1]] = {"description": value.description, **implied, **value.schema}
    root["properties"]["global"] = {"type": "object"}
    return root


def _section() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def readme(chart: dict[str, Any], values: list[Value]) -> str:
    """Return the chart's README: what it is, and every value with its default."""
    parts = [
        _INTRODUCTION.format(
            name=chart["name"],
            description=chart["description"],
            version=chart["version"],
            app_version=chart["appVersion"],
            kube_version=chart["kubeVersion"],
        ),
        "## Values\n",
    ]
    for value in values:
        default = json.dumps(value.default, ensure_ascii=False)
        parts.append(f"- **`{'.'.join(value.path)}`** (default `{default}`). {value.description}")
    return "\n".join(parts) + "\n"
