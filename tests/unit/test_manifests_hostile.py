"""Hostile and odd input: nothing but an error with its place, or findings; and places in JSON are exact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.manifests.cluster import Cluster
from borderpost.manifests.labels import LabelReader, Words
from borderpost.manifests.law import PlaceLaw
from borderpost.manifests.locations import Geography
from borderpost.manifests.mesh import mesh_questions
from borderpost.manifests.objects import Inventory, objects_in
from borderpost.manifests.plans import is_plan
from borderpost.manifests.questions import Question
from borderpost.manifests.reading import parse_documents
from borderpost.manifests.terraform import plan_questions
from borderpost.manifests.workloads import workload_questions
from borderpost.policy.bundle import build_bundle
from borderpost.policy.events import EventList
from borderpost.policy.schema import Here, PolicySection
from borderpost.reports.finding import Finding, Level
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.json_source import JsonDocument, load_json
from support.manifest_cases import clean, marked_files

BUNDLE = build_bundle(
    here=Here(country="DE"),
    policy=PolicySection.model_validate(
        {"data_classes": {"personal": {}, "health": {"rank": 3}}, "groups": {"EEA": ["DE", "FR"]}}
    ),
)
WORDS = Words(frozenset({"health"}), frozenset({"EEA"}), {}, (), ())


def findings(documents: list[Any]) -> list[Finding]:
    geography = Geography(())
    reader = LabelReader(WORDS, geography)
    found: list[Question | Finding] = []
    for plan in filter(is_plan, documents):
        found += plan_questions(plan, reader, geography, require_labels=True)
    manifests = [document for document in documents if not is_plan(document)]
    cluster = Cluster(Inventory(objects_in(manifests, "default")), reader, geography, None)
    found += workload_questions(cluster, require_labels=True)
    found += mesh_questions(cluster)
    law = PlaceLaw(BUNDLE, {}, EventList(), 0, lambda _reason: None, Level.ERROR)
    told = [item for item in found if isinstance(item, Finding)]
    return told + list(law.findings([item for item in found if isinstance(item, Question)]))


# ---- shapes that nobody expects ----

WORDS_OF_MANIFESTS = st.sampled_from(
    [
        "kind", "apiVersion", "metadata", "spec", "labels", "annotations", "name", "namespace", "template", "items",
        "nodeSelector", "affinity", "nodeAffinity", "containers", "env", "value", "volumes", "host", "hosts", "http",
        "route", "destination", "rules", "backendRefs", "endpoints", "locality", "trafficPolicy", "loadBalancer",
        "localityLbSetting", "failover", "distribute", "to", "from", "subsets", "tags", "values", "resources",
        "root_module", "child_modules", "planned_values", "configuration", "provider_config", "expressions",
        "topology.kubernetes.io/region", "borderpost.dev/data-class", "borderpost.dev/subjects", "<<",
    ]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["v1", "Pod", "List", "us-east-1", "eu-west-1", "health", "EEA", "{{ x }}", "*", ""])
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS_OF_MANIFESTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, file: str) -> bytes:
    """A good file of ours with some of its values in another shape."""
    documents = [document.data for document in parse_documents(clean(file).encode(), file)]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.sampled_from([data for data in documents if isinstance(data, dict)]))
        for _ in range(draw(st.integers(0, 8))):
            below = [
                value for value in (at.values() if isinstance(at, dict) else at) if isinstance(value, (dict, list))
            ]
            if not below:
                break
            at = draw(st.sampled_from(below))
        if isinstance(at, dict) and at:
            at[draw(st.sampled_from(sorted(at)))] = draw(TREES)
        elif at:
            at[draw(st.integers(0, len(at) - 1))] = draw(TREES)
    joined = "\n---\n".join(json.dumps(data) for data in documents)
    return joined.encode()


@given(st.sampled_from(marked_files()).flatmap(lambda file: st.tuples(st.just(file), mutated(file))))
def test_any_shape_ends_in_findings_or_a_placed_error(case: tuple[str, bytes]) -> None:
    file, raw = case
    try:
        found = findings(parse_documents(raw, file))
    except BorderpostError as error:
        assert error.place.file == file
        return
    assert all(finding.line is not None and finding.line >= 1 for finding in found)


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:&*-<|>'\"\n #!%@`,ab{{}}", max_size=80).map(str.encode))
def test_any_bytes_end_in_documents_or_a_placed_error(raw: bytes) -> None:
    for file in ("m.yaml", "m.json"):
        try:
            documents = parse_documents(raw, file)
        except BorderpostError as error:
            assert error.place.file == file
        else:
            findings(list(documents))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"a: &a {b: *a}\n", "BP0106"),
        (b"{" * 100000, "BP0106"),
        (b"[" * 100000 + b"]" * 100000, "BP0106"),
        (b'{"a":' * 100000, "BP0106"),
        (b'{"a": 1, "a": 2}', "BP0105"),
        (b"a: 1\na: 2\n", "BP0105"),
        (b"kind: !!python/object:os.system x\n", "BP0101"),
        (b'{"a": NaN}', "BP0101"),
        (b"\xff\xfe", "BP0101"),
        (b"PK\x03\x04\x00", "BP1231"),
        (b"a: {{ .Values.x }}\n- b\n", "BP1230"),
    ],
)  # fmt: skip
def test_bombs_and_mistakes_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(BorderpostError) as caught:
        parse_documents(raw, "m.json" if raw[:1] in b"{[" else "m.yaml")
    assert caught.value.code == code
    assert caught.value.place.file is not None


def test_anchors_may_not_expand_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "YAML_NODES_MAX", 1000)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for name, before in zip("bcd", "abc", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    many = "---\na: [1, 2, 3, 4, 5, 6, 7, 8]\n" * 110  # each within the bound, together beyond it
    for text in (bomb, many):
        with pytest.raises(BorderpostError) as caught:
            parse_documents(text.encode(), "m.yaml")
        assert caught.value.code == "BP0106"
    assert len(parse_documents(many[: len(many) // 2].encode(), "m.yaml")) == 55


def test_a_file_may_not_be_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_BYTES_MAX", 100)
    with pytest.raises(BorderpostError) as caught:
        parse_documents(b"#" * 101, "m.yaml")
    assert caught.value.code == "BP0106"


def test_lines_count_through_documents() -> None:
    documents = parse_documents(b"\xef\xbb\xbf# first\na: 1\n---\n\nb:\n  - c: 2\n---\n---\nd: 3\n", "m.yaml")
    assert [document.data for document in documents] == [{"a": 1}, {"b": [{"c": 2}]}, None, {"d": 3}]
    assert documents[1].place(("b", 0, "c"))[:3] == ("m.yaml", 6, 5)
    assert documents[3].place(("d",))[:3] == ("m.yaml", 9, 1)


def test_a_plan_of_another_format_is_refused() -> None:
    for plan in (
        {"format_version": "2.0", "terraform_version": "9", "planned_values": {"root_module": {}}},
        {"format_version": "1.2", "terraform_version": "1.9"},
        {"format_version": [], "terraform_version": "1.9", "planned_values": {"root_module": {}}},
    ):
        with pytest.raises(BorderpostError) as caught:
            findings([load_json(json.dumps(plan).encode(), "p.json")])
        assert caught.value.code == "BP1233"


# ---- places in JSON ----

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    found = [(path, value)]
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += paths(inner, (*path, key))
    return found


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans(), st.randoms())
def test_every_place_in_json_is_where_its_value_begins(value: Any, indent: int | None, ascii_: bool, rng: Any) -> None:
    text = " \n" + json.dumps(value, indent=indent, ensure_ascii=ascii_)
    document = JsonDocument(text, "x.json")
    assert document.data == value
    lines = text.split("\n")
    asked = paths(value)
    rng.shuffle(asked)
    for path, inner in asked:
        place = document.place(path)
        assert place.line is not None and place.column is not None
        rest = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
        decoder = json.JSONDecoder()
        if path and isinstance(path[-1], str):
            key, end = decoder.raw_decode(rest)
            assert key == path[-1]
            rest = rest[end:].lstrip().removeprefix(":").lstrip()
        assert decoder.raw_decode(rest)[0] == inner
    assert document.place((*asked[-1][0], "not there"))[:3] == document.place(asked[-1][0])[:3]
