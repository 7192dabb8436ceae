"""Listeners: Unix socket permissions, restarts, TLS and mTLS."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from borderpost_wire.callers import Callers
from borderpost_wire.errors import AddressInUse, ListenError, OptionsError
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions, UnixListen
from borderpost_wire.service import MethodKind
from borderpost_wire.unix_socket import publish
from support.wire_certificates import Authority
from support.wire_server import EngineThread, ScriptedService, serving

pytestmark = pytest.mark.usefixtures("each_engine")

UNARY = "/test.Echo/Unary"
NOBODY = 65534


def echo() -> ScriptedService:
    return ScriptedService({UNARY: MethodKind.UNARY})


def unix(path: Path, **kwargs: int) -> ServerOptions:
    return ServerOptions(listen=(UnixListen(path, **kwargs),))


def ask(address: str, credentials: grpc.ChannelCredentials | None = None) -> bytes:
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        channel = grpc.secure_channel(address, credentials, options=options)
    with channel:
        answer: bytes = channel.unary_unary(UNARY)(b"a", timeout=5)
        return answer


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_directory_and_socket_get_their_modes_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0o000, 0o077):
        old = os.umask(mask)
        try:
            path = tmp_path / f"run-{mask:o}" / "s.sock"
            with serving(unix(path), echo()):
                assert (mode_of(path.parent), mode_of(path)) == (0o750, 0o660)
                assert os.umask(mask) == mask, "the process's mask is as it was"
                assert ask(f"unix:{path}") == b"re:a"
                assert sorted(each.name for each in path.parent.iterdir()) == ["s.sock"]
            assert list(path.parent.iterdir()) == []
        finally:
            os.umask(old)


def test_socket_is_private_until_it_has_its_public_name(tmp_path: Path) -> None:
    """At the moment of binding, only the owner may connect, and the public name does not exist."""
    seen: list[tuple[str, int, bool]] = []
    path = tmp_path / "s.sock"

    def bind(private: Path) -> None:
        listener.bind(str(private))
        seen.append((private.name, mode_of(private), path.exists()))

    with socket.socket(socket.AF_UNIX) as listener:
        published = publish(UnixListen(path, mode=0o640), bind)
        assert seen == [(".s.sock.new", 0o600, False)]
        assert mode_of(path) == 0o640
        published.remove()
        assert not path.exists()


def test_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    with serving(unix(directory / "s.sock"), echo()):
        assert mode_of(directory) == 0o700


def test_restart_at_the_same_path(tmp_path: Path) -> None:
    for _ in range(3):
        with serving(unix(tmp_path / "s.sock"), echo()) as thread:
            assert ask(thread.engine.addresses[0]) == b"re:a"


def test_second_server_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    options = unix(tmp_path / "s.sock")
    with serving(options, echo()) as first:
        with pytest.raises(AddressInUse, match="another server answers there"):
            EngineThread(options, [echo()]).start()
        assert ask(first.engine.addresses[0]) == b"re:a"
    with serving(options, echo()) as again:
        assert ask(again.engine.addresses[0]) == b"re:a"


def test_stopping_leaves_the_successors_socket_alone(tmp_path: Path) -> None:
    """A predecessor whose name was taken away (by hand, say) does not remove its successor's."""
    path = tmp_path / "s.sock"
    first = EngineThread(unix(path), [echo()]).start()
    path.unlink()
    with serving(unix(path), echo()) as second:
        first.close()
        assert ask(second.engine.addresses[0]) == b"re:a"


def test_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    private = tmp_path / ".s.sock.new"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(private))
    with serving(unix(path), echo()) as thread:
        assert ask(thread.engine.addresses[0]) == b"re:a"
        assert not private.exists()


SERVE = """
import asyncio, sys
from pathlib import Path
import uvloop
from borderpost_wire.engines import make_engine
from borderpost_wire.options import ServerOptions, UnixListen

async def main():
    engine = make_engine(sys.argv[2], ServerOptions(listen=(UnixListen(Path(sys.argv[1])),)), [])
    await engine.start()
    print("started", flush=True)
    await engine.wait()

uvloop.run(main())
"""


