"""Clients by others at the wire engine: grpc-go (grpcurl, ghz), nghttp2 (h2load), Envoy; Unix sockets, TCP, TLS.

grpcio, the sixth, is the client of most unit tests. What a tool can reach by reflection, it finds by reflection.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from borderpost.demo.children import free_port
from borderpost.descriptors import descriptor_set
from borderpost.processor import AUTHORIZATION_SERVICE, EXTERNAL_PROCESSOR_SERVICE
from borderpost_envoy import Via
from borderpost_wire.health import HealthService
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions, UnixListen
from borderpost_wire.reflection import INFO, ReflectionService
from borderpost_wire.rpc.framing import framed
from borderpost_wire.service import Call, MethodKind
from support.certificates import CertificateAuthority
from support.clients import AMERICAN, GERMAN, IRANIAN
from support.gateway import gateway
from support.go_tools import go_tool
from support.wire_certificates import Authority
from support.wire_server import EngineThread, ScriptedService

PROCESS, CHECK = f"{EXTERNAL_PROCESSOR_SERVICE}/Process", f"{AUTHORIZATION_SERVICE}/Check"
HEALTH = "grpc.health.v1.Health"


@dataclass(frozen=True, slots=True)
class Door:
    """How a server of two empty-handed services, with health and reflection, is reached."""

    kind: str
    address: str
    """`host:port`, or the path of a socket."""
    authority: Path | None
    thread: EngineThread


def _answer_empty(batch: Sequence[tuple[Call, bytes]]) -> None:
    for call, _ in batch:
        call.reply(b"")


@pytest.fixture(params=["unix", "tcp", "tls"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    authority = None
    listen: UnixListen | TcpListen = UnixListen(tmp_path / "s.sock")
    if request.param != "unix":
        tls = None
        if request.param == "tls":
            issuer = Authority(tmp_path)
            authority, tls = issuer.certificate, TlsOptions(*issuer.issue("localhost"))
        listen = TcpListen("localhost", 0, tls)
    services = {f"/{PROCESS}": MethodKind.STREAM, f"/{CHECK}": MethodKind.UNARY}
    thread = EngineThread(
        ServerOptions(listen=(listen,)),
        [ScriptedService(services, _answer_empty), HealthService({"": True}), ReflectionService(descriptor_set())],
        "wire",
    ).start()
    yield Door(request.param, thread.engine.addresses[0].removeprefix("unix:"), authority, thread)
    thread.close()


def grpcurl(door: Door, *words: str, ask: str | None = None, fails: bool = False) -> str:
    """Run grpcurl with words behind its options and address; return what it printed."""
    command = [str(go_tool("grpcurl")), "-max-time", "10"]
    target = f"unix:{door.address}" if door.kind == "unix" else door.address
    command += ["-plaintext"] if door.authority is None else ["-cacert", str(door.authority)]
    command += ["-d", ask] if ask is not None else []
    done = subprocess.run([*command, target, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) is fails, done.stderr
    return done.stdout + done.stderr if fails else done.stdout


@pytest.mark.full
def test_grpcurl_lists_describes_and_calls(door: Door) -> None:
    assert grpcurl(door, "list").split() == [AUTHORIZATION_SERVICE, EXTERNAL_PROCESSOR_SERVICE, HEALTH]
    assert grpcurl(door, "list", EXTERNAL_PROCESSOR_SERVICE).split() == [PROCESS.replace("/", ".")]
    told = grpcurl(door, "describe", EXTERNAL_PROCESSOR_SERVICE)
    assert (
        "rpc Process ( stream .borderpost.ext_proc.v1.ProcessingRequest ) returns "
        "( stream .borderpost.ext_proc.v1.ProcessingResponse );"
    ) in told
    assert "HttpHeaders request_headers = 2;" in grpcurl(door, "describe", "borderpost.ext_proc.v1.ProcessingRequest")
    assert "Symbol not found" in grpcurl(door, "describe", "no.Such", fails=True)
    question = '{"request_headers": {"end_of_stream": true}}'
    assert grpcurl(door, PROCESS, ask=question * 3).split() == ["{}", "{}", "{}"]
    assert json.loads(grpcurl(door, f"{HEALTH}/Check", ask="{}")) == {"status": "SERVING"}
    assert "NotFound" in grpcurl(door, f"{HEALTH}/Check", ask='{"service": "no.Such"}', fails=True)


@pytest.mark.full
@pytest.mark.parametrize("method", [PROCESS, CHECK])
def test_ghz_gets_every_answer(door: Door, method: str) -> None:
    target = f"unix:{door.address}" if door.kind == "unix" else door.address
    command = [str(go_tool("ghz")), "--call", method, "-n", "2000", "-c", "20", "-d", "{}", "--format", "json"]
    command += ["--insecure"] if door.authority is None else ["--cacert", str(door.authority)]
    done = subprocess.run([*command, target], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statusCodeDistribution"] == {"OK": 2000}
    assert door.thread.engine.counters.messages >= 2000


@pytest.mark.full
def test_h2load_gets_every_answer(door: Door, tmp_path: Path) -> None:
    tool = shutil.which("h2load")
    if tool is None:
        pytest.skip("needs h2load (Debian: nghttp2-client)")
    body = tmp_path / "request.bin"
    body.write_bytes(framed(b"m" * 200))
    scheme = "http" if door.authority is None else "https"
    url = f"{scheme}://{'localhost' if door.kind == 'unix' else door.address}/{PROCESS}"
    command = [tool, "-n", "20000", "-c", "4", "-m", "64", "-d", str(body)]
    command += ["-B", f"unix:{door.address}"] if door.kind == "unix" else []
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "20000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    assert "status codes: 20000 2xx" in done.stdout


@pytest.mark.blackbox
@pytest.mark.parametrize("via", list(Via))
def test_envoy_over_mutual_tls(via: Via, tmp_path: Path) -> None:
    """Envoy shows a certificate whose name is listed, and checks ours; the same law as over the socket."""
    authority = CertificateAuthority(tmp_path, "doors")
    certificate, key = authority.issue("server", dns=["localhost"])
    client = authority.issue("envoy", uris=["spiffe://example/envoy"])
    tls = {
        "certificate": str(certificate), "key": str(key), "client_ca": str(authority.path),
        "client_sans": ["spiffe://example/envoy"],
    }  # fmt: skip
    server = {"listen": "tcp", "engine": "wire", "port": free_port(), "tls": tls}
    options = ["--server-ca", str(authority.path), "--server-name", "localhost"]
    options += ["--server-client", *map(str, client)]
    with gateway(tmp_path, via=via, options=options, server=server) as gate:
        answers = [gate.send(each) for each in (GERMAN, AMERICAN, IRANIAN)]
        assert [(each.status, each.region) for each in answers[:2]] == [(200, "eu-central-1"), (200, "us-east-1")]
        assert answers[2].status == 451
        assert len(gate.decisions()) == 3
        mine = grpc.ssl_channel_credentials(authority.path.read_bytes(), *(path.read_bytes() for path in client[::-1]))
        with grpc.secure_channel(f"localhost:{server['port']}", mine) as channel:
            (listed,) = channel.stream_stream(INFO)(iter([b"\x3a\x00"]))
            assert all(name.encode() in listed for name in (EXTERNAL_PROCESSOR_SERVICE, AUTHORIZATION_SERVICE, HEALTH))
