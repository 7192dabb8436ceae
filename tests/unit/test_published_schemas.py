"""The published JSON Schemas accept what the product accepts: every example of the docs, every pack that it carries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import borderpost.policy
from borderpost.cli import file_kinds
from borderpost.cli.file_kinds import KINDS
from borderpost.cli.main import main
from borderpost.cli.schema import schema_of
from borderpost.demo.scenery import REGIONS, configuration
from borderpost_base.strict import schema_branches
from borderpost_base.yaml_source import load_yaml, load_yaml_file
from support import policy_cases
from support.policy_builder import regime

ROOT = Path(__file__).resolve().parents[2]
PACKS = sorted((Path(borderpost.policy.__file__).parent / "packs").glob("*.yaml"))
_EXAMPLE = re.compile(r"<!-- file: (\S+\.ya?ml) -->\n```yaml\n(.*?)```", re.DOTALL)
WRONG = {"docs/guide/configure.md:wrong.yaml"}
"""Examples of mistakes."""


def examples() -> Iterator[tuple[str, str]]:
    """Yield each YAML file that a page writes, by page and name."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for name, text in _EXAMPLE.findall(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(ROOT)}:{name}", text


FOREIGN = ("docs/guide/manifests.md:", "docs/guide/doctor.md:", "docs/guide/ratelimit")
"""Pages that show manifests, workflows, hooks and envoyproxy/ratelimit's files besides: what does not say that it is
ours is not."""


def is_ours(name: str, text: str) -> bool:
    """Return False for other people's YAML on the page that may have it."""
    several = re.search(r"^---$", text, re.MULTILINE) is not None
    return not name.startswith(FOREIGN) or not (
        several or file_kinds.kind_of(load_yaml(text.encode(), name).data) is None
    )


EXAMPLES = {name: text for name, text in examples() if is_ours(name, text)}
VALIDATORS = {kind: jsonschema.Draft202012Validator(schema_of(kind)) for kind in KINDS}


def kind_of(data: Any) -> str:
    """Return which kind of file this is."""
    kind = file_kinds.kind_of(data)
    assert kind is not None
    return kind


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - WRONG))
def test_each_example_of_the_docs_is_valid(name: str) -> None:
    data = load_yaml(EXAMPLES[name].encode(), name).data
    VALIDATORS[kind_of(data)].validate(data)


def test_there_are_examples_of_each_kind() -> None:
    assert {kind_of(load_yaml(text.encode(), name).data) for name, text in EXAMPLES.items()} >= {"config", "pack"}
    assert EXAMPLES.keys() >= WRONG


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_each_built_in_pack_is_valid(path: Path) -> None:
    VALIDATORS["pack"].validate(load_yaml_file(path).data)


def test_the_demo_is_valid() -> None:
    VALIDATORS["config"].validate(configuration(dict.fromkeys(REGIONS, 8001), admin_port=9901))


@pytest.mark.parametrize("seed", range(40))
def test_what_the_models_accept_the_schemas_accept(seed: int) -> None:
    """Packs and events that use the whole language, as the product itself writes them."""
    world = policy_cases.world(policy_cases.Random(seed))
    for pack in world.bundle.packs:
        VALIDATORS["pack"].validate(json.loads(pack.model_dump_json(by_alias=True)))
    VALIDATORS["events"].validate(json.loads(world.events.model_dump_json()))
    here = json.loads(world.bundle.here.model_dump_json())
    regions = {name: json.loads(region.model_dump_json()) for name, region in world.regions.items()}
    sinks = {name: json.loads(sink.model_dump_json()) for name, sink in world.bundle.sinks.items()}
    VALIDATORS["config"].validate({"here": here, "regions": regions, "sinks": sinks})


