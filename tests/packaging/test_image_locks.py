"""The image's locks: every package by hash, at the version of constraints.txt, and exactly what the product needs."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("image/requirements.txt", "image/build-requirements.txt")


def locked(path: str) -> dict[str, tuple[Requirement, int]]:
    """Return each requirement of a lock by name, and how many hashes it has."""
    text = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in filter(None, re.sub(r"(?m)^#.*$", "", text).splitlines()):
        words, *hashes = line.split("--hash=")
        requirement = Requirement(words.strip())
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one.strip()) for one in hashes), line
        found[canonicalize_name(requirement.name)] = (requirement, len(hashes))
    return found


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version for name, version in pairs}


def needed() -> dict[str, Requirement]:
    """Return what the product needs, and what that needs, by the metadata of what is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, Requirement] = {}
    left = [Requirement(line) for line in project["dependencies"]]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = requirement
            left += requirements_of(name, requirement.extras)
    return found


def requirements_of(name: str, extras: set[str]) -> Iterator[Requirement]:
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        environments = [{"extra": extra} for extra in (extras or {""})]
        if requirement.marker is None or any(requirement.marker.evaluate(one) for one in environments):
            yield requirement


@pytest.mark.parametrize("path", LOCKS)
def test_each_package_is_pinned_as_everywhere_and_taken_by_its_hash(path: str) -> None:
    pinned = constraints()
    found = locked(path)
    assert found
    for name, (requirement, hashes) in found.items():
        assert hashes, f"{name} has no hash"
        (version,) = requirement.specifier
        assert version.operator == "=="
        assert pinned.get(name, version.version) == version.version, f"constraints.txt has another {name}"


def test_the_lock_has_what_the_product_needs_and_nothing_else() -> None:
    found = locked("image/requirements.txt")
    assert needed().keys() <= found.keys()
    here = {name for name, (one, _) in found.items() if one.marker is None or one.marker.evaluate()}
    assert here == needed().keys()
    for name, requirement in needed().items():
        (version,) = found[name][0].specifier
        assert requirement.specifier.contains(version.version, prereleases=True), name


def test_the_build_s_lock_has_what_its_list_names() -> None:
    names = [line for line in (ROOT / "image/build.in").read_text().splitlines() if not line.startswith("#")]
    assert {canonicalize_name(name) for name in names} <= locked("image/build-requirements.txt").keys()