def test_killed_servers_socket_is_replaced(tmp_path: Path, each_engine: str) -> None:
    path = tmp_path / "s.sock"
    with subprocess.Popen([sys.executable, "-c", SERVE, str(path), each_engine], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"started\n"
        with pytest.raises(AddressInUse):
            EngineThread(unix(path), [echo()]).start()
        server.send_signal(signal.SIGKILL)
    assert path.is_socket()
    with serving(unix(path), echo()) as thread:
        assert ask(thread.engine.addresses[0]) == b"re:a"


def test_what_is_not_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(ListenError, match="not a socket"):
        EngineThread(unix(path), [echo()]).start()
    assert path.read_text() == "precious"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ListenError, match="not a socket"):
        EngineThread(unix(path), [echo()]).start()


def test_directory_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o1777)
    with pytest.raises(ListenError, match="writable by every local user"):
        EngineThread(unix(directory / "s.sock"), [echo()]).start()


def test_path_too_long(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="longer than"):
        EngineThread(unix(tmp_path / ("x" * 120)), [echo()]).start()


def test_missing_parent_directory(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="No such file"):
        EngineThread(unix(tmp_path / "a" / "b" / "s.sock"), [echo()]).start()


def test_failure_of_a_later_listener_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "s.sock"
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
            EngineThread(ServerOptions(listen=(UnixListen(path), TcpListen("127.0.0.1", port))), [echo()]).start()
    assert list(tmp_path.iterdir()) == []


CONNECT_AS = """
import os, socket, sys
os.setgroups([int(sys.argv[3])] if sys.argv[3] else [])
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
else:
    print("connected")
"""


def connect_as(path: Path, user: int, group: str = "") -> str:
    command = [sys.executable, "-c", CONNECT_AS, str(path), str(user), group]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


@pytest.mark.root
def test_another_local_user_cannot_connect(open_directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: takes the place of another user")
    path = open_directory / "run" / "s.sock"
    with serving(unix(path, gid=4242), echo()):
        assert (path.stat().st_gid, path.parent.stat().st_gid) == (4242, 4242)
        assert connect_as(path, 0) == "connected"
        assert connect_as(path, NOBODY) == "PermissionError"
        path.parent.chmod(0o755)
        assert connect_as(path, NOBODY) == "PermissionError", "the socket's own mode protects it too"
        assert connect_as(path, NOBODY, "4242") == "connected", "Envoy, in the group"


def test_owner_that_may_not_be_set(open_directory: Path, each_engine: str) -> None:
    """A server without the right to give its socket away says so and leaves nothing behind."""
    drop = "import os, borderpost_wire.grpcio_engine\n"
    if os.geteuid() == 0:
        drop += f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        os.chown(open_directory, NOBODY, NOBODY)
    code = SERVE.replace("Path(sys.argv[1])", "Path(sys.argv[1]), uid=0").replace("uvloop.run", drop + "uvloop.run")
    command = [sys.executable, "-c", code, str(open_directory / "s.sock"), each_engine]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode != 0
    assert "Operation not permitted" in run.stderr
    assert list(open_directory.iterdir()) == []


def test_options_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="every local user"):
        UnixListen(tmp_path / "s", mode=0o666)
    with pytest.raises(OptionsError, match="not a file mode"):
        UnixListen(tmp_path / "s", mode=0o1660)
    with pytest.raises(OptionsError, match="not absolute"):
        UnixListen(Path("s.sock"))
    with pytest.raises(OptionsError, match="port"):
        TcpListen("::1", 65536)
    with pytest.raises(OptionsError, match="at least one"):
        ServerOptions(listen=())
    with pytest.raises(OptionsError, match="same address"):
        ServerOptions(listen=(TcpListen("::1", 1), TcpListen("::1", 1)))
    with pytest.raises(OptionsError, match="calls_max"):
        ServerOptions(listen=(TcpListen("::1", 0), TcpListen("::1", 0)), calls_max=0)
    with pytest.raises(OptionsError, match="client_ca"):
        TlsOptions(tmp_path, tmp_path, callers=Callers(frozenset({"a"})))


def test_plain_tcp() -> None:
    with serving(ServerOptions(listen=(TcpListen("127.0.0.1", 0),)), echo()) as thread:
        (address,) = thread.engine.addresses
        assert not address.endswith(":0")
        assert ask(address) == b"re:a"


