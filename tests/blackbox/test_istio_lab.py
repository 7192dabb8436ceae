"""The lab itself: what istiod and istioctl tell of bad configuration, so that silence means something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.istio_lab import Lab, istio_lab
from support.istio_patches import added, before_the_router, patch_of

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

PROCESSOR = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with istio_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.reset()
    return shared


def processor(**settings: Any) -> dict[str, Any]:
    config = {"@type": PROCESSOR, "grpc_service": {"envoy_grpc": {"cluster_name": "ours"}}, **settings}
    return patch_of("ours", added({"name": "ours"}), before_the_router({"name": "ours", "typed_config": config}))


def test_what_is_put_arrives_and_what_is_removed_goes(lab: Lab) -> None:
    lab.put("ours.yaml", [processor(message_timeout="0.25s")])
    assert "ours" in lab.delivered().clusters
    assert lab.delivered().manager(lab.port)["http_filters"][-2]["typed_config"]["message_timeout"] == "0.250s"
    lab.remove("ours.yaml")
    assert "ours" not in lab.delivered().clusters
    assert lab.nacks() == []


def test_validate_finds_a_field_that_istiod_would_drop(lab: Lab) -> None:
    assert lab.validate([processor()]) == []
    (found,) = lab.validate([processor(mesage_timeout="1s")])
    assert 'unknown field "mesage_timeout"' in found


def test_validate_and_analyze_find_what_is_no_resource(lab: Lab) -> None:
    bad = processor()
    bad["spec"]["configPatches"][0]["patch"]["operation"] = "ADDD"
    assert any("unknown value" in line for line in lab.validate([bad]))
    assert lab.analyze([bad]) != []
    assert lab.analyze([processor()]) == []


def test_what_envoy_refuses_is_told_and_the_old_configuration_stays(lab: Lab) -> None:
    before = lab.delivered().manager(lab.port)
    nothing = processor()
    del nothing["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["grpc_service"]
    lab.put("ours.yaml", [nothing])
    lab.eventually(lambda: lab.delivered().refused != (), "Envoy has refused it")
    assert "One and only one of grpc_service or http_service" in lab.nacks()[0]
    assert any("ACK ERROR" in line for line in lab.istiod.troubles())
    assert lab.delivered().manager(lab.port) == before


def test_a_file_that_cannot_be_read_is_told_and_holds_the_others_up(lab: Lab) -> None:
    lab.put("broken.yaml", "apiVersion: [", settle=False)
    lab.eventually(
        lambda: any("unable to reload" in line for line in lab.istiod.troubles()), "istiod says that it cannot read"
    )
    lab.put("ours.yaml", [processor()], settle=False)
    assert "ours" not in lab.delivered().clusters
    lab.remove("broken.yaml")
    assert "ours" in lab.delivered().clusters
