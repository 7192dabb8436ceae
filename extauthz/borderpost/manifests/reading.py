"""From files to documents: YAML of any number of documents, or JSON; bounded, and plain about what is neither.

A file that is not what it should be is an error, never passed over: a chart's template (`{{ }}`) is no manifest until
`helm template` has rendered it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from borderpost.manifests.tree import Document, Node
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.json_source import load_json
from borderpost_base.yaml_source import KeyPath, YamlDocument, load_yaml_documents

_TEMPLATE = re.compile(rb"\{\{.*?\}\}", re.DOTALL)
_ENDINGS = (".yaml", ".yml", ".json")
_MERGE = "<<"


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each file named, and of each folder those below it that end as manifests do, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.suffix in _ENDINGS and found.is_file())
        else:
            yield path


def read_documents(path: Path) -> list[Document]:
    """Read one file; `-` is the standard input.

    Raises BorderpostError BP0003, BP0101, BP0104, BP0105, BP0106, BP1230, BP1231 or BP1232.
    """
    if str(path) == "-":
        return parse_documents(sys.stdin.buffer.read(limits.MANIFEST_BYTES_MAX + 1), "-")
    try:
        with path.open("rb") as handle:
            raw = handle.read(limits.MANIFEST_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError("BP0003", f"{path}: {error.strerror}", place=Place(str(path))) from error
    return parse_documents(raw, str(path))


def parse_documents(raw: bytes, file: str) -> list[Document]:
    """Parse the content of a file; see `read_documents`."""
    if len(raw) > limits.MANIFEST_BYTES_MAX:
        raise BorderpostError("BP0106", f"more than {limits.MANIFEST_BYTES_MAX} bytes", place=Place(file))
    if b"\0" in raw:
        raise BorderpostError("BP1231", "it has zero bytes, as a binary plan or an archive has", place=Place(file))
    begins = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if file.endswith(".json") or (begins in (b"{", b"[") and not raw.lstrip().startswith(b"{{")):
        try:
            return [load_json(raw, file)]
        except BorderpostError as error:
            if file.endswith(".json") or error.code != "BP0101":
                raise
    try:
        documents = load_yaml_documents(raw, file)
    except BorderpostError as error:
        template = _TEMPLATE.search(raw)
        if template is not None and error.code == "BP0101":
            line = raw.count(b"\n", 0, template.start()) + 1
            detail = "`{{ }}` stands here: the file is a template and no manifest yet"
            raise BorderpostError("BP1230", detail, place=Place(file, line)) from error
        raise
    has_merges, has_braces = b"<<" in raw, b"{{" in raw
    for document in documents:
        if has_merges:
            document.data = _merged(document, document.data, ())
        if has_braces:
            _refuse_template(document)
    return list(documents)


def _refuse_template(document: YamlDocument) -> None:
    """Refuse an object whose kind or name is still a template's: quoted, it is YAML and means nothing."""
    top = Node(document, (), document.data)
    for node in (top.get("kind"), top.get("apiVersion"), top.get("metadata", "name")):
        if isinstance(node.value, dict) or (isinstance(node.value, str) and "{{" in node.value):
            detail = "`{{ }}` stands here: the file is a template and no manifest yet"
            raise BorderpostError("BP1230", detail, place=node.place)


def _merged(document: YamlDocument, value: Any, path: KeyPath) -> Any:
    """Resolve merge keys (`<<: *defaults`, YAML 1.1), which Kubernetes' reader does: a mapping's own keys win."""
    if isinstance(value, list):
        return [_merged(document, item, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    built = {key: _merged(document, item, (*path, key)) for key, item in value.items() if key != _MERGE}
    if _MERGE in value:
        sources = value[_MERGE] if isinstance(value[_MERGE], list) else [value[_MERGE]]
        for source in sources:
            if not isinstance(source, dict):
                place = document.place((*path, _MERGE))
                raise BorderpostError("BP1232", "`<<` takes a mapping, or a list of them", place=place)
            for key, item in _merged(document, source, (*path, _MERGE)).items():
                built.setdefault(key, item)
                document.lines.setdefault((*path, key), document.lines.get((*path, _MERGE), (1, 1)))
    return built
