"""Who may call by certificate: SPIFFE ids by the letter of their standard, names compared whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest

from borderpost_wire.callers import ANYBODY, Callers, CertificateNames, trust_domain_of
from borderpost_wire.errors import ListenError, OptionsError
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions
from borderpost_wire.service import MethodKind
from support.wire_certificates import Authority
from support.wire_server import EngineThread, ScriptedService, serving

on_each_engine = pytest.mark.usefixtures("each_engine")
CALL = "/test.Echo/Ask"
STREAM = "/test.Echo/Talk"
GATEWAY = "spiffe://cluster.local/ns/gateway/sa/envoy"


def shown(*uris: str, others: tuple[str, ...] = ()) -> CertificateNames:
    return CertificateNames(uris, frozenset(others))


@pytest.mark.parametrize("id_", [GATEWAY, "spiffe://a/b", "spiffe://td_1.example-x/A.b_c-d/0", "spiffe://a/..."])
def test_ids_of_workloads(id_: str) -> None:
    assert trust_domain_of(id_) == id_.split("/")[2]


@pytest.mark.parametrize(
    "id_",
    [
        "", "spiffe://", "spiffe://a", "spiffe://a/", "spiffe://a//b", "spiffe://a/b/", "spiffe:///b", "SPIFFE://a/b",
        "spiffe://A/b", "spiffe://a:1/b", "spiffe://u@a/b", "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a/%62",
        "spiffe://a/./b", "spiffe://a/../b", "spiffe://a/b\n", "spiffe://a\n/b", "spiffe://a/b c", "spiffe://a/*",
        "spiffe://*/b", "spiffe://ä/b", "spiffe://a/ä", "https://a/b", "spiffe:/a/b", f"spiffe://{'a' * 256}/b",
        f"spiffe://a/{'b' * 2048}", "spiffe://a/b\0",
    ],
)  # fmt: skip
def test_what_is_no_id_of_a_workload(id_: str) -> None:
    with pytest.raises(ValueError, match=r"it |trust domain|segments"):
        trust_domain_of(id_)
    assert not Callers(trust_domains=frozenset({"a"})).admit(shown(id_))


def test_names_are_compared_whole_and_by_their_kind() -> None:
    named = Callers(frozenset({GATEWAY, "gateway.example", "https://other.example/x"}))
    assert named.admit(shown(GATEWAY))
    assert named.admit(shown(others=("gateway.example",)))
    assert named.admit(shown("https://other.example/x", "urn:x"))
    for uris, others in (
        ((), (GATEWAY,)),  # a DNS name that is written like an identity
        (("gateway.example",), ()),
        ((GATEWAY, "spiffe://cluster.local/ns/other/sa/x"), ()),  # two identities are none
        ((GATEWAY, GATEWAY), ()),
        ((f"{GATEWAY}/more",), ()),
        ((GATEWAY[:-1],), ()),
        ((GATEWAY.upper(),), ()),
        ((), ("a.gateway.example", "GATEWAY.example", "*.example")),
        ((), ()),
    ):
        assert not named.admit(shown(*uris, others=others)), (uris, others)
    assert Callers().admit(shown())


def test_a_trust_domain_takes_its_workloads_and_no_others() -> None:
    callers = Callers(trust_domains=frozenset({"cluster.local"}))
    assert callers.admit(shown(GATEWAY))
    for uri in (
        "spiffe://cluster.local.evil/x",
        "spiffe://evil/cluster.local",
        "spiffe://cluster.local",
        "cluster.local",
    ):
        assert not callers.admit(shown(uri, others=("cluster.local",)))
    assert not callers.admit(shown(GATEWAY, "urn:x"))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "*.example", "spiffe://a/*", "spiffe://a", "spiffe://a/", "SPIFFE://a/b", "a\n"]
)
def test_names_that_could_mean_several_are_refused(name: str) -> None:
    with pytest.raises(OptionsError):
        Callers(frozenset({name}))


@pytest.mark.parametrize("domain", ["", "*", "*.local", "spiffe://a", "a/b", "A"])
def test_trust_domains_that_are_none_are_refused(domain: str) -> None:
    with pytest.raises(OptionsError, match="trust domain"):
        Callers(trust_domains=frozenset({domain}))


def channel(address: str, trusted: Authority, *names: str) -> grpc.Channel:
    certificate, key = trusted.issue(*names)
    ca = trusted.certificate.read_bytes()
    mine = grpc.ssl_channel_credentials(ca, key.read_bytes(), certificate.read_bytes())
    return grpc.secure_channel(address, mine, options=[("grpc.use_local_subchannel_pool", 1)])


def code_of(address: str, trusted: Authority, *names: str) -> grpc.StatusCode:
    with channel(address, trusted, *names) as to:
        try:
            to.unary_unary(CALL)(b"a", timeout=5)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def listening(
    authority: Authority, directory: Path, callers: Callers = ANYBODY, name: str = "localhost"
) -> tuple[ServerOptions, TlsOptions]:
    """Return options with files of their own, which a test may replace."""
    files = directory / "server.pem", directory / "server.key"
    put(authority.issue(name), files)
    (directory / "trusted.pem").write_bytes(authority.certificate.read_bytes())
    tls = TlsOptions(*files, directory / "trusted.pem", callers)
    return ServerOptions(listen=(TcpListen("localhost", 0, tls),)), tls


def put(pair: tuple[Path, Path], places: tuple[Path, Path]) -> None:
    for source, place in zip(pair, places, strict=True):
        place.write_bytes(source.read_bytes())


def echo() -> ScriptedService:
    return ScriptedService({CALL: MethodKind.UNARY, STREAM: MethodKind.STREAM})


@on_each_engine
def test_certificates_as_engines_see_them(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    callers = Callers(frozenset({"spiffe://one/gateway"}), frozenset({"two"}))
    options, _ = listening(authority, tmp_path, callers)
    with serving(options, echo()) as thread:
        (address,) = thread.engine.addresses
        for names in (("spiffe://one/gateway",), ("spiffe://two/any",), ("spiffe://two/any", "dns.example")):
            assert code_of(address, authority, *names) is grpc.StatusCode.OK, names
        for names in (("spiffe://one/other",), ("spiffe://two/any", "spiffe://two/more"), ("two",)):
            assert code_of(address, authority, *names) is grpc.StatusCode.PERMISSION_DENIED, names


def served(address: str) -> str:
    """Return the certificate that a server shows now, PEM."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), timeout=5) as raw, context.wrap_socket(raw) as peer:
        return ssl.DER_cert_to_PEM_cert(peer.getpeercert(binary_form=True) or b"")


