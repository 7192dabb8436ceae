"""Other users of the machine at the socket of the whole product: they cannot ask, and so cannot fill the log."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from borderpost_envoy import Via
from support.clients import AMERICAN, GERMAN, IRANIAN
from support.gateway import gateway

pytestmark = [
    pytest.mark.blackbox,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user"),
]

NOBODY = 65534
CONNECT = """
import os, socket, sys
user = int(sys.argv[2])
os.setgroups([])
os.setgid(user)
os.setuid(user)
with socket.socket(socket.AF_UNIX) as door:
    try:
        door.connect(sys.argv[1])
    except PermissionError:
        sys.exit(13)
"""


def _connect(path: Path, user: int) -> int:
    """Try to connect as a user, who need not be able to start Python; return 0, or 13 for EACCES."""
    command = [sys.executable, "-c", CONNECT, str(path), str(user)]
    return subprocess.run(command, timeout=30, check=False).returncode


@pytest.mark.parametrize("via", list(Via))
def test_other_user_is_kept_out(via: Via) -> None:
    """By the socket's directory, by the socket itself where the directory is open, and Envoy is no exception."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with gateway(directory, via=via, envoy_user=NOBODY) as gate:
            socket = directory / "server" / "worker-0.sock"
            assert socket.stat().st_mode & 0o777 == 0o660
            assert _connect(socket, NOBODY) == 13
            socket.parent.chmod(0o755)
            assert _connect(socket, NOBODY) == 13
            assert _connect(socket, 0) == 0
            lie = [("x-borderpost-cluster", "us-east-1")]
            assert [gate.send(client, lie).status for client in (GERMAN, AMERICAN, IRANIAN)] == [503] * 3
            assert gate.served == {}
            assert gate.decisions() == []


def test_envoy_s_group_is_let_in() -> None:
    group = grp.getgrgid(NOBODY).gr_name
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with gateway(directory, envoy_user=NOBODY, server={"group": group}) as gate:
            assert gate.send(GERMAN).region == "eu-central-1"
            assert gate.send(IRANIAN).status == 451


def test_only_named_peers_are_answered() -> None:
    """The group lets Envoy's user in; the list of peers has the last word."""
    user, group = pwd.getpwuid(NOBODY).pw_name, grp.getgrgid(NOBODY).gr_name
    for peers, region in (({"peer_users": [0, 1]}, None), ({"peer_users": [user]}, "eu-central-1")):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)
            with gateway(directory, envoy_user=NOBODY, server={"group": group, "engine": "wire", **peers}) as gate:
                seen = gate.send(GERMAN)
                assert seen.region == region
                assert len(gate.decisions()) == (0 if region is None else 1)
                if region is None:
                    assert seen.status == 503 and gate.served == {}
