"""Conformance of the wire engine, judged by h2spec on cleartext and on TLS."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions
from borderpost_wire.service import MethodKind
from support.go_tools import go_tool
from support.wire_certificates import Authority
from support.wire_server import EngineThread, ScriptedService

STREAM = "/test.Echo/Stream"


@pytest.fixture(params=["cleartext", "tls"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return how a server is reached, and its port."""
    tls = None
    if request.param == "tls":
        tls = TlsOptions(*Authority(tmp_path).issue("localhost"))
    options = ServerOptions(listen=(TcpListen("127.0.0.1", 0, tls),))
    thread = EngineThread(options, [ScriptedService({STREAM: MethodKind.STREAM})], "wire").start()
    yield request.param, thread.engine.addresses[0].rpartition(":")[2]
    thread.close()


@pytest.mark.full
def test_h2spec_finds_nothing(port: tuple[str, str]) -> None:
    """All of h2spec: generic, hpack and http2, in its strict mode too. See `support.h2spec_cases` for its age."""
    security, number = port
    command = [str(go_tool("h2spec")), "-h", "127.0.0.1", "-p", number, "-S", "-o", "3"]
    command += ["-t", "-k"] if security == "tls" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert counts is not None, done.stdout[-2000:] + done.stderr
    total, passed, _, failed = map(int, counts.groups())
    assert (failed, passed) == (0, total) and total == 146, done.stdout
