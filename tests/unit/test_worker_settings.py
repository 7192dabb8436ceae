"""Worker settings: what the steward writes is what a worker reads, whole, and nobody else may."""

from __future__ import annotations

import ast
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from borderpost.config.load import load_config
from borderpost.config.sections import ServerSpec
from borderpost.worker import listen_of
from borderpost.worker_settings import WorkerSettings, settings_of
from borderpost_base.errors import BorderpostError
from borderpost_wire.options import UnixListen
from support.borderpost_process import merged, small_config, write_config


def settings(directory: Path) -> WorkerSettings:
    changes = {"server": {"workers": 3, "drain_s": 0.5}, "logs": {"level": "debug"}, "answers": {"retry_after_s": 9}}
    config = load_config(write_config(directory, merged(small_config({"eu-1": ("DE", 1)}), changes)), environ={}).config
    return settings_of(config)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = settings(tmp_path)
    read = WorkerSettings.read(tmp_path / written.write(tmp_path))
    assert read == written
    assert (read.server.workers, read.server.drain_s, read.answers.retry_after_s) == (3, 0.5, 9)
    assert read.audit.directory == tmp_path / "audit"


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    name = settings(tmp_path).write(tmp_path)
    first = (tmp_path / name).stat()
    assert stat.S_IMODE(first.st_mode) == 0o600
    assert settings(tmp_path).write(tmp_path) == name
    assert (tmp_path / name).stat().st_ino != first.st_ino
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_peers_of_a_worker_are_numbers(tmp_path: Path) -> None:
    server = ServerSpec(peer_users=("root", 101), peer_groups=("root", 102))
    listen = listen_of(server, 0)
    assert isinstance(listen, UnixListen)
    assert (listen.peer_uids, listen.peer_gids) == ({0, 101}, {0, 102})
    with pytest.raises(BorderpostError) as caught:
        listen_of(ServerSpec(peer_groups=("no-such-group",)), 0)
    assert (caught.value.code, caught.value.place.key) == ("BP0501", "server.peer_groups")


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "worker.json"
    path.write_text('{"server": {}, "extra": 1}')
    with pytest.raises(BorderpostError) as caught:
        WorkerSettings.read(path)
    assert (caught.value.code, caught.value.place.file) == ("BP0614", str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        WorkerSettings.read(path)


def test_a_worker_loads_no_signatures_no_clients_and_no_web_server() -> None:
    """All that is the steward's: in a worker it would be memory, and a way in."""
    program = "import sys, borderpost.worker; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert "borderpost_wire" in loaded
    assert not loaded & {"cryptography", "redis", "starlette", "uvicorn"}
