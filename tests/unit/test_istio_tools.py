"""istiod and istioctl are built once into the cache, whole or not at all, and what lacks is told."""

from __future__ import annotations

import concurrent.futures
import shutil
from pathlib import Path

import pytest

from borderpost.demo.istio import tools
from borderpost_base.errors import BorderpostError

QUIET: list[str] = []


def go_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> Path:
    """Put a command in Go's place that notes its calls, and an empty cache in the cache's; return its notes."""
    calls = tmp_path / "calls"
    go = tmp_path / "go"
    go.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{script}\n')
    go.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _tool: str(go))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


WRITES = 'while [ "$1" != -o ]; do shift; done; sleep 0.05; echo built > "$2"'


def test_they_are_built_once_also_by_several_at_the_same_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = go_that(monkeypatch, tmp_path, WRITES)
    said: list[str] = []
    assert tools.cached_tools() is None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _number: tools.istio_tools(said.append), range(4)))
    assert len(set(found)) == 1
    assert found[0] == tools.cached_tools()
    assert (found[0].istiod.read_text(), found[0].istioctl.read_text()) == ("built\n", "built\n")
    built = [line.split()[-1] for line in calls.read_text().splitlines()]
    assert built == list(tools.PROGRAMS.values())
    assert [line for line in said if line.startswith("Building")] != []
    assert {path.suffix for path in found[0].istiod.parents[1].iterdir()} == {"", ".lock"}, "no half-built rest"


def test_the_key_is_the_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, WRITES)
    first = tools.istio_tools(QUIET.append)
    module = shutil.copytree(tools.MODULE, tmp_path / "module")
    monkeypatch.setattr(tools, "MODULE", module)
    assert tools.cached_tools() == first
    (module / "go.sum").write_text("another")
    assert tools.cached_tools() is None


def test_a_build_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, "echo no such module >&2; exit 3")
    with pytest.raises(BorderpostError, match="no such module") as raised:
        tools.istio_tools(QUIET.append)
    assert raised.value.code == "BP1451"
    assert "status 3" in raised.value.detail
    assert [path.suffix for path in (tmp_path / "cache/borderpost/istio").iterdir()] == [".lock"]


def test_without_go_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _tool: None)
    with pytest.raises(BorderpostError) as raised:
        tools.istio_tools(QUIET.append)
    assert raised.value.code == "BP1450"
    assert "make istio-tools" in raised.value.mend


def test_what_is_cached_needs_no_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_that(monkeypatch, tmp_path, WRITES)
    built = tools.istio_tools(QUIET.append)
    monkeypatch.setattr(shutil, "which", lambda _tool: None)
    assert tools.istio_tools(QUIET.append) == built


def test_outside_a_checkout_it_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "MODULE", tmp_path)
    with pytest.raises(BorderpostError) as raised:
        tools.istio_tools(QUIET.append)
    assert raised.value.code == "BP1452"


def test_the_version_is_the_module_s() -> None:
    assert f"// tag {tools.istio_version()}\n" in (tools.MODULE / "go.mod").read_text()
