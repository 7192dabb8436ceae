"""Certificates between Envoy and Borderpost, renewed under load on a real Envoy: no stream is dropped."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.children import free_port
from borderpost_envoy import Via
from support.certificates import CertificateAuthority
from support.clients import GERMAN
from support.faults import acknowledged_in_log, log_lines, small_gate
from support.gateway import Gateway, eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
GATEWAY = "spiffe://cluster.local/ns/ai-gateway/sa/ai-gateway"


class Files:
    """The certificates that Borderpost is told of, and an authority to renew them by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority(directory, "doors")
        self.port = free_port()
        self.certificate, self.key = directory / "tls.crt", directory / "tls.key"
        self.renew()

    def renew(self) -> None:
        """Put another pair in place, each whole, the key first."""
        fresh, key = self.authority.issue("fresh", dns=["localhost"])
        key.replace(self.key)
        fresh.replace(self.certificate)

    @property
    def shown(self) -> str:
        """Return the certificate that a worker shows, PEM; an Envoy that asks anew would be shown the same."""
        return ssl.get_server_certificate(("127.0.0.1", self.port))

    def server(self, engine: str, **tls: Any) -> dict[str, Any]:
        """Return the section `server`."""
        paths = {"certificate": str(self.certificate), "key": str(self.key), "client_ca": str(self.authority.path)}
        return {"listen": "tcp", "port": self.port, "engine": engine, "tls": {**paths, **tls}}

    def options(self, identity: str = GATEWAY) -> list[str]:
        """Return the words for `render envoy`."""
        client = self.authority.issue("envoy", uris=[identity])
        return [
            *("--server-ca", str(self.authority.path), "--server-name", "localhost"),
            *("--server-client", *map(str, client)),
        ]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(("engine", "via"), [("wire", Via.EXT_PROC), ("grpcio", Via.EXT_PROC), ("wire", Via.EXT_AUTHZ)])
def test_renewed_certificates_drop_no_stream(tmp_path: Path, files: Files, engine: str, via: Via) -> None:
    """One worker on one port, renewed twice: nobody else could have served meanwhile."""
    server = files.server(engine, client_sans=[GATEWAY])
    with small_gate(tmp_path, via=via, server=server, options=files.options(), runtime={"watch_s": 0.1}) as gate:
        before, first = gate.worker_pids(), files.shown

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            for times in range(1, 3):
                files.renew()
                eventually(lambda times=times: renewals(gate) == times, "renewed")  # type: ignore[misc]
                served = sum(gate.served.values())
                eventually(lambda served=served: sum(gate.served.values()) > served + 50, "more are served")  # type: ignore[misc]

        observed = gate.load([GERMAN], during=during)
        assert observed.statuses.keys() == {200}, observed.statuses
        assert observed.statuses[200] >= 200
        acknowledged_in_log(gate, observed)
        assert gate.worker_pids() == before
        assert files.shown == files.certificate.read_text() != first
        assert not log_lines(gate, level="error")
        assert gate.metric("borderpost_reload_total", what="certificates", result="taken") == 2


def test_another_authority_has_the_workers_of_grpcio_replaced(tmp_path: Path, files: Files) -> None:
    """It cannot send single connections away. A port is bound anew for it: meanwhile Envoy asks the other worker."""
    files.port = free_ports(2)
    bundle = tmp_path / "trusted.pem"
    bundle.write_bytes(files.authority.path.read_bytes())
    server = {**files.server("grpcio", client_ca=str(bundle)), "drain_s": 2.0}
    how: dict[str, Any] = {"options": files.options(), "runtime": {"watch_s": 0.1}, "workers": 2}
    with small_gate(tmp_path, server=server, **how) as gate:
        before = set(gate.worker_pids().values())

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            other = CertificateAuthority(tmp_path, "other")
            fresh = tmp_path / "fresh.pem"
            fresh.write_bytes(bundle.read_bytes() + other.path.read_bytes())
            fresh.replace(bundle)
            eventually(lambda: bool(log_lines(gate, event="reloaded", workers="replaced")), "workers replaced")

        observed = gate.load([GERMAN], during=during, pause_s=0.005)
        assert observed.statuses.keys() == {200}, observed.statuses
        acknowledged_in_log(gate, observed)
        assert not before & set(gate.worker_pids().values())
        assert not log_lines(gate, level="error")


def free_ports(count: int) -> int:
    """Return the first of so many ports of loopback in a row that were free a moment ago."""
    while True:
        first = free_port()
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return first


def renewals(gate: Gateway) -> int:
    return len(log_lines(gate, event="certificates renewed"))


def test_broken_certificates_keep_the_old_ones_and_are_told(tmp_path: Path, files: Files) -> None:
    with small_gate(
        tmp_path, server=files.server("wire"), options=files.options(), runtime={"watch_s": 0.1}
    ) as gate:  # fmt: skip
        first = files.shown

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
            files.certificate.write_text("half of a certifi")
            eventually(lambda: bool(log_lines(gate, code="BP0504")), "the refusal is told")

        observed = gate.load([GERMAN], during=during)
        assert observed.statuses.keys() == {200}, observed.statuses
        assert files.shown == first
        status, text = gate.service.admin("/readyz")
        assert (status, "BP0504" in text) == (200, True)
        assert gate.metric("borderpost_reload_stale", what="certificates") == 1
        assert gate.metric("borderpost_certificate_expiry_timestamp_seconds") > 0
        files.renew()
        eventually(lambda: renewals(gate) == 1, "mended, it is taken")
        assert files.shown == files.certificate.read_text()
        assert "BP0504" not in gate.service.admin("/readyz")[1]
        assert gate.send(GERMAN).status == 200


@pytest.mark.parametrize(
    ("callers", "identity", "status"),
    [
        ({"client_trust_domains": ["cluster.local"]}, GATEWAY, 200),
        ({"client_sans": [GATEWAY]}, f"{GATEWAY}-canary", 503),
    ],
)
def test_only_named_gateways_are_answered(
    tmp_path: Path, files: Files, callers: dict[str, list[str]], identity: str, status: int
) -> None:
    """Refused is refused: an Envoy that may not ask serves nobody."""
    with small_gate(tmp_path, server=files.server("wire", **callers), options=files.options(identity)) as gate:
        assert gate.send(GERMAN).status == status
        assert sum(gate.served.values()) == (status == 200)
