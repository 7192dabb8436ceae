"""From names in a configuration to packs in order: collections, what packs build on, and what they narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from borderpost.config.load import Loaded, load_config
from borderpost.config.packs import built_in_packs
from borderpost.policy.built_in import COLLECTIONS, PACKS, STARTER, members
from borderpost.policy.bundle import PolicyBundle, build_bundle
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import Here
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems

REGIME = {"id": "house", "title": "t", "source": "s", "applies_when": {"subject_in": "EEA", "data": ["health"]}}


def pack(id_: str, **more: Any) -> dict[str, Any]:
    metadata = {"id": id_, "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
    metadata |= {key: more.pop(key) for key in ("builds_on", "parent") if key in more}
    return {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, **more}


def load(folder: Path, *names: str, **files: dict[str, Any]) -> Loaded:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    config = {
        "here": {"country": "DE"},
        "regions": {"eu": {"country": "DE"}},
        "evidence": {"default_classes": ["personal"]},
        "policy": {"packs": list(names)},
    }
    (folder / "borderpost.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return load_config(folder / "borderpost.yaml", environ={})


def ids(folder: Path, *names: str, **files: dict[str, Any]) -> list[str]:
    return [pack.metadata.id for pack in load(folder, *names, **files).bundle.packs]


def problem(folder: Path, *names: str, **files: dict[str, Any]) -> BorderpostError:
    with pytest.raises((BorderpostError, Problems)) as caught:
        load(folder, *names, **files)
    assert isinstance(caught.value, Problems)
    (error,) = caught.value.errors
    return error


def test_a_name_brings_what_the_pack_builds_on(tmp_path: Path) -> None:
    assert ids(tmp_path, "eu-gdpr") == ["base", "eu-gdpr"]
    assert ids(tmp_path, "ca-qc", "ca-pipeda") == ["base", "ca-qc", "ca-pipeda"]


def test_a_collection_stands_for_its_packs(tmp_path: Path) -> None:
    assert ids(tmp_path, "starter") == list(STARTER)
    assert ids(tmp_path, "world") == list(PACKS)


@pytest.mark.parametrize("names", [("starter", "world"), ("world", "eu-gdpr", "base"), ("world", "world")])
def test_a_built_in_pack_is_taken_once(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert ids(tmp_path, *names) == list(PACKS)


def test_order_is_that_of_the_list_with_what_each_needs_before_it(tmp_path: Path) -> None:
    assert ids(tmp_path, "us-hipaa", "starter")[:3] == ["base", "us-hipaa", "eu-gdpr"]


def test_a_pack_of_one_s_own_brings_built_in_ones(tmp_path: Path) -> None:
    house = pack("house", builds_on=["eu-gdpr"], regimes=[REGIME])
    assert ids(tmp_path, "house.yaml", house=house) == ["base", "eu-gdpr", "house"]
    assert ids(tmp_path, "house.yaml", "starter", house=house)[:3] == ["base", "eu-gdpr", "house"]


def test_a_pack_of_one_s_own_may_stand_in_for_a_built_in_one(tmp_path: Path) -> None:
    """Whoever lists a file of the id first means that file; listing both is a mistake that is told."""
    own = pack("ch-fadp", builds_on=["base"], groups={"ALPS": ["CH", "LI"]})
    assert ids(tmp_path, "own.yaml", "ch-fadp", own=own) == ["base", "ch-fadp"]
    assert problem(tmp_path, "ch-fadp", "own.yaml").code == "BP0206"


def test_a_pack_of_one_s_own_must_be_listed_before_what_builds_on_it(tmp_path: Path) -> None:
    house, annex = pack("house", builds_on=["base"]), pack("annex", builds_on=["base", "house"])
    files = {"house": house, "annex": annex}
    assert ids(tmp_path, "house.yaml", "annex.yaml", **files) == ["base", "house", "annex"]
    error = problem(tmp_path, "annex.yaml", "house.yaml", **files)
    assert (error.code, error.place.file, error.place.key) == (
        "BP0225",
        str(tmp_path / "annex.yaml"),
        "metadata.builds_on[1]",
    )
    assert error.detail == "`annex` builds on `house`, which is not loaded before it"
    assert error.mend == "list `house` before it under `policy.packs`"
    lines = (tmp_path / "annex.yaml").read_text().splitlines()
    assert error.place.line is not None
    assert lines[error.place.line - 1].strip() == "- house"


def test_nobody_builds_on_a_collection_nor_on_itself(tmp_path: Path) -> None:
    error = problem(tmp_path, "house.yaml", house=pack("house", builds_on=["starter"]))
    assert error.code == "BP0225"
    assert error.mend.startswith("`starter` is a collection; name the packs meant: base, eu-gdpr,")
    assert problem(tmp_path, "house.yaml", house=pack("house", builds_on=["house"])).code == "BP0225"


def test_two_packs_that_build_on_each_other_are_told(tmp_path: Path) -> None:
    files = {"a": pack("a", builds_on=["b"]), "b": pack("b", builds_on=["a"])}
    assert problem(tmp_path, "a.yaml", "b.yaml", **files).code == "BP0225"


def test_a_parent_is_loaded_before_its_child(tmp_path: Path) -> None:
    child = pack("house", parent="eu-gdpr", builds_on=["base"], regimes=[REGIME])
    error = problem(tmp_path, "house.yaml", house=child)
    assert (error.code, error.place.key) == ("BP0225", "metadata.parent")
    assert error.mend == "list `eu-gdpr` before it under `policy.packs`"
    assert ids(tmp_path, "eu-gdpr", "house.yaml", house=child) == ["base", "eu-gdpr", "house"]
    assert problem(tmp_path, "house.yaml", house=pack("house", parent="house")).code == "BP0225"


def test_a_child_has_no_data_that_needs_no_law(tmp_path: Path) -> None:
    child = pack("house", parent="base", data_classes={"gossip": {"rank": 0}, "secret": {"rank": 1}})
    error = problem(tmp_path, "base", "house.yaml", house=child)
    assert (error.code, error.place.key) == ("BP0226", "data_classes.gossip.rank")
    assert "gossip" in error.detail
    same = pack("house", parent="base", data_classes={"public": {"rank": 0}})
    assert ids(tmp_path, "base", "house.yaml", house=same) == ["base", "house"]


def test_a_bundle_that_was_made_elsewhere_is_held_to_the_same() -> None:
    """A bundle read back from its bytes comes from nobody's list of names."""
    whole = build_bundle(here=Here(country="DE"), packs=built_in_packs("eu-gdpr"))
    assert PolicyBundle.from_canonical(whole.canonical()) == whole
    orphan = PolicyPack.model_validate(pack("house", parent="gone"))
    with pytest.raises(Problems, match="BP0225"):
        build_bundle(here=Here(country="DE"), packs=[*built_in_packs("eu-gdpr"), orphan])


