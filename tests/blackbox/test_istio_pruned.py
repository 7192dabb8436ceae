"""With the switch that takes away clusters which no VirtualService names, istiod's own configuration still decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from borderpost.demo.istio.scenery import HOST
from support.istio_patches import region_cluster
from support.istio_wiring import RENDERINGS, MeshWiring, meshed
from support.wiring import REGIONS

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

PRUNING = {"PILOT_FILTER_GATEWAY_CLUSTER_CONFIG": "true"}


@pytest.fixture(scope="module", params=RENDERINGS, ids=str)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWiring]:
    with meshed(tmp_path_factory.mktemp("pruned"), request.param, environ=PRUNING) as wiring:
        yield wiring


def test_pruned_cluster(mesh: MeshWiring) -> None:
    """A region whose cluster was taken away is refused, and no other serves in its place."""
    named = [region for region in REGIONS if region_cluster(region) in mesh.lab.delivered().clusters]
    assert named == ["eu-1"]
    mesh.go("us-1")
    reply = mesh.send([("host", HOST)])
    assert (reply.status, mesh.served) == (503, {})
    mesh.go("eu-1")
    mesh.send([("host", HOST)])
    assert mesh.served == {"eu-1": 1}
