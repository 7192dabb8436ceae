"""Whatever the objects look like: clear errors or notes, no crash, and in a time that grows with their number."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.manifests.reading import parse_documents
from borderpost_istio.doctor import Setting, examine, examine_documents
from support.manifest_cases import clean, marked_files

FOLDER = Path(__file__).resolve().parent.parent / "data" / "doctor"
SETTING = Setting(
    clusters={"outbound|443||eu.inference.example": "eu"}, hosts=("*",), trusted_hops=2, evidence="/var/lib/borderpost"
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    "",
    "*",
    "x" * 300,
    [],
    [[]],
    {},
    {"": None},
    [None, 1, "a", {}],
    "é|\u2028",
)


def rules(text: str, file: str = "x.yaml", setting: Setting = SETTING) -> set[str]:
    return {finding.rule.id for finding in examine_documents(parse_documents(text.encode(), file), setting)}


def values(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths of everything in plain data."""
    found = [path] if path else []
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return found + [one for key, value in below for one in values(value, (*path, key))]


def replaced(data: Any, path: tuple[str | int, ...], value: Any) -> Any:
    made = copy.deepcopy(data)
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


@pytest.mark.parametrize("file", marked_files(FOLDER))
def test_any_value_may_be_of_any_shape(file: str) -> None:
    """Each value in turn is something else; findings may come and go, and each stands somewhere."""
    documents = list(yaml.safe_load_all(clean(file, FOLDER)))
    paths = [(index, *path) for index, one in enumerate(documents) for path in values(one)]
    for number, path in enumerate(paths[:: max(1, len(paths) // 20)]):
        spoiled = replaced(documents, path, ODD[number % len(ODD)])
        raw = json.dumps(spoiled).encode()
        for finding in examine_documents(parse_documents(raw, "x.json"), SETTING):
            assert finding.line is not None
            assert finding.message.endswith((".", "?"))


def test_a_list_of_kubectl_is_taken_apart() -> None:
    documents = [one for one in yaml.safe_load_all(clean("istio.yaml", FOLDER)) if one]
    for one in documents:
        if one["metadata"]["name"] == "borderpost":
            one["spec"]["configPatches"][2]["patch"]["value"]["typed_config"]["failure_mode_allow"] = True
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    assert rules(json.dumps(listed, indent=1), "x.json") >= {"BPD059"}


@pytest.mark.slow
def test_ten_thousand_objects_of_other_kinds_are_passed_over() -> None:
    one = {"apiVersion": "example.com/v9", "kind": "Gadget", "spec": {"configPatches": 1, "hosts": ["*"]}}
    items = [{**one, "metadata": {"name": f"g{number}"}} for number in range(10_000)]
    assert rules(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), "x.json") == set()


def test_two_thousand_virtual_services_and_entries() -> None:
    made: list[dict[str, Any]] = [one for one in yaml.safe_load_all(clean("istio.yaml", FOLDER)) if one]
    for number in range(1000):
        host = f"h{number}.example.com"
        spec = {"hosts": [host], "gateways": ["istio-ingress/ingress"], "http": [{"name": "a", "route": []}]}
        made.append(_object("VirtualService", f"v{number}", spec))
        made.append(_object("ServiceEntry", f"s{number}", {"hosts": [host], "resolution": "DNS"}))
    assert rules(json.dumps({"apiVersion": "v1", "kind": "List", "items": made}), "x.json", Setting()) <= {"BPD099"}


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "others"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_versions_that_nobody_knows_are_said() -> None:
    text = "{apiVersion: networking.istio.io/v7, kind: VirtualService, metadata: {name: a}, spec: {hosts: ['*']}}"
    (finding,) = examine_documents(parse_documents(text.encode(), "x.yaml"))
    assert (finding.rule.id, finding.line, finding.subject) == ("BPD099", 1, "VirtualService default/a")


def test_nothing_to_go_by_is_said() -> None:
    text = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, spec: {host: b.example}}"
    (finding,) = examine_documents(parse_documents(text.encode(), "x.yaml"))
    assert finding.rule.id == "BPD099"
    assert "no configuration was given" in finding.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: " + "[" * 100 + "]" * 100, "BP0106"),
        ("kind: {{ .Values.kind }}\n", "BP1230"),
        ("a: [", "BP0101"),
        ("a: !!python/object:x {}", "BP0101"),
    ],
    ids=["deep", "template", "cut", "tag"],
)
def test_what_cannot_be_read_is_an_error_and_the_rest_is_examined(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "good.yaml").write_text(
        "{apiVersion: networking.istio.io/v7, kind: Sidecar, metadata: {name: a}}", encoding="utf-8"
    )
    findings, errors = examine([tmp_path])
    assert [error.code for error in errors] == [code]
    assert [finding.rule.id for finding in findings] == ["BPD099"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("BPD099 it is served by nobody yet", False),
        ("BPD050,BPD099 both are known; BPD051 so is this", False),
        ("BPD099", True),
        ("BPD050 another rule", True),
    ],
)
def test_an_annotation_accepts_findings_with_a_reason(written: str, kept: bool) -> None:
    metadata = {"name": "a", "annotations": {"borderpost.dev/ignore": written}}
    text = json.dumps({"apiVersion": "networking.istio.io/v7", "kind": "Sidecar", "metadata": metadata})
    assert rules(text) == ({"BPD099"} if kept else set())


def test_settings_that_are_no_yaml_are_said() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'a: ['\n"
    (finding,) = examine_documents(parse_documents(text.encode(), "x.yaml"))
    assert (finding.rule.id, finding.line) == ("BPD099", 5)