@on_each_engine
def test_renewed_certificates_are_shown_and_a_stream_under_way_goes_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    options, tls = listening(authority, tmp_path)
    with serving(options, echo()) as thread, channel(thread.engine.addresses[0], authority, "a.example") as to:
        (address,) = thread.engine.addresses
        first = served(address)
        assert first == tls.certificate.read_text()
        asked = Questions()
        answers = to.stream_stream(STREAM)(iter(asked), timeout=20)
        assert asked.ask(b"1", answers) == b"re:1"
        put(authority.issue("localhost"), (tls.certificate, tls.key))
        assert served(address) == first  # nobody has said so yet
        thread.run(thread.engine.renew)
        assert served(address) == tls.certificate.read_text() != first
        assert asked.ask(b"2", answers) == b"re:2"
        assert to.unary_unary(CALL)(b"a", timeout=5, wait_for_ready=True) == b"re:a"
        assert asked.ask(b"3", answers) == b"re:3"
        asked.end()
        assert list(answers) == []
        assert answers.code() is grpc.StatusCode.OK
        assert code_of(address, authority, "b.example") is grpc.StatusCode.OK


@on_each_engine
@pytest.mark.parametrize("spoilt", ["certificate", "key", "client_ca"])
def test_broken_certificates_change_nothing(tmp_path: Path, spoilt: str) -> None:
    authority = Authority(tmp_path)
    options, tls = listening(authority, tmp_path)
    with serving(options, echo()) as thread:
        (address,) = thread.engine.addresses
        first = served(address)
        whole = {path: path.read_bytes() for path in (tls.certificate, tls.key)}
        put(authority.issue("localhost"), (tls.certificate, tls.key))
        file: Path = getattr(tls, spoilt)
        for content in (b"", b"rubbish", whole.get(file), None):  # the old half of a pair does not fit the new one
            if content is not None:
                file.write_bytes(content)
            elif spoilt != "client_ca":
                file.unlink()
            if content is not None or spoilt != "client_ca":
                with pytest.raises(ListenError):
                    thread.run(thread.engine.renew)
            assert served(address) == first
            assert code_of(address, authority, "a.example") is grpc.StatusCode.OK


