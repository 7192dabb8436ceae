"""What the doctor finds in Kubernetes objects really leaks once istiod has delivered it; mended, it does not."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.istio.gateway_node import LABELS
from borderpost.manifests.objects import objects_in
from borderpost.manifests.reading import parse_documents
from borderpost_base.json_source import load_json
from borderpost_envoy.doctor.configuration import read_configuration
from borderpost_envoy.doctor.model import Configuration
from borderpost_envoy.doctor.sources import Source
from borderpost_istio.doctor import Setting, compare, examine
from borderpost_istio.doctor.mesh import Mesh
from borderpost_istio.doctor.routing import Routing
from borderpost_istio.doctor.rules import RULES
from borderpost_istio.doctor.rules.sources import UNSHOWN
from support.doctor_mesh_cases import CASES, TO_HOST, Case, goes_refused, goes_unasked, told
from support.doctor_mesh_parts import EU, US, infer, regions, served_host, to
from support.istio_lab import resource
from support.istio_wiring import OURS, RENDERINGS, MeshWiring, meshed
from support.wiring import Wiring

pytestmark = [pytest.mark.blackbox, pytest.mark.full]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWiring]:
    with meshed(tmp_path_factory.mktemp("mesh"), RENDERINGS[0]) as wiring:
        yield wiring


def leaks(mesh: MeshWiring, case: Case, *, bad: bool) -> bool:
    """Apply a case and try it; everything has to have been accepted."""
    mesh.lab.put(OURS, case.resources(mesh, bad))
    assert mesh.lab.nacks() == []
    Wiring.reset(mesh)
    return case.leaks(mesh)


@pytest.mark.parametrize("name", CASES)
def test_what_the_doctor_finds_leaks_and_the_mended_does_not(mesh: MeshWiring, name: str) -> None:
    case = CASES[name]
    assert set(case.rules) <= told(mesh, case.resources(mesh, True))
    assert leaks(mesh, case, bad=True)
    assert not set(case.rules) & told(mesh, case.resources(mesh, False))
    assert not leaks(mesh, case, bad=False)


MESH = {
    "accessLogFile": "",
    "extensionProviders": [
        {"name": "borderpost", "envoyExtAuthzGrpc": {"service": "borderpost.internal", "port": 9443, "failOpen": False}}
    ],
}
WHOLE = {"rules": [{}]}
PART = {"rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]}


def judge(mesh: MeshWiring, **rules: Any) -> list[dict[str, Any]]:
    """Return a gateway of one region, where Borderpost is asked by an AuthorizationPolicy."""
    port = {"number": 9443, "name": "grpc", "protocol": "GRPC"}
    socket = {"address": f"unix://{mesh.stub.socket}"}
    spec = {"hosts": ["borderpost.internal"], "resolution": "STATIC", "ports": [port], "endpoints": [socket]}
    policy = {
        "selector": {"matchLabels": dict(LABELS)},
        "action": "CUSTOM",
        "provider": {"name": "borderpost"},
        **rules,
    }
    return [
        *regions(mesh),
        served_host(infer(EU)),
        resource("ServiceEntry", "borderpost", spec),
        resource("AuthorizationPolicy", "borderpost", policy, api="security.istio.io/v1"),
    ]


def config_map(mesh: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mesh's settings as they stand in a cluster."""
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": yaml.safe_dump(dict(mesh))}}


@contextmanager
def asked_by_policy(directory: Path, settings: Mapping[str, Any]) -> Iterator[MeshWiring]:
    """Start a mesh with these settings."""
    with meshed(directory, RENDERINGS[3], mesh=settings) as wiring:
        wiring.answer(wiring.refuse(451))
        yield wiring


def test_settings_of_the_mesh(tmp_path: Path) -> None:
    """A provider that fails open, an access log with addresses, a policy for a part of the requests; and none of it."""
    log = tmp_path / "access.log"
    bad = copy.deepcopy(MESH)
    bad["accessLogFile"] = str(log)
    bad["extensionProviders"][0]["envoyExtAuthzGrpc"]["failOpen"] = True
    for settings in (bad, MESH):
        is_bad = settings is bad
        directory = tmp_path / str(is_bad)
        directory.mkdir()
        with asked_by_policy(directory, settings) as mesh:
            for rules, passes in ((WHOLE, False), (PART, True)):
                applied = judge(mesh, **rules)
                mesh.lab.put(OURS, applied)
                assert mesh.lab.nacks() == []
                mesh.regions.forget()
                assert goes_refused(mesh) == passes
                found = told(mesh, [*applied, config_map(settings)])
                assert ("BPD090" in found) == passes
                assert ("BPD089" in found, "BPD087" in found) == (is_bad, is_bad)
            mesh.lab.put(OURS, judge(mesh, **WHOLE))
            mesh.regions.forget()
            assert goes_unasked(mesh) == is_bad
            mesh.send([*TO_HOST, ("x-forwarded-for", "203.0.113.77")])
            if is_bad:
                mesh.lab.eventually(lambda: "203.0.113.77" in log.read_text(), "the address is in the log")


