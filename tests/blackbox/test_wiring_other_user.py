"""An Envoy that may not open the socket: refused, as if nobody were there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from borderpost_envoy import Via, render_bootstrap
from support.client import send
from support.envoy_process import EnvoyProcess
from support.stub_processor import StubProcessor, allow_to, route_to
from support.upstreams import RegionServers
from support.wiring import REGIONS, plan_for

pytestmark = [pytest.mark.blackbox]

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start Envoy as another user")
@pytest.mark.parametrize("via", list(Via))
def test_unreadable_socket_is_refused(via: Via) -> None:
    answer = route_to("eu-1") if via is Via.EXT_PROC else allow_to("eu-1")
    with tempfile.TemporaryDirectory() as name, RegionServers(REGIONS) as regions:
        directory = Path(name)
        directory.chmod(0o777)
        doors = directory / "server"
        doors.mkdir(mode=0o755)
        socket = doors / "worker-0.sock"
        with StubProcessor(socket, lambda _request: answer):
            bootstrap = render_bootstrap(plan_for(socket, regions.ports, via=via))
            with EnvoyProcess(bootstrap, directory / "envoy", user=NOBODY) as envoy:
                socket.chmod(0o660)
                assert send(envoy.port, headers=[("x-borderpost-cluster", "us-1")]).status == 503
                assert set(regions.counts.values()) == {0}
                socket.chmod(0o666)
                assert send(envoy.port).status == 200
                assert regions.counts["eu-1"] == 1
