"""The limiter under the steward: started, started again, replaced without a gap, told in readiness and metrics."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from borderpost.demo.children import free_port
from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from support.borderpost_process import BorderpostProcess, merged, small_config, write_config
from support.gateway import alive, eventually
from support.limiter_serving import asker

pytestmark = pytest.mark.blackbox

LIMITS = """
domain: shop
descriptors:
- key: tenant
  rate_limit: {unit: day, requests_per_unit: %d}
"""
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


class Gateway:
    """One instance with a limiter; its regions are not probed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "server" / "limiter.sock"
        (directory / "limits").mkdir()
        self.write_limits(LIMITS % 1_000_000)
        config = small_config({"eu": ("DE", free_port())})
        del config["ranking"]
        server = {"socket": "server/limiter.sock", "drain_s": 1.0}
        self.own_port = free_port()
        limiter = {"limits": ["limits"], "watch_s": 0.05, "server": server, "admin": {"port": self.own_port}}
        self.config = merged(config, {"limiter": limiter, "server": {"drain_s": 0.2}})
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        file = write_config(self.directory, self.config)
        self.running = BorderpostProcess(file, admin_port=self.config["admin"]["port"])

    def write_limits(self, text: str) -> None:
        temporary = self.directory / ".limits"
        temporary.write_text(text)
        temporary.replace(self.directory / "limits" / "shop.yaml")

    def reload(self, changes: dict[str, Any]) -> None:
        """Have another configuration taken, or refused."""
        self.config = merged(self.config, changes)
        before = len(self.logged("reloaded"))
        write_config(self.directory, self.config)
        eventually(lambda: len(self.logged("reloaded")) > before, "reloaded")

    def lines(self) -> list[dict[str, Any]]:
        text = self.running.process.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event]

    @property
    def pid(self) -> int:
        """Return the process id of the limiter that was started last."""
        return int(self.logged("limiter started")[-1]["pid"])

    def checks(self) -> dict[str, str]:
        """Return the checks of the limiter: name to outcome."""
        told = json.loads(self.running.admin("/readyz?verbose")[1])
        return {each["name"]: each["outcome"] for each in told["checks"] if each["name"].startswith("limiter")}

    def own(self, path: str) -> str:
        """Return what the limiter's own endpoints answer; empty where nobody does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.own_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Return a sample of the steward's metrics; 0 where there is none."""
        values = [float(line.rpartition(" ")[2]) for line in self.running.admin("/metrics")[1].splitlines()
                  if line.startswith(f"borderpost_limiter_{name} ")]  # fmt: skip
        return values[0] if values else 0.0

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"unix:{self.socket}", [("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("limited"))
    try:
        yield running
    finally:
        running.running.stop(grace_s=10)
        running.running.kill()


def test_it_has_a_socket_of_its_own_and_its_metrics_are_the_stewards_to_tell(gateway: Gateway) -> None:
    assert stat.S_IMODE(gateway.socket.stat().st_mode) == 0o660
    with gateway.channel() as channel:
        assert asker(channel)(("tenant", "metrics")).overall_code == OK
    eventually(lambda: gateway.metric('hits_total{rule="shop.tenant"}') >= 1, "counted")
    assert gateway.metric("up") == 1
    assert gateway.checks() == {"limiter": "passed"}
    assert gateway.own("/rlconfig").startswith("shop.tenant: unit=DAY")


def test_a_mistake_in_limits_is_told_in_readiness_and_the_last_good_ones_hold(gateway: Gateway) -> None:
    gateway.write_limits("domain: shop\ndescriptors:\n- key: tenant\n  rate_limit: {unit: dya, requests_per_unit: 1}\n")
    eventually(lambda: gateway.checks().get("limiter/limits/current") == "warning", "told in readiness")
    assert "BP1606" in gateway.running.admin("/readyz")[1]
    assert gateway.running.ready()
    with gateway.channel() as channel:
        assert [asker(channel)(("tenant", "kept")).overall_code for _ in range(2)] == [OK, OK]
    gateway.write_limits(LIMITS % 1_000_000)
    eventually(lambda: gateway.checks() == {"limiter": "passed"}, "mended")


def test_one_that_is_killed_is_started_again_and_missed_meanwhile(gateway: Gateway) -> None:
    before = gateway.pid
    os.kill(before, signal.SIGKILL)
    eventually(lambda: gateway.pid != before and gateway.running.ready(), "back")
    assert gateway.metric("restarts_total") == 1
    with gateway.channel() as channel:
        assert asker(channel)(("tenant", "back")).overall_code == OK


@pytest.mark.full
def test_one_that_hangs_takes_readiness_away(gateway: Gateway) -> None:
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        eventually(lambda: gateway.checks() == {"limiter": "failed"}, "missed")
        assert not gateway.running.ready()
        assert gateway.metric("up") == 0
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    eventually(gateway.running.ready, "ready again")


def test_another_configuration_of_it_replaces_it_without_a_gap(gateway: Gateway) -> None:
    before = gateway.pid
    codes, ended = list[str](), threading.Event()

    def load() -> None:
        with gateway.channel() as channel:
            ask = asker(channel)
            while not ended.is_set():
                try:
                    codes.append(RateLimitResponse.Code.Name(ask(("tenant", "load")).overall_code))
                except grpc.RpcError as error:
                    codes.append(error.code().name)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        gateway.reload({"limiter": {"answers": {"retry_after": True}}})
        eventually(lambda: not alive(before), "gone")
        mark = len(codes)
        eventually(lambda: len(codes) > mark + 20, "asked on")
    finally:
        ended.set()
        thread.join(20)
    assert gateway.pid != before
    assert set(codes) == {"OK"}
    assert gateway.checks() == {"limiter": "passed"}
    assert gateway.metric("up") == 1
    eventually(lambda: gateway.own("/healthcheck") == "OK", "its endpoints moved")


def test_what_envoy_is_told_elsewhere_needs_a_restart(gateway: Gateway) -> None:
    before = gateway.pid
    gateway.reload({"limiter": {"server": {"socket": "server/other.sock"}}})
    refusals = [line for line in gateway.lines() if line.get("code") == "BP0608"]
    assert [line["place"]["key"] for line in refusals] == ["limiter.server.socket"]
    gateway.reload({"limiter": {"server": {"socket": "server/limiter.sock"}}})
    assert gateway.pid == before


@pytest.mark.full
def test_a_successor_that_cannot_run_leaves_the_one_before_it_serving(gateway: Gateway) -> None:
    before = gateway.pid
    store = {"url": "redis://127.0.0.1:1", "key_file": "nowhere", "sink": "shared"}
    gateway.reload({"limiter": {"global_store": store}, "sinks": {"shared": {"country": "DE"}}})
    assert alive(before)
    with gateway.channel() as channel:
        assert asker(channel)(("tenant", "before")).overall_code == OK
    assert "BP0607" in gateway.running.admin("/readyz")[1]
    outcome = json.loads((gateway.directory / "state" / "reload.json").read_text())
    assert [problem["code"] for problem in outcome["problems"]] == ["BP0607"]
    del gateway.config["limiter"]["global_store"]
    gateway.reload({})
    assert gateway.checks() == {"limiter": "passed"}


@pytest.mark.full
def test_it_goes_with_its_section_and_comes_with_it(gateway: Gateway) -> None:
    before, section = gateway.pid, gateway.config.pop("limiter")
    gateway.reload({})
    assert not alive(before)
    assert not gateway.socket.exists()
    assert gateway.checks() == {}
    gateway.reload({"limiter": section})
    eventually(lambda: gateway.checks() == {"limiter": "passed"}, "there again")


@pytest.mark.full
def test_without_a_steward_it_answers_on_and_makes_room_for_the_next(gateway: Gateway) -> None:
    before = gateway.pid
    gateway.running.process.signal(signal.SIGKILL)
    eventually(lambda: gateway.running.process.returncode is not None, "killed")
    with gateway.channel() as channel:
        assert asker(channel)(("tenant", "orphan")).overall_code == OK
    gateway.start()
    eventually(lambda: not alive(before), "gone")
    eventually(lambda: gateway.checks() == {"limiter": "passed"}, "succeeded")
    with gateway.channel() as channel:
        assert asker(channel)(("tenant", "next")).overall_code == OK
