"""What the doctor finds is real: examples that need an Envoy of their own, since they end it or need peers over TLS."""

from __future__ import annotations

import copy
import http.server
import json
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from borderpost_base.json_source import load_json
from borderpost_envoy import Via
from borderpost_envoy.doctor import examine, read_configuration
from borderpost_envoy.doctor.sources import Source
from support.certificates import CertificateAuthority
from support.client import region_of, send
from support.doctor_cases import Tree, cluster, over_tls, rendered
from support.doctor_examples import CASES
from support.doctor_spoils_routes import EJECTING
from support.doctor_stage import Stage, connect, moved, staged, together
from support.envoy_process import EnvoyProcess
from support.gateway import eventually
from support.stub_processor import StubProcessor, refuse, route_to
from support.upstreams import Behaviour, RegionServers
from support.wiring import wired

pytestmark = [pytest.mark.blackbox, pytest.mark.full]


def codes(document: Any) -> set[str]:
    """Return the rules that a dump breaks."""
    source = Source(load_json(json.dumps(document).encode(), "dump"), None)
    return {finding.rule.id for finding in examine(read_configuration(source))}


def test_metadata_in_a_matcher_ends_envoy(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.rule == "BPD028")
    with staged(tmp_path, {case.id: case.spoiled()}) as stage:
        assert "BPD028" in codes(stage.envoy.config_dump())
        stage.begin(case.id, via_authz=False)
        stage.answer(stage.to("eu-1"))
        with pytest.raises(OSError):
            stage.send()
        eventually(lambda: stage.envoy.process.returncode is not None, "Envoy ended by itself")
        assert stage.envoy.process.returncode == -signal.SIGSEGV


def test_admin_asks_nobody_who_he_is(tmp_path: Path) -> None:
    """Whoever reaches the port may change what runs; on loopback only this machine does."""
    with wired(tmp_path, via=Via.EXT_PROC) as wiring:
        assert wiring.send().status == 200
        assert "BPD045" not in codes(wiring.envoy.config_dump())
        wiring.envoy.admin("/drain_listeners", method="POST")
        with pytest.raises(OSError):
            while True:
                wiring.send(timeout_s=2.0)


NODE = {"id": "doctor", "cluster": "doctor"}


def test_endpoints_that_a_dump_leaves_out(tmp_path: Path) -> None:
    """Two priorities that only discovery knows: a dump without them shows nothing, and Envoy leaves the region."""
    tree = rendered("proc")
    one = cluster(tree, "eu-1")
    assignment = one.pop("load_assignment")
    other = copy.deepcopy(cluster(tree, "us-1")["load_assignment"]["endpoints"][0])
    file = tmp_path / "eds.json"
    one["type"] = "EDS"
    one["eds_cluster_config"] = {"eds_config": {"path_config_source": {"path": str(file)}}}
    one["outlier_detection"] = EJECTING
    with RegionServers(("eu-1", "us-1", "ae-1")) as regions:
        assignment["endpoints"].append({**other, "priority": 1})
        connect({"name": "eu-1", **assignment}, tmp_path, regions.ports)
        live = {**assignment, "cluster_name": "k.eu-1"}
        kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        file.write_text(json.dumps({"version_info": "1", "resources": [{"@type": kind, **live}]}))
        with StubProcessor(tmp_path / "stub.sock", lambda _request: route_to("k.eu-1")):
            bootstrap = together({"k": moved(tree, "k", tmp_path, regions.ports)}) | {"node": NODE}
            with EnvoyProcess(bootstrap, tmp_path) as envoy:
                assert codes(envoy.config_dump()) == {"BPD049"}
                assert codes(json.loads(envoy.admin("/config_dump?include_eds"))) == {"BPD034", "BPD035"}
                regions.behave("eu-1", Behaviour(status=503))
                assert "us-1" in [region_of(send(envoy.port)) for _ in range(5)]


# Peers over TLS


@contextmanager
def impostor(certificate: tuple[Path, Path]) -> Iterator[int]:
    """Serve HTTPS with a certificate; yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"system_fingerprint": "impostor"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _at(one: Tree, port: int, socket: Tree, address: str = "127.0.0.1") -> None:
    """Move a cluster's endpoints to one address, over TLS."""
    where = {"address": {"socket_address": {"address": address, "port_value": port}}}
    one["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": where}]}]
    one["transport_socket"] = socket


def _ways(authority: CertificateAuthority) -> dict[str, Tree]:
    """Return transport sockets: two that take anybody, and one that takes `peer.example` alone."""
    ca = {"filename": str(authority.path)}
    san = [{"san_type": "DNS", "matcher": {"exact": "peer.example"}}]
    return {
        "no-authority": over_tls(),
        "any-name": over_tls(trusted_ca=ca),
        "pinned": over_tls(trusted_ca=ca, match_typed_subject_alt_names=san),
    }


def test_a_region_that_is_not_who_it_says(tmp_path: Path) -> None:
    """The impostor has a certificate of the same authority, for another name."""
    authority = CertificateAuthority(tmp_path)
    trees = {}
    with impostor(authority.issue("other", dns=["other.example"])) as port:
        for name, socket in _ways(authority).items():
            trees[name] = rendered("proc")
            _at(cluster(trees[name], "us-1"), port, socket)
        with staged(tmp_path, trees) as stage:
            served = {name: _served(stage, name, "us-1") for name in trees}
    assert served == {"no-authority": "impostor", "any-name": "impostor", "pinned": None}
    for name in trees:
        _at(cluster(trees[name], "us-1"), port, _ways(authority)[name], address="8.8.8.8")
        assert codes(trees[name]) == (set() if name == "pinned" else {"BPD037"})


def test_a_server_that_is_not_ours(tmp_path: Path) -> None:
    """Who answers in our place, routes."""
    authority = CertificateAuthority(tmp_path)
    certificate = authority.issue("other", dns=["other.example"])
    trees = {}
    with StubProcessor(tmp_path / "impostor.sock", lambda _request: refuse(451), tls=certificate) as false_server:
        for name, socket in _ways(authority).items():
            trees[name] = rendered("proc")
            _at(cluster(trees[name], "borderpost"), false_server.tls_port, socket)
        with staged(tmp_path, trees) as stage:
            served = {}
            for name in trees:
                false_server.decide = lambda _request, name=name: route_to(f"{name}.us-1")
                served[name] = _served(stage, name, "eu-1")
    assert served == {"no-authority": "us-1", "any-name": "us-1", "pinned": None}
    for name in trees:
        _at(cluster(trees[name], "borderpost"), 1, _ways(authority)[name], address="10.0.0.9")
        assert codes(trees[name]) == (set() if name == "pinned" else {"BPD019"})


def _served(stage: Stage, key: str, region: str) -> str | None:
    """Return who answers where the decision, if it is ours, is for this region."""
    stage.begin(key, via_authz=False)
    stage.answer(stage.to(region))
    return region_of(stage.send())