HEAD = {
    "apiVersion": "residency/v1", "kind": "PolicyPack",
    "metadata": {"id": "p", "version": "1", "as_of": "2026-11-20", "not_legal_advice": True},
}  # fmt: skip
EVENT = {
    "id": "e", "type": "injunction", "scope": {"regions": ["eu"]}, "effective_from": "2027-01-01",
    "recorded_at": "2027-01-01", "source": "s", "reason": "r",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("pack", {**HEAD, "regimes": [regime("r", "DE", allow=[{"to": "DE"}])]}),
        ("pack", {**HEAD, "regimes": [regime("r", "DE", defualt="deny")]}),
        ("pack", {**HEAD, "regimes": [regime("r", "DE", allow=[{"to": "DE", "basis": "b", "only_in": "fast"}])]}),
        ("pack", {**HEAD, "data_classes": {"a": {"mode": "fastest"}}}),
        ("pack", {**HEAD, "data_classes": {"a": {"rank": 10}}}),
        ("pack", {**HEAD, "groups": {"A": 12}}),
        ("pack", {**HEAD, "metadata": {**HEAD["metadata"], "not_legal_advice": False}}),  # type: ignore[dict-item]
        ("events", {"events": [{**EVENT, "type": "region_stop"}]}),
        ("events", {"events": [{**EVENT, "scope": {"region": ["eu"]}}]}),
        ("events", {"events": [{name: value for name, value in EVENT.items() if name != "source"}]}),
        ("events", {"events": [{**EVENT, "mode": "rehearsal"}]}),
        ("config", {"here": {"country": "DE"}}),
        ("config", {"here": {"country": "Germany"}, "regions": {"eu": {"country": "DE"}}}),
        ("config", {"here": {"country": "DE"}, "regions": {"eu": {"country": "DE", "processing_scope": "zone"}}}),
        ("config", {"here": {"country": "DE"}, "regions": {"eu": {"country": "DE"}}, "policy": {"mode": "fast"}}),
    ],
)
def test_what_the_models_refuse_by_shape_the_schemas_refuse(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATORS[kind].validate(data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_what_the_command_prints(kind: str) -> None:
    published = json.loads((ROOT / f"docs/reference/schema/{kind}.schema.json").read_text(encoding="utf-8"))
    assert published == schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(published)


@pytest.mark.parametrize("kind", KINDS)
def test_editors_find_the_meaning_of_every_key(kind: str) -> None:
    """Each key is described, and no mapping lets an unknown key through."""
    undescribed = []
    open_ended = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, list):
            for number, inner in enumerate(node):
                walk(inner, f"{path}[{number}]")
        elif isinstance(node, dict):
            for name, inner in node.get("properties", {}).items():
                if not any(
                    told.get("description") for told in (inner, *schema_branches(inner, schema.get("$defs", {})))
                ):
                    undescribed.append(f"{path}.{name}")
            if "properties" in node and node.get("additionalProperties") is not False:
                open_ended.append(path)
            for name, inner in node.items():
                walk(inner, f"{path}.{name}")

    schema = schema_of(kind)
    walk(schema, kind)
    assert not undescribed
    assert not open_ended


def test_a_folder_is_set_up_for_editors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--install", str(tmp_path)]) == 0
    settings = json.loads((tmp_path / ".vscode/settings.json").read_text(encoding="utf-8"))
    for name in settings["yaml.schemas"]:
        assert json.loads((tmp_path / name).read_text(encoding="utf-8"))["title"].startswith("Borderpost")
    assert len(settings["yaml.schemas"]) == len(KINDS)
    assert main(["schema", "--install", str(tmp_path)]) == 0
    assert "already there" in capsys.readouterr().out


def test_settings_that_are_there_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode/settings.json").write_text('{"editor.tabSize": 2 /* mine */}')
    assert main(["schema", "--install", str(tmp_path)]) == 0
    assert (tmp_path / ".vscode/settings.json").read_text() == '{"editor.tabSize": 2 /* mine */}'
    assert '"yaml.schemas": {' in capsys.readouterr().out
