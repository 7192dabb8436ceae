"""Names that break things, through istioctl: the longest there are, and those that Kubernetes spells otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from borderpost.demo.istio import istioctl
from support.istio_lab import lab_tools
from support.istio_wiring import render_istio

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
SERVICE = {"host": "vllm.m.svc.cluster.local", "in_mesh": True}
REGIONS = {
    "eu.central_1": {"host": LONGEST, "networks": ["2001:db8::/32"]},
    "a" * 64: {**SERVICE, "labels": {"topology.istio.io/cluster": "a"}, "pods": {"a": "b"}},
    "9.": {**SERVICE, "labels": {"topology.istio.io/cluster": "b"}, "networks": ["10.0.0.0/8"]},
    "x-y-": {"host": "a.b", "endpoints": ["2001:db8::1"]},
    "z": {"host": "xn--bcher-kva.example.org", "endpoints": ["192.0.2.1:1", "pod-0.example.org"], "networks": ["::/0"]},
}
SECTION = {
    "namespace": "n" * 63,
    "service_account": "s" * 63,
    "workload": {"app.kubernetes.io/name": "A_b.c"},
    "gateways": ["n/my-gateway", "g" * 63],
    "hosts": [LONGEST, "*." + LONGEST[2:], "xn--bcher-kva.example", "UPPER.Example"],
    "ports": [8443],
    "regions": REGIONS,
}


@pytest.mark.parametrize("version", ["1.27", "1.30"])
def test_istio_takes_every_name_that_we_render(tmp_path: Path, version: str) -> None:
    config = tmp_path / "borderpost.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "here": {"country": "DE"},
                "regions": {name: {"country": "DE"} for name in REGIONS},
                "server": {"directory": "/run/borderpost/sockets"},
                "istio": {**SECTION, "version": version},
            }
        )
    )
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render_istio(config))
    assert istioctl.validate(lab_tools(), rendered) == []
