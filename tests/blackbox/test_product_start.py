"""`borderpost serve` with a configuration that cannot be served: exit 2, the place, and nothing listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.children import free_port
from borderpost.demo.scenery import REGIONS, configuration, write_events
from borderpost.geoip.database import EMBEDDED_PATH
from borderpost_envoy import Via
from support.borderpost_process import merged
from support.clients import GERMAN
from support.gateway import Gateway, eventually, gateway
from support.mmdb_writer import write_mmdb

pytestmark = pytest.mark.blackbox

Change = Callable[[Path], dict[str, Any] | str]
"""Puts files beside the configuration and returns what is laid over it, or the whole text in its place."""


def _truncated(directory: Path) -> dict[str, Any]:
    whole = EMBEDDED_PATH.read_bytes()
    (directory / "geo.mmdb").write_bytes(whole[: len(whole) // 2])
    return {"geoip": {"database": "geo.mmdb"}}


def _no_database(directory: Path) -> dict[str, Any]:
    (directory / "geo.mmdb").write_text("country,DE\n")
    return {"geoip": {"database": "geo.mmdb"}}


def _wrong_kind(directory: Path) -> dict[str, Any]:
    record = {"autonomous_system_number": 64496, "autonomous_system_organization": "Example"}
    write_mmdb(directory / "geo.mmdb", {"192.0.2.0/24": record}, database_type="GeoLite2-ASN")
    return {"geoip": {"database": "geo.mmdb"}}


def _exits(text: str) -> Change:
    def change(directory: Path) -> dict[str, Any]:
        (directory / "exits.txt").write_text(text)
        return {"geoip": {"anonymisers": ["exits.txt"]}}

    return change


def _pack(text: str) -> Change:
    def change(directory: Path) -> dict[str, Any]:
        (directory / "own.yaml").write_text(text)
        return {"policy": {"packs": ["starter", "own.yaml"]}}

    return change


def _events(text: str) -> Change:
    def change(directory: Path) -> dict[str, Any]:
        (directory / "events.yaml").write_text(text)
        return {}

    return change


def _no_events(directory: Path) -> dict[str, Any]:
    (directory / "events.yaml").unlink()
    return {}


def _taken_port(directory: Path) -> dict[str, Any]:
    taken = socket.create_server(("127.0.0.1", 0))
    HELD.append(taken)
    return {"admin": {"port": taken.getsockname()[1]}}


HELD: list[socket.socket] = []
"""Sockets that stand in the way of one test."""

MISTAKES: dict[str, tuple[Change, str, str]] = {
    "no YAML": (lambda _d: "here: {country: DE", "BP0101", "borderpost.yaml:"),
    "empty": (lambda _d: "", "BP0103", "borderpost.yaml"),
    "unknown key": (lambda _d: {"sever": {"workers": 1}}, "BP0102", "sever"),
    "wrong value": (lambda _d: {"server": {"workers": 0}}, "BP0104", "server.workers"),
    "open socket": (lambda _d: {"server": {"mode": "0666"}}, "BP0104", "server.mode"),
    "here without a country": (lambda _d: {"here": {"country": "XX"}}, "BP0201", "here.country"),
    "unknown pack": (lambda _d: {"policy": {"packs": ["nowhere"]}}, "BP0213", "policy.packs"),
    "pack missing": (lambda _d: {"policy": {"packs": ["own.yaml"]}}, "BP0003", "policy.packs"),
    "pack no YAML": (_pack("regimes: ["), "BP0101", "own.yaml:"),
    "pack of another kind": (_pack("apiVersion: residency/v1\nkind: LegalEvents\n"), "BP0104", "own.yaml:"),
    "events missing": (_no_events, "BP0003", "events.file"),
    "events no YAML": (_events("events: {]"), "BP0101", "events.yaml:"),
    "database missing": (lambda _d: {"geoip": {"database": "geo.mmdb"}}, "BP0301", "geo.mmdb"),
    "database truncated": (_truncated, "BP0303", "geo.mmdb"),
    "no database": (_no_database, "BP0302", "geo.mmdb"),
    "database of the wrong kind": (_wrong_kind, "BP0304", "geo.mmdb"),
    "anonymisers missing": (lambda _d: {"geoip": {"anonymisers": ["exits.txt"]}}, "BP0301", "exits.txt"),
    "anonymisers with a bad line": (_exits("9.9.9.9\n9.9.9.9/99\n"), "BP0309", "exits.txt:2"),
    "no anonymisers in the list": (_exits("# nothing\n"), "BP0310", "exits.txt"),
    "admin port taken": (_taken_port, "BP0605", "admin.port"),
}
"""What is wrong, the code that tells it, and a part of the place."""


def _config(directory: Path) -> dict[str, Any]:
    write_events(directory, [])
    return configuration(dict.fromkeys(REGIONS, free_port()), admin_port=free_port())


def _serve(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "borderpost.cli", "serve", "--config", str(directory / "borderpost.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )


def _nothing_listens(directory: Path, port: int) -> None:
    assert list((directory / "server").glob("*.sock")) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(("change", "code", "place"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_served_is_told_with_its_place(tmp_path: Path, change: Change, code: str, place: str) -> None:
    config = _config(tmp_path)
    changed = change(tmp_path)
    text = changed if isinstance(changed, str) else yaml.safe_dump(merged(config, changed))
    (tmp_path / "borderpost.yaml").write_text(text)
    done = _serve(tmp_path)
    while HELD:
        HELD.pop().close()
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert code in done.stderr, done.stderr
    assert place in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    if code != "BP0605":
        _nothing_listens(tmp_path, config["admin"]["port"])


def test_unknown_variable_is_told(tmp_path: Path) -> None:
    (tmp_path / "borderpost.yaml").write_text(yaml.safe_dump(_config(tmp_path)))
    done = _serve(tmp_path, BORDERPOST_SERVER_WORKER="2")
    assert (done.returncode, "BP0107" in done.stderr) == (2, True), done.stderr


@pytest.fixture(scope="module", params=list(Via))
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("reload"), via=request.param) as gate:
        yield gate


def test_second_instance_is_refused_and_the_first_goes_on(gate: Gateway) -> None:
    done = _serve(gate.directory)
    assert (done.returncode, "BP0601" in done.stderr) == (2, True), done.stderr
    assert gate.send(GERMAN).region == "eu-central-1"


def test_broken_configuration_at_a_reload_changes_nothing(gate: Gateway) -> None:
    assert gate.send(GERMAN).region == "eu-central-1"
    policies = {record["digest"] for record in gate.records() if record["type"] == "policy.activate"}
    rest = {key: value for key, value in gate.config.items() if key != "here"}
    for changed, code in (
        ("here: {country: DE", "BP0101"),
        ("", "BP0103"),
        (rest, "BP0103"),
        (merged(gate.config, {"policy": {"packs": ["nowhere"]}}), "BP0213"),
        (merged(gate.config, {"regions": {"eu-central-1": {"country": "XX", "subdivision": None}}}), "BP0201"),
        (merged(gate.config, {"geoip": {"database": "missing.mmdb"}}), "BP0301"),
        (merged(gate.config, {"geoip": {"anonymisers": ["borderpost.yaml"]}}), "BP0309"),
    ):
        refused = gate.metric("borderpost_reload_total", what="config", result="refused")
        gate.reload(changed)
        eventually(
            lambda refused=refused: gate.metric("borderpost_reload_total", what="config", result="refused") > refused,  # type: ignore[misc]
            "refused",
        )
        assert gate.logged(code) > 0, changed
        assert gate.send(GERMAN).region == "eu-central-1"
        assert gate.service.ready()
    after = {record["digest"] for record in gate.records() if record["type"] == "policy.activate"}
    assert after == policies
    nearer = merged(gate.config, {"ranking": {"latency_ms": {"DE": {"eu-west-1": 1}}}})
    gate.reload(nearer)
    eventually(lambda: gate.send(GERMAN).region == "eu-west-1", "a good one is taken")
    gate.reload(gate.config)
    eventually(lambda: gate.send(GERMAN).region == "eu-central-1", "and the old one again")
