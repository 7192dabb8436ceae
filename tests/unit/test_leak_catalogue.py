"""The page of leaks and its tests say the same: a test for each row, rules that exist, and refusals that happen."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.config.load import load_config
from borderpost.demo.istio.scenery import istio_section
from borderpost_base.errors import BorderpostError, Problems
from borderpost_envoy.doctor.checks import CHECKS
from borderpost_istio.doctor.rules import RULES
from support.leak_rows import LeakRow, leak_rows

BLACKBOX = Path(__file__).resolve().parents[1] / "blackbox"
BESIDE = {"test_it_is_served_where_it_was_decided", "test_every_region_stays"}
"""Tests of the same files that are of no row."""
ROWS = leak_rows()
REFUSED = {name: row for name, row in ROWS.items() if row.holds.startswith("refused")}


def spoilt(row: str) -> dict[str, Any]:
    """Return a configuration that does what a row says."""
    config: dict[str, Any] = {
        "here": {"country": "DE"},
        "regions": {"eu-1": {"country": "DE"}, "us-1": {"country": "US"}},
        "istio": istio_section({"eu-1": 8001, "us-1": 8002}),
    }
    if row == "two-regions-one-host":
        config["istio"]["regions"]["us-1"]["host"] = config["istio"]["regions"]["eu-1"]["host"]
    elif row == "another-cluster":
        config["regions"]["eu-1"]["cluster"] = "outbound|80||us-1.inference.example"
    elif row == "unreachable-region":
        del config["istio"]["regions"]["us-1"]
    elif row == "failover-elsewhere":
        config["failover"] = {"both": {"regions": ["eu-1", "mars-1"]}}
    return config


def test_each_row_has_its_test_and_each_test_its_row() -> None:
    trees = [ast.parse((BLACKBOX / f"test_istio_{name}.py").read_text()) for name in ("leaks", "pruned")]
    functions = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    tests = {name for name in functions if name.startswith("test_")}
    rows = {row.test for name, row in ROWS.items() if name not in REFUSED}
    assert tests - BESIDE == rows
    assert len(rows) > 20


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_row_says_what_holds(row: LeakRow) -> None:
    assert row.holds.split(":")[0].split(";")[0] in ("impossible", "refused", "doctor")
    assert row.rules or row.id in REFUSED
    assert row.rules <= CHECKS.keys() | RULES.keys()


def test_what_is_not_spoilt_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "borderpost.yaml"
    file.write_text(yaml.safe_dump(spoilt("none")))
    assert load_config(file, {}).config.istio is not None


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused(row: LeakRow, tmp_path: Path) -> None:
    file = tmp_path / "borderpost.yaml"
    file.write_text(yaml.safe_dump(spoilt(row.id)))
    with pytest.raises((BorderpostError, Problems)) as raised:
        load_config(file, {})
    codes = {error.code for error in getattr(raised.value, "errors", [raised.value])}
    assert row.holds.rpartition(" ")[2] in codes
