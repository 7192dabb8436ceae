"""The whole product behind an Envoy that has what Envoy Gateway delivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import AMERICAN, EMIRATI, GERMAN, IRANIAN
from support.envoy_gateway import bootstrap
from support.envoy_process import find_all
from support.gateway import Gateway, gateway
from support.upstreams import Behaviour

pytestmark = pytest.mark.blackbox

STANDS_FOR = {"eu-1": "us-east-1", "us-1": "eu-central-1", "ae-1": "eu-west-1"}
"""The region of the demo for each region of the recording, whose group is of the first two."""
GROUP = {"pair": {"regions": ["us-east-1", "eu-central-1"]}}


def delivered(rendered: dict[str, Any]) -> dict[str, Any]:
    """Return what Envoy Gateway delivers, with the addresses and the regions of a rendered bootstrap."""
    clusters = {each["name"]: each for each in rendered["static_resources"]["clusters"]}

    def address(name: str, kind: str) -> dict[str, Any]:
        return dict(next(find_all(clusters[name], kind))[kind])

    ports = {theirs: int(address(ours, "socket_address")["port_value"]) for theirs, ours in STANDS_FOR.items()}
    tree = bootstrap("patched", ports=ports, socket=Path(address("borderpost", "pipe")["path"]))
    text = json.dumps(tree)
    for theirs, ours in STANDS_FOR.items():
        text = text.replace(json.dumps({"exact": theirs}), json.dumps({"exact": ours}))
    changed: dict[str, Any] = json.loads(text)
    return changed


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("envoy-gateway")
    with gateway(directory, patch=delivered, failover=GROUP, server={"workers": 1}) as gate:
        yield gate


def test_requests_go_where_the_law_lets_them(gate: Gateway) -> None:
    gate.reset()
    told = [gate.send(client) for client in (GERMAN, AMERICAN, IRANIAN)]
    assert [(asked.status, asked.region) for asked in told] == [(200, "eu-central-1"), (200, "us-east-1"), (451, None)]
    assert [gate.record(asked)["out"].get("cluster") for asked in told] == ["eu-central-1", "pair", None]
    assert gate.send(GERMAN, [("x-borderpost-cluster", "us-east-1")]).region == "eu-central-1"


def test_a_region_without_a_rule_is_nowhere(gate: Gateway) -> None:
    """The recording has no rule for the one region that may serve this request: the answer names it in vain."""
    gate.reset()
    asked = gate.send(EMIRATI)
    assert (asked.status, gate.served) == (503, {})


def test_a_retry_goes_on_where_it_may(gate: Gateway) -> None:
    gate.reset()
    for region in ("us-east-1", "eu-central-1"):
        gate.regions.behave(region, Behaviour(status=503))
    assert (gate.send(GERMAN).status, gate.served) == (503, {"eu-central-1": 1})
    gate.regions.behave("eu-central-1", Behaviour())
    assert gate.send(AMERICAN).region == "eu-central-1"
    assert gate.served == {"eu-central-1": 2, "us-east-1": 1}
