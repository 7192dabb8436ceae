"""Body mode through the real istiod: as on a plain Envoy, on a gateway that is shared and on one of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from borderpost.demo.istio.scenery import HOST, istio_section
from borderpost_envoy import Via
from support.client import Header
from support.clients import AMERICAN
from support.envoy_process import EnvoyProcess
from support.gateway import Gateway
from support.istio_lab import istio_lab
from support.istio_wiring import OURS, render_istio
from support.payload_gateway import BOUND, HOME, JSON, chat, payload_gateway

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

TO_HOST: Header = ("host", HOST)
ROUTES = [
    {"name": "plain", "prefix": "/plain"},
    {"name": "press", "prefix": "/press"},
    {"name": "chat", "prefix": "/"},
]
"""Bodies of `plain` are not read."""


@pytest.fixture(
    scope="module",
    params=[(Via.EXT_PROC, HOST), (Via.EXT_AUTHZ, "*"), (Via.EXT_AUTHZ, HOST)],
    ids=["ext_proc-host", "ext_authz-gateway", "ext_authz-host"],
)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    via, host = request.param
    directory = tmp_path_factory.mktemp("bodies")
    mesh = directory / "mesh"
    mesh.mkdir()

    @contextmanager
    def front(gate: Gateway) -> Iterator[EnvoyProcess]:
        with istio_lab(mesh) as lab:
            lab.put(OURS, render_istio(gate.config_file, "--via", str(via)))
            assert lab.nacks() == []
            yield lab.envoy

    def sections(ports: object) -> dict[str, object]:
        assert isinstance(ports, dict)
        return {"istio": {**istio_section(ports), "hosts": [host], "routes": ROUTES, "access_log": None}}

    with payload_gateway(directory / "gate", via, front=front, sections=sections) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    shared.reset()
    return shared


def test_what_a_body_says_of_itself_is_law(gate: Gateway) -> None:
    free = gate.send(AMERICAN, [TO_HOST, JSON], body=chat())
    assert (free.status, free.region) == (200, "us-east-1")
    held = gate.send(AMERICAN, [TO_HOST, JSON], body=chat(metadata={"class": "ledger"}), legal=HOME)
    assert held.status == 200 and held.region in HOME
    assert "body" in gate.record(held)["req"]


def test_a_body_is_bounded_where_it_is_read_and_only_there(gate: Gateway) -> None:
    assert gate.send(AMERICAN, [TO_HOST, JSON], body=chat(size=BOUND)).status == 200
    assert gate.send(AMERICAN, [TO_HOST, JSON], body=chat(size=BOUND + 1)).status == 413
    asked = gate.send(AMERICAN, [TO_HOST, JSON], body=chat(size=BOUND * 2), path="/plain")
    assert asked.status == 200
    assert "body" not in gate.record(asked)["req"]
