"""kubeconform, strict, on schemas of registries: Kubernetes' from a Python package, Istio's from a Go module."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from support.go_tools import go_tool

ISTIO = "istio.io/api@v1.29.2"
_DEFINITIONS = "_definitions.json"
_CRDS = "kubernetes/customresourcedefinitions.gen.yaml"
_KUBERNETES = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
_TIMEOUT_S = 300
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(manifests: str) -> list[dict[str, Any]]:
    """Return the documents that are not empty."""
    return [document for document in yaml.load_all(manifests, Loader=_LOADER) if document is not None]


def unfit(manifests: str, folder: Path, kubernetes: str = "1.31") -> list[str]:
    """Return what kubeconform says against the documents; every kind must have a schema. `folder` is for its files."""
    schemas = folder / "schemas"
    if not schemas.exists():
        write_istio_schemas(schemas)
    of_kubernetes = schemas / f"kubernetes-{kubernetes}"
    write_kubernetes_schemas(of_kubernetes, kubernetes, documents(manifests))
    words = [
        str(go_tool("kubeconform")), "-strict", "-output", "json",
        "-schema-location", f"{of_kubernetes}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json",
        "-schema-location", f"{schemas}/{{{{ .Group }}}}/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json",
    ]  # fmt: skip
    done = subprocess.run(words, input=manifests, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    found = json.loads(done.stdout)["resources"] or []
    return [f"{one['kind']} {one['name']}: {one['status']} {one['msg']}" for one in found]


def write_kubernetes_schemas(folder: Path, kubernetes: str, kinds: list[dict[str, Any]]) -> None:
    """Write the schemas of the documents' kinds so that they refer to what lies beside them, not to a web server."""
    source = _KUBERNETES / f"v{kubernetes}.0-local-strict"
    folder.mkdir(parents=True, exist_ok=True)
    names = {_DEFINITIONS}
    for document in kinds:
        group, _, version = document["apiVersion"].rpartition("/")
        suffix = f"-{group.split('.')[0]}" if group else ""
        names.add(f"{document['kind']}{suffix}-{version}.json".lower())
    for name in names:
        if (source / name).exists() and not (folder / name).exists():
            text = (source / name).read_text(encoding="utf-8").replace(f'"/api/{_DEFINITIONS}#', f'"{_DEFINITIONS}#')
            schema = json.loads(text)
            del schema["$id"]
            (folder / name).write_text(json.dumps(schema))


def write_istio_schemas(folder: Path) -> None:
    """Write the JSON Schema of every version of Istio's kinds, closed against unknown fields."""
    go = shutil.which("go")
    assert go is not None, "kubeconform was built, so Go is there"
    words = [go, "mod", "download", "-json", ISTIO]
    told = subprocess.run(words, capture_output=True, check=True, timeout=_TIMEOUT_S, cwd="/")
    module = Path(json.loads(told.stdout)["Dir"])
    for crd in documents((module / _CRDS).read_text(encoding="utf-8")):
        spec = crd["spec"]
        place = folder / spec["group"]
        place.mkdir(parents=True, exist_ok=True)
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            known = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            schema["properties"] = {**known, **schema["properties"]}
            path = place / f"{spec['names']['kind'].lower()}_{version['name']}.json"
            path.write_text(json.dumps(schema))


def closed(schema: Any) -> Any:
    """Return a structural schema in which an object knows only its properties, unless it says otherwise."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        found.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    return found