@on_each_engine
def test_an_authority_that_is_replaced_is_not_trusted_any_more(tmp_path: Path, each_engine: str) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    options, tls = listening(old, tmp_path)
    assert tls.client_ca is not None
    with serving(options, echo()) as thread, channel(thread.engine.addresses[0], old, "a.example") as to:
        (address,) = thread.engine.addresses
        assert to.unary_unary(CALL)(b"a", timeout=5) == b"re:a"
        put(new.issue("localhost"), (tls.certificate, tls.key))
        tls.client_ca.write_bytes(new.certificate.read_bytes())
        thread.run(thread.engine.renew)
        assert code_of(address, new, "a.example") is grpc.StatusCode.OK
        assert code_of(address, old, "a.example") is grpc.StatusCode.UNAVAILABLE
        if each_engine == "wire":  # it sends away who came by the old one; grpcio's workers are replaced
            with pytest.raises(grpc.RpcError):
                for _ in range(20):
                    to.unary_unary(CALL)(b"a", timeout=1)


@on_each_engine
def test_files_on_a_disk_that_hangs_keep_nobody_waiting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    options, tls = listening(authority, tmp_path)
    with serving(options, echo()) as thread, channel(thread.engine.addresses[0], authority, "a.example") as to:
        assert to.unary_unary(CALL)(b"a", timeout=5) == b"re:a"
        tls.certificate.unlink()
        os.mkfifo(tls.certificate)  # whoever reads it waits for what this test writes
        renewing = asyncio.run_coroutine_threadsafe(thread.engine.renew(), thread.loop)
        hanging = writer_of(tls.certificate)
        try:
            assert to.unary_unary(CALL)(b"b", timeout=5) == b"re:b"
            assert not renewing.done()
        finally:
            tls.certificate.unlink()
            tls.certificate.write_bytes(b"")  # whoever opens it once more does not wait
            os.close(hanging)
        with pytest.raises(ListenError):
            renewing.result(10)
        assert to.unary_unary(CALL)(b"c", timeout=5) == b"re:c"


def writer_of(pipe: Path) -> int:
    """Return a pipe's end for writing once somebody reads it."""
    for _ in range(1000):
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError("nobody reads it")


def test_renewing_what_is_not_encrypted_or_not_started_does_nothing(tmp_path: Path, each_engine: str) -> None:
    with serving(ServerOptions(listen=(TcpListen("127.0.0.1", 0),)), echo()) as thread:
        thread.run(thread.engine.renew)
        with grpc.insecure_channel(thread.engine.addresses[0]) as to:
            assert to.unary_unary(CALL)(b"a", timeout=5) == b"re:a"
    options, tls = listening(Authority(tmp_path), tmp_path)
    idle = EngineThread(options, [echo()], each_engine)
    idle.run(idle.engine.renew)
    idle.close()
    assert tls.certificate.exists()


class Questions:
    """What a client sends on a stream, one after another."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._waiting.get, None)

    def ask(self, question: bytes, answers: Iterator[bytes]) -> bytes:
        """Send one and return what comes back."""
        self._waiting.put(question)
        return next(answers)

    def end(self) -> None:
        """Send no more."""
        self._waiting.put(None)
