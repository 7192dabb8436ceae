"""Failover groups through Istio's control plane: a retry goes on to the next region, by a group's cluster alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from borderpost.config.load import load_config
from borderpost.demo.istio.scenery import HOST, istio_section
from borderpost_envoy import RouteStyle, Via
from borderpost_envoy.doctor import Expected, examine, expected_of, read_admin, read_configuration
from support.client import Reply, region_of
from support.istio_lab import istio_lab, lab_tools
from support.istio_patches import region_cluster
from support.istio_wiring import OURS, render_istio
from support.stub_processor import StubProcessor, allow_to, route_to
from support.upstreams import Behaviour, RegionServers
from support.wiring import REGIONS, Wiring

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

VARIANTS = [
    (Via.EXT_PROC, RouteStyle.MATCHER, "1.29"),
    (Via.EXT_PROC, RouteStyle.MATCHER, "1.30"),
    (Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER, "1.29"),
]
FAULTS = {"503": Behaviour(status=503), "reset": Behaviour(reset=True), "gone": None}


def configuration(ports: dict[str, int], version: str) -> dict[str, Any]:
    return {
        "here": {"country": "DE"},
        "regions": {region: {"country": region[:2].upper().replace("EU", "DE")} for region in ports},
        "failover": {"pair": {"regions": ["eu-1", "us-1"]}},
        "server": {"directory": "server", "workers": 1},
        "istio": {**istio_section(ports), "hosts": [HOST], "version": version},
    }


class Mesh(Wiring):
    """The wiring, behind istiod."""

    expected: Expected
    """What the doctor goes by."""

    def to(self, cluster: str, region: str) -> None:
        """Have the processor name a cluster from now on."""
        say = route_to if self.via is Via.EXT_PROC else allow_to
        self.answer(say(cluster, metadata={"decision": "0" * 32, "region": region}))

    def ask(self) -> Reply:
        return self.send([("host", HOST)])


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda param: "-".join(map(str, param)))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    via, style, version = request.param
    lab_tools()
    directory = tmp_path_factory.mktemp("mesh")
    with RegionServers(REGIONS) as regions:
        config = directory / "borderpost.yaml"
        config.write_text(yaml.safe_dump(configuration(regions.ports, version)))
        socket = load_config(config, {}).config.server.socket_of(0)
        socket.parent.mkdir(exist_ok=True)
        with StubProcessor(socket, lambda _request: route_to("nowhere")) as stub, istio_lab(directory) as lab:
            lab.put(OURS, render_istio(config, "--via", str(via), "--route-style", str(style)))
            assert lab.nacks() == []
            mesh = Mesh(via, style, lab.envoy, stub, regions)
            mesh.expected = expected_of(load_config(config, {}).config)
            yield mesh


@pytest.fixture
def mesh(shared: Mesh) -> Mesh:
    shared.reset()
    return shared


def fail(mesh: Mesh, fault: str) -> None:
    behaviour = FAULTS[fault]
    if behaviour is None:
        mesh.regions.kill("eu-1")
    else:
        mesh.regions.behave("eu-1", behaviour)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_region_serves_what_the_first_does_not(mesh: Mesh, fault: str) -> None:
    mesh.to("pair", "eu-1,us-1")
    assert region_of(mesh.ask()) == "eu-1"
    fail(mesh, fault)
    reply = mesh.ask()
    assert (reply.status, region_of(reply), reply.all("x-borderpost-region")) == (200, "us-1", ["eu-1,us-1"])
    assert mesh.regions["ae-1"].count == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_region_s_own_cluster_is_never_left(mesh: Mesh, fault: str) -> None:
    fail(mesh, fault)
    mesh.to(region_cluster("eu-1"), "eu-1")
    assert mesh.ask().status == 503
    assert mesh.served.keys() <= {"eu-1"}


def test_the_doctor_takes_the_group_for_what_it_is_declared_to_be(mesh: Mesh) -> None:
    delivered = read_configuration(read_admin(f"127.0.0.1:{mesh.envoy.admin_port}"))
    of_groups = {"BPD026", "BPD033", "BPD034", "BPD036", "BPD038"}
    assert not {finding.rule.id for finding in examine(delivered, mesh.expected)} & of_groups
    assert {finding.rule.id for finding in examine(delivered)} >= {"BPD033", "BPD038"}
