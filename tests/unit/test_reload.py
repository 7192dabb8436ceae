"""Reloads: who holds the runtime directory, what may change, and the command that asks and waits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.config.model import Config
from borderpost.runtime_directory import ReloadOutcome, RuntimeDirectory, steward_of
from borderpost.settings_files import clear_settings
from borderpost.worker_settings import KIND, refuse_unreloadable, settings_of
from borderpost_base.errors import BorderpostError, Problems
from support.borderpost_process import merged, small_config, write_config

STEWARD = """
import signal, sys
from pathlib import Path
from borderpost.runtime_directory import ReloadOutcome, RuntimeDirectory
from borderpost_base.errors import BorderpostError, Place

def tell(number, configuration, workers, *problems):
    if sys.argv[2] != "mute":
        ReloadOutcome(number, configuration, workers, tuple(each.as_dict() for each in problems)).write(runtime)

def hang_up(*_):
    tell(1, "refused", "kept", BorderpostError("BP0608", "because", place=Place(key="server.workers")))

with RuntimeDirectory(Path(sys.argv[1])) as runtime:
    signal.signal(signal.SIGHUP, hang_up)
    signal.signal(signal.SIGUSR2, lambda *_: tell(2, "kept", "replaced"))
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def steward(runtime: Path, manner: str = "talks") -> Iterator[int]:
    """Hold a runtime directory as a steward does: refuses SIGHUP, does SIGUSR2; yields its process id."""
    words = [sys.executable, "-c", STEWARD, str(runtime), manner]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        try:
            yield child.pid
        finally:
            child.send_signal(signal.SIGTERM)


def config_with(directory: Path, changes: dict[str, Any]) -> Config:
    base = merged(small_config({"eu-1": ("DE", 1)}), {"admin": {"port": 9464}})
    return load_config(write_config(directory, merged(base, changes)), environ={}).config


def test_the_holder_of_a_runtime_directory_is_known(tmp_path: Path) -> None:
    with pytest.raises(BorderpostError) as caught:
        steward_of(tmp_path / "state")
    assert caught.value.code == "BP0609"
    with steward(tmp_path / "state") as pid:
        assert steward_of(tmp_path / "state") == pid
        with pytest.raises(BorderpostError) as caught, RuntimeDirectory(tmp_path / "state"):
            pass
        assert caught.value.code == "BP0601"
    with pytest.raises(BorderpostError) as caught:
        steward_of(tmp_path / "state")
    assert (caught.value.code, caught.value.detail) == ("BP0609", "nobody holds its lock")


def test_a_new_steward_begins_without_the_last_ones_outcome(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path) as runtime:
        assert ReloadOutcome.read(runtime) is None
        written = ReloadOutcome(3, "taken", "not replaced", ({"code": "BP0607"},))
        written.write(runtime)
        assert ReloadOutcome.read(runtime) == written
    with RuntimeDirectory(tmp_path) as runtime:
        assert ReloadOutcome.read(runtime) is None


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "workers", 2),
        ("server", "directory", "elsewhere"),
        ("server", "listen", "tcp"),
        ("server", "host", "::1"),
        ("server", "port", 1),
        ("audit", "directory", "elsewhere"),
        ("audit", "log", "other.example/gateway"),
        ("runtime", "directory", "elsewhere"),
        ("admin", "host", "::1"),
        ("admin", "port", 1),
    ],
)
def test_what_only_a_restart_can_change_is_refused(tmp_path: Path, section: str, key: str, value: object) -> None:
    with pytest.raises(Problems) as caught:
        refuse_unreloadable(config_with(tmp_path, {}), config_with(tmp_path, {section: {key: value}}))
    assert [(each.code, each.place.key) for each in caught.value.errors] == [("BP0608", f"{section}.{key}")]


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({}, False),
        ({"here": {"country": "FR"}}, False),
        ({"regions": {"eu-2": {"country": "FR"}}}, False),
        ({"runtime": {"watch_s": 1.0}}, False),
        ({"geoip": {"max_age_days": 9}}, False),
        ({"server": {"drain_s": 1.0}}, True),
        ({"server": {"engine": "grpcio"}}, True),
        ({"server": {"mode": "0600"}}, True),
        ({"audit": {"retry_s": 0.5}}, True),
        ({"answers": {"retry_after_s": 9}}, True),
        ({"logs": {"level": "debug"}}, True),
        ({"geoip": {"remembered_addresses": 1000}}, True),
        ({"runtime": {"snapshot_max_age_s": 9.0}}, True),
    ],
)
def test_workers_start_anew_only_for_what_they_are_started_with(
    tmp_path: Path, changes: dict[str, Any], anew: bool
) -> None:
    old, new = config_with(tmp_path, {}), config_with(tmp_path, changes)
    refuse_unreloadable(old, new)
    assert (settings_of(old).write(tmp_path) != settings_of(new).write(tmp_path)) is anew


def test_a_renewed_certificate_makes_no_other_settings(tmp_path: Path) -> None:
    tls = {"certificate": "cert.pem", "key": "key.pem"}
    settings = settings_of(config_with(tmp_path, {"server": {"listen": "tcp", "tls": tls}}))
    (tmp_path / "cert.pem").write_text("one")
    first = settings.write(tmp_path)
    (tmp_path / "cert.pem").write_text("two")
    assert settings.write(tmp_path) == first
    clear_settings(tmp_path, KIND)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["borderpost.yaml", "cert.pem"]


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(write_config(tmp_path, small_config({"eu-1": ("DE", 1)})))


def test_the_command_tells_what_a_reload_came_to(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with steward(tmp_path / "state"):
        assert main(["reload", "--config", config]) == 1
        out, err = capsys.readouterr()
        assert out == "configuration: refused\nworkers: kept\n"
        assert "error[BP0608]" in err
        assert "--> server.workers\n  because\n" in err
        assert main(["reload", "--workers", "--config", config, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["configuration"], told["workers"], told["errors"]) == ("kept", "replaced", [])


def test_the_command_does_not_wait_for_ever(tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reload", "--config", config]) == 2
    assert "BP0609" in capsys.readouterr().err
    with steward(tmp_path / "state", "mute"):
        assert main(["reload", "--wait-s", "0.2", "--config", config]) == 2
        assert "no outcome within 0.2 s" in capsys.readouterr().err


def test_a_broken_configuration_is_not_even_sent(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with steward(tmp_path / "state"):
        Path(config).write_text("here: {country: DE")
        assert main(["reload", "--config", config]) == 2
        assert "BP0101" in capsys.readouterr().err
        assert ReloadOutcome.read(tmp_path / "state") is None
