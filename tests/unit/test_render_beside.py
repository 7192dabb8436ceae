"""A second gateway beside the first: both are asked, and what would make them answer differently is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import main
from support.borderpost_process import merged

FIRST: dict[str, Any] = {
    "here": {"country": "DE"},
    "region_defaults": {"retention": "same", "telemetry": "same"},
    "regions": {"eu-1": {"country": "DE"}, "eu-2": {"country": "FR"}},
    "server": {"directory": "a/server", "workers": 2},
    "runtime": {"directory": "a/state"},
    "audit": {"directory": "a/audit", "log": "example/a"},
}
OWN = {
    "server": {"directory": "b/server", "workers": 1},
    "runtime": {"directory": "b/state"},
    "audit": {"directory": "b/audit", "log": "example/b"},
}
TCP = {"listen": "tcp", "port": 19400}


def written(folder: Path, name: str, config: dict[str, Any]) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(config))
    return str(path)


def render(folder: Path, first: dict[str, Any], *others: dict[str, Any]) -> int:
    words = ["render", "envoy", "--config", written(folder, "a.yaml", first)]
    words += ["--upstream", "eu-1=192.0.2.1:80", "--upstream", "eu-2=192.0.2.2:80"]
    for number, other in enumerate(others):
        words += ["--beside", written(folder, f"b{number}.yaml", other)]
    return main(words)


def test_envoy_asks_the_workers_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    law = {"policy": {"packs": ["eu-gdpr"]}, "ranking": {"latency_ms": {"*": {"eu-1": 1}}}, "admin": {"port": 9500}}
    assert render(tmp_path, FIRST, merged(merged(FIRST, OWN), law)) == 0
    clusters = yaml.safe_load(capsys.readouterr().out)["static_resources"]["clusters"]
    (ours,) = (each for each in clusters if each["name"] == "borderpost")
    (locality,) = ours["load_assignment"]["endpoints"]
    paths = [each["endpoint"]["address"]["pipe"]["path"] for each in locality["lb_endpoints"]]
    assert paths == [str(tmp_path / path) for path in (
        "a/server/worker-0.sock", "a/server/worker-1.sock", "b/server/worker-0.sock",
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        ({}, {"runtime": {"directory": "a/state"}}, "runtime.directory"),
        ({}, {"audit": {"directory": "a/audit"}}, "audit.directory"),
        ({}, {"audit": {"log": "example/a"}}, "audit.log"),
        ({}, {"server": {"directory": "a/server"}}, "listen where others do"),
        ({"server": TCP}, {"server": {"port": 19401}}, "listen where others do"),
        ({}, {"server": TCP}, "server.listen"),
        ({}, {"regions": {"eu-1": {"cluster": "eu-2"}, "eu-2": {"cluster": "eu-1"}}}, "regions"),
        ({}, {"regions": {"eu-3": {"country": "IE"}}}, "regions"),
        ({}, {"failover": {"both": {"regions": ["eu-1", "eu-2"]}}}, "failover"),
        ({}, {"routes": {"chat": {}}}, "routes"),
    ],
)
def test_what_would_be_answered_differently_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    before = merged(FIRST, first)
    assert render(tmp_path, before, merged(merged(before, OWN), other)) == 2
    assert said in capsys.readouterr().err


def test_one_that_cannot_be_read_is_told_with_its_own_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render(tmp_path, FIRST, merged(merged(FIRST, OWN), {"regions": {"eu-2": {"country": "XX"}}})) == 2
    assert "b0.yaml" in capsys.readouterr().err
