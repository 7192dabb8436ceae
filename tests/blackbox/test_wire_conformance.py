"""Conformance of the wire engine by tools of others: h2spec, h2load; each skips with its reason where absent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions
from borderpost_wire.rpc.framing import framed
from borderpost_wire.service import MethodKind
from support.wire_certificates import Authority
from support.wire_server import EngineThread, ScriptedService

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
STREAM = "/test.Echo/Stream"


@pytest.fixture(scope="session")
def h2spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return h2spec, built by Go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go to build h2spec")
    directory = tmp_path_factory.mktemp("gobin")
    environment = os.environ | {"GOBIN": str(directory), "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run([go, "install", H2SPEC], env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"h2spec cannot be built here: {done.stderr[-300:]}")
    return directory / "h2spec"


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
def test_h2spec_finds_nothing(h2spec: Path, port: tuple[str, str]) -> None:
    """All of h2spec: generic, hpack and http2, in its strict mode too."""
    security, number = port
    command = [str(h2spec), "-h", "127.0.0.1", "-p", number, "-S", "-o", "3"]
    command += ["-t", "-k"] if security == "tls" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert counts is not None, done.stdout[-2000:] + done.stderr
    total, passed, _, failed = map(int, counts.groups())
    assert (failed, passed) == (0, total) and total >= 145, done.stdout


@pytest.mark.full
def test_h2load_gets_every_answer(port: tuple[str, str], tmp_path: Path) -> None:
    tool = shutil.which("h2load")
    if tool is None:
        pytest.skip("needs h2load (Debian: nghttp2-client)")
    security, number = port
    body = tmp_path / "request.bin"
    body.write_bytes(framed(b"m" * 200))
    url = f"{'https' if security == 'tls' else 'http'}://127.0.0.1:{number}{STREAM}"
    command = [tool, "-n", "20000", "-c", "4", "-m", "64", "-d", str(body)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "20000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
