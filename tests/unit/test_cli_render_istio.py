"""`borderpost render istio`: a stream, files, JSON, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import build_command
from borderpost.cli.output import Output
from borderpost_base.errors import BorderpostError

CONFIG: dict[str, Any] = {
    "here": {"country": "DE"},
    "regions": {"eu-1": {"country": "DE"}, "us-1": {"country": "US"}},
    "server": {"directory": "/run/borderpost/sockets", "workers": 2},
    "istio": {
        "namespace": "istio-ingress",
        "workload": {"istio": "ai-gateway"},
        "gateways": ["ai-gateway"],
        "hosts": ["inference.example.com"],
        "regions": {
            "eu-1": {"host": "eu-1.example.com", "endpoints": ["192.0.2.1"]},
            "us-1": {"host": "us-1.example.com", "networks": ["198.51.100.0/24"]},
        },
    },
}


def run(directory: Path, *words: str, **changes: Any) -> str:
    file = directory / "borderpost.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}))
    parser, command = build_command("render")
    output = Output("render", as_json="--json" in words, stdout=io.StringIO(), stderr=io.StringIO())
    assert command.run(parser.parse_args(["istio", "--config", str(file), *words]), output) == 0
    assert isinstance(output.stdout, io.StringIO)
    return output.stdout.getvalue()


def refused(directory: Path, *words: str, **changes: Any) -> BorderpostError:
    with pytest.raises(BorderpostError) as caught:
        run(directory, *words, **changes)
    return caught.value


def test_stream_json_and_files_are_the_same_objects(tmp_path: Path) -> None:
    stream = list(yaml.safe_load_all(run(tmp_path)))
    document = json.loads(run(tmp_path, "--json"))
    assert document["schema_version"] == 1 and document["objects"] == stream
    assert run(tmp_path, "--output-dir", str(tmp_path / "out")) == ""
    files = sorted((tmp_path / "out").iterdir())
    assert [each for file in files for each in yaml.safe_load_all(file.read_text())] == stream
    servers = [
        endpoint["endpoint"]["address"]["pipe"]["path"]
        for each in stream
        if each["metadata"]["name"] == "borderpost" and each["kind"] == "EnvoyFilter"
        for endpoint in each["spec"]["configPatches"][0]["patch"]["value"]["load_assignment"]["endpoints"][0][
            "lb_endpoints"
        ]
    ]
    assert servers == [f"/run/borderpost/sockets/worker-{index}.sock" for index in range(2)]


def test_a_later_rendering_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path, "--output-dir", str(out), istio={**CONFIG["istio"], "ports": [8443]})
    (out / "kustomization.yaml").write_text("resources: []\n")
    (out / "99-own.yaml").write_text("kind: ConfigMap\n")
    before = {path.name for path in out.iterdir()}
    run(tmp_path, "--output-dir", str(out))
    after = {path.name: path.read_text() for path in out.iterdir()}
    assert {"kustomization.yaml", "99-own.yaml"} < set(after) != before
    assert "AuthorizationPolicy" not in "".join(after.values())
    run(tmp_path, "--output-dir", str(out))
    assert {path.name: path.read_text() for path in out.iterdir()} == after


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    theirs = out / "01-peer-authentication.yaml"
    theirs.write_text("kind: PeerAuthentication\n")
    assert refused(tmp_path, "--output-dir", str(out)).code == "BP1410"
    assert [path.name for path in out.iterdir()] == [theirs.name] and theirs.read_text() == "kind: PeerAuthentication\n"
    assert refused(tmp_path, "--output-dir", str(theirs)).code == "BP1410"


def test_without_the_section_there_is_nothing_to_render(tmp_path: Path) -> None:
    assert refused(tmp_path, istio=None).code == "BP1406"


def test_claims_are_read_where_istio_puts_them(tmp_path: Path) -> None:
    tokens = {**CONFIG["istio"], "tokens": [{"issuer": "https://id.example.com/"}]}
    assert "RequestAuthentication" in run(tmp_path, istio=tokens, evidence={"token": {}})
    assert refused(tmp_path, istio=tokens, evidence={"token": {"payload_key": "claims"}}).code == "BP1411"


def test_borderpost_on_the_network_needs_certificates(tmp_path: Path) -> None:
    tls = {"certificate": "/etc/tls.crt", "key": "/etc/tls.key", "client_ca": "/etc/ca.crt"}
    server = {"listen": "tcp", "host": "borderpost.example.com", "tls": tls}
    assert refused(tmp_path, server=server).code == "BP1406"
    trust = {"ca": "/etc/ca.crt", "certificate": "/etc/gateway.crt", "key": "/etc/gateway.key"}
    assert "sni: borderpost.example.com" in run(tmp_path, server=server, istio={**CONFIG["istio"], "server": trust})


def test_failover_needs_a_proxy_that_can_retry_by_cluster(tmp_path: Path) -> None:
    group = {"either": {"regions": ["eu-1", "us-1"]}}
    assert "envoy.clusters.aggregate" in run(tmp_path, failover=group)
    assert refused(tmp_path, failover=group, istio={**CONFIG["istio"], "version": "1.28"}).code == "BP1409"


def test_the_only_route_with_law_serves_everything(tmp_path: Path) -> None:
    stream = run(tmp_path, routes={"chat": {}})
    assert "name: chat" in stream and "name: inference\n" not in stream