def test_second_server_at_a_port_is_refused() -> None:
    with serving(ServerOptions(listen=(TcpListen("127.0.0.1", 0),)), echo()) as first:
        port = int(first.engine.addresses[0].rpartition(":")[2])
        with pytest.raises(ListenError, match="could not bind"):
            EngineThread(ServerOptions(listen=(TcpListen("127.0.0.1", port),)), [echo()]).start()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def credentials(trusted: Authority, identity: str | None = None) -> grpc.ChannelCredentials:
    ca = trusted.certificate.read_bytes()
    if identity is None:
        return grpc.ssl_channel_credentials(ca)
    certificate, key = trusted.issue(identity)
    return grpc.ssl_channel_credentials(ca, key.read_bytes(), certificate.read_bytes())


def tls(trusted: Authority, *, clients: bool = False, sans: frozenset[str] = frozenset()) -> ServerOptions:
    certificate, key = trusted.issue("localhost")
    options = TlsOptions(certificate, key, trusted.certificate if clients else None, Callers(sans))
    return ServerOptions(listen=(TcpListen("localhost", 0, options),))


def refusal(address: str, given: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        ask(address, given)
    code: grpc.StatusCode = caught.value.code()
    return code


def test_tls(authority: Authority, tmp_path: Path) -> None:
    with serving(tls(authority), echo()) as thread:
        (address,) = thread.engine.addresses
        assert ask(address, credentials(authority)) == b"re:a"
        assert refusal(address, None) is grpc.StatusCode.UNAVAILABLE
        assert refusal(address, credentials(Authority(tmp_path))) is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(authority: Authority, tmp_path: Path) -> None:
    with serving(tls(authority, clients=True), echo()) as thread:
        (address,) = thread.engine.addresses
        assert ask(address, credentials(authority, "spiffe://example/envoy")) == b"re:a"
        assert refusal(address, credentials(authority)) is grpc.StatusCode.UNAVAILABLE
        stranger = Authority(tmp_path)
        certificate, key = stranger.issue("spiffe://example/envoy")
        ca = authority.certificate.read_bytes()
        forged = grpc.ssl_channel_credentials(ca, key.read_bytes(), certificate.read_bytes())
        assert refusal(address, forged) is grpc.StatusCode.UNAVAILABLE


def test_client_names(authority: Authority) -> None:
    service = echo()
    allowed = frozenset({"spiffe://example/envoy", "gateway.example"})
    with serving(tls(authority, clients=True, sans=allowed), service) as thread:
        (address,) = thread.engine.addresses
        for name in allowed:
            assert ask(address, credentials(authority, name)) == b"re:a"
        for name in ("spiffe://example/other", "spiffe://example/envoy/x"):
            assert refusal(address, credentials(authority, name)) is grpc.StatusCode.PERMISSION_DENIED
        assert thread.engine.counters.refused == 2
        assert len(service.seen) == 2


def test_certificates_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("localhost")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for pair in ((tmp_path / "absent.pem", key), (certificate, rubbish), (rubbish, key)):
        with pytest.raises(ListenError):
            EngineThread(ServerOptions(listen=(TcpListen("localhost", 0, TlsOptions(*pair)),)), [echo()]).start()


def test_client_names_that_differ_by_listener(authority: Authority, each_engine: str) -> None:
    certificate, key = authority.issue("localhost")
    one, two = (
        TcpListen("localhost", 0, TlsOptions(certificate, key, authority.certificate, Callers(frozenset({name}))))
        for name in ("a", "b")
    )
    options = ServerOptions(listen=(one, two))
    if each_engine == "grpcio":
        with pytest.raises(OptionsError, match="callers"):
            EngineThread(options, [echo()])
        return
    with serving(options, echo()) as thread:
        first, second = thread.engine.addresses
        identity = credentials(authority, "a")
        assert ask(first, identity) == b"re:a"
        assert refusal(second, identity) is grpc.StatusCode.PERMISSION_DENIED


def test_start_from_many_at_once_gives_one_server(tmp_path: Path) -> None:
    options = unix(tmp_path / "s.sock")
    started: list[EngineThread] = []
    refused: list[ListenError] = []

    def start() -> None:
        thread = EngineThread(options, [echo()])
        try:
            started.append(thread.start())
        except AddressInUse as error:
            refused.append(error)

    starters = [threading.Thread(target=start) for _ in range(6)]
    for each in starters:
        each.start()
    for each in starters:
        each.join(30)
    try:
        assert (len(started), len(refused)) == (1, 5)
        assert ask(started[0].engine.addresses[0]) == b"re:a"
    finally:
        for thread in started:
            thread.close()
