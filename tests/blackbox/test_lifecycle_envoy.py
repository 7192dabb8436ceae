"""Envoy upgraded, and restarted, before one Borderpost: a real Envoy in front takes requests from one to the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.envoy_process import EnvoyProcess
from borderpost_envoy import Via
from support.client import run_load
from support.clients import AMERICAN, EMIRATI, GERMAN, IRANIAN, legal_header
from support.faults import acknowledged_in_log, log_lines, small_gate
from support.gateway import Gateway, eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
CLIENTS = [GERMAN, AMERICAN, EMIRATI, IRANIAN]
TYPES = "type.googleapis.com/envoy.extensions"


def balancer(*envoys: EnvoyProcess) -> dict[str, Any]:
    """Return a load balancer as any platform has one: it asks each Envoy's readiness and leaves out who says no."""
    endpoints = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": envoy.port}},
                "health_check_config": {"port_value": envoy.admin_port},
            }
        }
        for envoy in envoys
    ]
    cluster = {
        "name": "gateways",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "gateways", "endpoints": [{"lb_endpoints": endpoints}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "1s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 1,
                "healthy_threshold": 1, "http_health_check": {"path": "/ready"},
            }
        ],
    }  # fmt: skip
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "balancer",
        "skip_xff_append": True,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "gateways"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "balancer",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    return {"admin": admin, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextmanager
def two_envoys(gate: Gateway) -> Iterator[tuple[EnvoyProcess, EnvoyProcess]]:
    """Start a second Envoy of the same configuration, and a load balancer before both."""
    with EnvoyProcess(gate.bootstrap, gate.directory / "second", name="second") as second, EnvoyProcess(
        balancer(gate.envoy, second), gate.directory / "balancer", name="balancer"
    ) as front:  # fmt: skip
        yield second, front


def requests_of(envoy: EnvoyProcess) -> int:
    """Return how many requests an Envoy has begun on its listener."""
    return sum(value for name, value in envoy.stats("http.*downstream_rq_total").items() if "admin" not in name)


@pytest.mark.parametrize(
    ("via", "drains"),
    [
        (Via.EXT_PROC, ["/healthcheck/fail"]),
        (Via.EXT_AUTHZ, ["/healthcheck/fail", "/drain_listeners?graceful&skip_exit"]),
    ],
)
def test_the_first_is_drained_and_the_second_takes_over(tmp_path: Path, via: Via, drains: list[str]) -> None:
    with small_gate(tmp_path, via=via) as gate, two_envoys(gate) as (second, front):
        for client in CLIENTS:
            gate.unspeakable.add(client.address)

        def headers(number: int) -> list[tuple[str, str]]:
            client = CLIENTS[number % len(CLIENTS)]
            return [legal_header(client.legal), ("x-forwarded-for", client.address)]

        def during() -> None:
            eventually(lambda: min(requests_of(gate.envoy), requests_of(second)) > 20, "both are asked")
            for path in drains:
                gate.envoy.admin(path, method="POST")
            eventually(lambda: idle(gate.envoy), "the first has answered all that it had")
            gate.envoy.stop()
            before = requests_of(second)
            eventually(lambda: requests_of(second) > before + 40, "the second answers alone")

        observed = run_load(
            front.port, concurrency=8, headers=headers, during=during, timeout_s=20.0, pause_s=0.005
        )  # fmt: skip
        assert observed.statuses.keys() == {200, 451}, observed.statuses
        assert observed.statuses[200] >= 60
        acknowledged_in_log(gate, observed)
        assert not log_lines(gate, level="error")


def idle(envoy: EnvoyProcess) -> bool:
    """Return whether an Envoy has no request open and gets none."""
    before = requests_of(envoy)
    time.sleep(0.3)
    active = envoy.stats("http.*downstream_rq_active")
    return requests_of(envoy) == before and not any(v for name, v in active.items() if "admin" not in name)


def test_envoy_restarts_and_borderpost_does_not_notice(tmp_path: Path) -> None:
    """Killed under load: what it had fails with it, nothing is decided twice or routed by nobody, and all goes on."""
    with small_gate(tmp_path) as gate:
        before = gate.worker_pids()

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
            gate.envoy.stop()

        observed = gate.load([GERMAN], during=during)
        assert observed.statuses.keys() <= {0, 200}, observed.statuses
        acknowledged_in_log(gate, observed)
        gate.envoy = EnvoyProcess(gate.bootstrap, gate.directory / "envoy", name="again")
        try:
            again = gate.load(CLIENTS, count=40)
            assert again.statuses == {200: 30, 451: 10}
            assert gate.worker_pids() == before
            assert gate.service.ready()
            assert not log_lines(gate, level="error")
        finally:
            gate.envoy.stop()