def test_a_name_that_is_none_is_shown_where_it_stands(tmp_path: Path) -> None:
    error = problem(tmp_path, "starter", "wrold")
    assert (error.code, error.place.key, error.mend) == ("BP0213", "policy.packs[1]", "did you mean `world`?")


@pytest.mark.parametrize("name", ["../eu-gdpr", "eu-gdpr/", "EU-GDPR", "base\n", "*"])
def test_names_reach_no_file(tmp_path: Path, name: str) -> None:
    assert problem(tmp_path, name).code == "BP0213"


def test_a_redefinition_in_a_built_in_pack_is_shown_in_that_pack(tmp_path: Path) -> None:
    error = problem(tmp_path, "own.yaml", "eu-gdpr", own=pack("own", groups={"EEA": ["DE"]}))
    assert (error.code, error.place.file) == ("BP0206", "base (built in)")


def test_no_more_packs_than_a_record_can_name(tmp_path: Path) -> None:
    own = {f"p{number}": pack(f"p{number}") for number in range(limits.POLICY_PACKS_MAX - len(PACKS) + 1)}
    names = [f"{name}.yaml" for name in own]
    assert len(ids(tmp_path, "world", *names[1:], **own)) == limits.POLICY_PACKS_MAX
    error = problem(tmp_path, "world", *names)
    assert (error.code, error.place.key) == ("BP0217", "policy.packs")


@given(st.lists(st.sampled_from([*PACKS, *COLLECTIONS]), max_size=6))
def test_any_list_gives_each_pack_once_after_what_it_builds_on(names: list[str]) -> None:
    packs = built_in_packs(*names)
    order = [pack.metadata.id for pack in packs]
    assert len(order) == len(set(order))
    assert set(order) >= {member for name in names for member in members(name)}
    for index, pack in enumerate(packs):
        assert set(pack.metadata.builds_on) <= set(order[:index])
    assert order == [pack.metadata.id for pack in built_in_packs(*names, *reversed(names))]
