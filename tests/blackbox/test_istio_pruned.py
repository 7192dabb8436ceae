"""istiod with the switch that takes away clusters which no VirtualService names: what we render names its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from borderpost.demo.istio.scenery import HOST
from support.istio_patches import region_cluster
from support.istio_wiring import OURS, RENDERINGS, MeshWiring, meshed
from support.wiring import REGIONS

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

PRUNING = {"PILOT_FILTER_GATEWAY_CLUSTER_CONFIG": "true"}
CLUSTERS = {region_cluster(region) for region in REGIONS}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWiring]:
    with meshed(tmp_path_factory.mktemp("pruned"), RENDERINGS[0], environ=PRUNING) as wiring:
        yield wiring


def test_every_region_stays(mesh: MeshWiring) -> None:
    assert mesh.lab.delivered().clusters.keys() >= CLUSTERS
    for region in REGIONS:
        mesh.go(region)
        mesh.send([("host", HOST)])
    assert mesh.served == dict.fromkeys(REGIONS, 1)


def test_pruned_cluster(mesh: MeshWiring) -> None:
    """Where somebody has taken our annotation away, the region is refused, and no other serves in its place."""
    mesh.reset()
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(mesh.text))
    for one in objects:
        one["metadata"].pop("annotations", None)
    mesh.lab.put(OURS, objects)
    assert not mesh.lab.delivered().clusters.keys() & CLUSTERS
    mesh.go("us-1")
    reply = mesh.send([("host", HOST)])
    assert (reply.status, mesh.served) == (503, {})
