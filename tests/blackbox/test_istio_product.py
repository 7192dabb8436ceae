"""The whole product behind a gateway that istiod configures: who goes where, lies, and regions that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from borderpost.demo.istio.scenery import HOST, istio_section
from borderpost_envoy import RouteStyle, Via
from support.clients import AMERICAN, BRAZILIAN, EMIRATI, GERMAN, GERMAN_V6, INDIAN, IRANIAN, STRANGER, Client
from support.envoy_process import EnvoyProcess
from support.gateway import Gateway, eventually, gateway
from support.istio_lab import Lab, istio_lab
from support.istio_patches import region_cluster
from support.istio_wiring import OURS, render_istio

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

TO_HOST = [("host", HOST)]


class Meshed(NamedTuple):
    """The product's gateway, and the lab that its Envoy is of."""

    gate: Gateway
    lab: Lab
    words: tuple[str, ...]

    def render(self, config: dict[str, Any]) -> None:
        """Put what is rendered of a configuration, which Borderpost need not have, and wait until it has arrived."""
        file = self.gate.directory / "next.yaml"
        file.write_text(yaml.safe_dump(config))
        self.lab.put(OURS, render_istio(file, *self.words))
        assert self.lab.nacks() == []


@contextmanager
def istio_gateway(directory: Path, via: Via, style: RouteStyle, **istio: Any) -> Iterator[Meshed]:
    """Start regions, Borderpost, istiod and its gateway with what is rendered."""
    words = ("--via", str(via), "--route-style", str(style))
    labs: list[Lab] = []

    @contextmanager
    def front(gate: Gateway) -> Iterator[EnvoyProcess]:
        with istio_lab(directory / "mesh") as lab:
            labs.append(lab)
            lab.put(OURS, render_istio(gate.config_file, *words))
            yield lab.envoy

    def sections(ports: Any) -> dict[str, Any]:
        log = str(directory / "envoy.log")
        return {"istio": {**istio_section(ports), "access_log": log, **istio}}

    (directory / "mesh").mkdir()
    with gateway(directory, via=via, front=front, sections=sections) as gate:
        yield Meshed(gate, labs[0], words)


@pytest.fixture(
    scope="module",
    params=[(Via.EXT_PROC, RouteStyle.MATCHER, HOST), (Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER, "*")],
    ids=["ext_proc-matcher-host", "ext_authz-cluster_header-gateway"],
)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meshed]:
    via, style, host = request.param
    with istio_gateway(tmp_path_factory.mktemp("product"), via, style, hosts=[host]) as meshed:
        yield meshed


@pytest.fixture
def meshed(shared: Meshed) -> Meshed:
    shared.gate.reset()
    return shared


@pytest.mark.parametrize(
    ("client", "region", "status"),
    [
        (GERMAN, "eu-central-1", 200),
        (GERMAN_V6, "eu-central-1", 200),
        (AMERICAN, "us-east-1", 200),
        (EMIRATI, "me-central-1", 200),
        (BRAZILIAN, "eu-west-1", 200),
        (INDIAN, "me-central-1", 200),
        (IRANIAN, None, 451),
        (STRANGER, None, 403),
    ],
)
def test_requests_go_where_the_law_says(meshed: Meshed, client: Client, region: str | None, status: int) -> None:
    asked = meshed.gate.send(client, TO_HOST)
    assert (asked.status, asked.region) == (status, region)
    record = meshed.gate.record(asked)
    assert record["out"].get("r") == region
    if region is not None:
        assert asked.reply.all("x-borderpost-region") == [region]
        assert record["out"]["cluster"] == region_cluster(region)


def test_lies_change_nothing(meshed: Meshed) -> None:
    lies = [
        [("x-borderpost-cluster", region_cluster("us-east-1"))],
        [("X-Borderpost-Cluster", "PassthroughCluster"), ("x_borderpost_cluster", region_cluster("us-east-1"))],
        [("x-borderpost-client", AMERICAN.address), ("x-real-ip", AMERICAN.address)],
        [("x-envoy-external-address", AMERICAN.address), ("x-envoy-internal", "true")],
    ]
    for lie in lies:
        asked = meshed.gate.send(GERMAN, [*TO_HOST, *lie])
        assert (asked.status, asked.region) == (200, "eu-central-1")
    assert meshed.gate.send(None, [*TO_HOST, ("x-forwarded-for", f"{AMERICAN.address}, {GERMAN.address}")]).region == (
        "eu-central-1"
    )


def test_a_region_goes_and_comes_back_without_a_failed_request(meshed: Meshed) -> None:
    """It goes first from Borderpost and comes first to the mesh: nobody is ever sent to what is not there."""
    gate, lab, region = meshed.gate, meshed.lab, "eu-central-1"
    whole = gate.config

    def go_and_come_back() -> None:
        gate.reload(without(whole, region))
        eventually(lambda: served(gate) == {"eu-west-1"}, "every worker knows that the region has gone")
        meshed.render(without(whole, region))
        assert region_cluster(region) not in lab.delivered().clusters
        assert served(gate) == {"eu-west-1"}
        meshed.render(whole)
        eventually(lambda: region_cluster(region) in lab.delivered().clusters, "the mesh has the region again")
        gate.reload(whole)
        eventually(lambda: served(gate) == {region}, "every worker knows that it is back")

    seen = gate.load([GERMAN, AMERICAN], headers=lambda _number: TO_HOST, during=go_and_come_back, pause_s=0.01)
    assert set(seen.statuses) == {200}, seen.statuses
    assert set(seen.regions) == {region, "eu-west-1", "us-east-1"}
    assert lab.nacks() == []


def without(config: Any, region: str) -> Any:
    """Return a configuration in which nothing is said of a region."""
    if isinstance(config, dict):
        return {key: without(value, region) for key, value in config.items() if key != region}
    return config


def served(gate: Gateway) -> set[str | None]:
    """Return which regions serve a few requests from Germany."""
    return {gate.send(GERMAN, TO_HOST).region for _ in range(10)}