def test_what_is_loaded_is_held_against_what_was_rendered(mesh: MeshWiring) -> None:
    mesh.lab.put(OURS, mesh.text)
    documents = parse_documents(mesh.text.encode(), OURS)
    assert list(compare(documents, loaded(mesh))) == []
    other = mesh.text.replace("message_timeout:", "max_message_timeout:").replace(
        "name: borderpost\n", "name: nobody\n"
    )
    lost = list(compare(parse_documents(other.encode(), OURS), loaded(mesh)))
    assert {finding.rule.id for finding in lost} == {"BPD098"}
    assert any("max_message_timeout" in finding.message for finding in lost)


def test_what_istioctl_prints_of_a_proxy_is_held_against_it_too(mesh: MeshWiring, tmp_path: Path) -> None:
    mesh.lab.put(OURS, mesh.text)
    dump = tmp_path / "config.dump"
    dump.write_text(json.dumps(mesh.envoy.config_dump()), encoding="utf-8")
    folder = tmp_path / "printed"
    folder.mkdir()
    for kind in ("listeners", "clusters", "routes"):
        words = [mesh.lab.tools.istioctl, "proxy-config", kind, "-f", dump, "-o", "json"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        (folder / f"{kind}.json").write_text(done.stdout, encoding="utf-8")
    (folder / OURS).write_text(mesh.text, encoding="utf-8")
    findings, errors = examine([folder])
    assert errors == []
    assert [finding.message for finding in findings if finding.rule.id == "BPD098"] == []
    (folder / OURS).write_text(mesh.text.replace("message_timeout: ", "message_timeout: 9"), encoding="utf-8")
    findings, errors = examine([folder])
    assert "BPD098" in {finding.rule.id for finding in findings}


def loaded(mesh: MeshWiring) -> Configuration:
    """Return what the gateway runs with."""
    raw = json.dumps(mesh.envoy.config_dump()).encode()
    return read_configuration(Source(load_json(raw, "dump.json"), "dump.json"))


def test_a_patch_that_matched_nothing_is_told_by_what_is_loaded(mesh: MeshWiring) -> None:
    case = CASES["an operation that does nothing"]
    for bad in (True, False):
        resources = case.resources(mesh, bad)
        mesh.lab.put(OURS, resources)
        documents = parse_documents(yaml.safe_dump_all(resources).encode(), OURS)
        found = list(compare(documents, loaded(mesh)))
        assert bool(found) == bad
    spoiled = yaml.safe_dump_all(case.resources(mesh, False)).replace(
        "name: borderpost.ext_proc", "name: borderpost.gone"
    )
    (finding,) = compare(
        parse_documents(spoiled.encode(), OURS),
        loaded(mesh),
    )
    assert "matched nothing" in finding.message


def test_the_doctor_knows_the_virtual_hosts_and_routes_that_istiod_makes(mesh: MeshWiring) -> None:
    """Several hosts, wildcards, hosts of several objects, matches with names, routes after one that takes all."""
    some = {
        "name": "some",
        "match": [{"uri": {"prefix": "/a"}, "name": "a"}, {"uri": {"prefix": "/b"}}],
        "route": [to(EU)],
    }
    rest, dead = {"name": "rest", "route": [to(EU)]}, {"name": "dead", "route": [to(US)]}
    made = [
        served_host(some, rest, name="one", host="one.example"),
        served_host(rest, name="many", host="b.example"),
        served_host(some, rest, dead, name="wild", host="*.wild.example"),
        served_host({"route": [to(US)]}, name="two", host="one.example"),
    ]
    made[1]["spec"]["hosts"] += ["aa.example", "Longer.Example", "*.many.example"]
    mesh.lab.put(OURS, [*regions(mesh), *made])
    server = {"port": {"number": mesh.lab.port, "name": "http-ingress", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = resource("Gateway", "ingress", {"selector": dict(LABELS), "servers": [server]})
    raw = yaml.safe_dump_all([gateway, *made]).encode()
    routing = Routing(Mesh(objects_in(parse_documents(raw, OURS), "default"), Setting()))
    known = {
        host.name: (sorted(host.domains), {name for _, entry in host.routes for name in entry.names})
        for host in routing.virtual_hosts
    }
    table = mesh.lab.delivered().routes[f"http.{mesh.lab.port}"]
    delivered = {
        host["name"]: (sorted(host["domains"]), {route.get("name", "") for route in host["routes"]})
        for host in table["virtual_hosts"]
    }
    assert known == delivered
    assert {server.route_configuration for server in routing.servers} == {table["name"]}


def test_each_rule_is_shown_or_says_why_not() -> None:
    shown = {rule for case in CASES.values() for rule in case.rules} | {"BPD087", "BPD089", "BPD090", "BPD098"}
    assert shown | set(UNSHOWN) == set(RULES)
    assert not shown & set(UNSHOWN)
