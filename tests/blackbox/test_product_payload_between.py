"""Body mode where something goes wrong between headers and body, or Envoy is configured otherwise.

Envoy as rendered collects a body before it asks, so that in between there is no time. These gateways have the buffer
filter taken out, as somebody's own configuration might: the body comes when its client sends it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.stage import Asked
from borderpost_envoy import Via
from support.client import send
from support.clients import ALL, AMERICAN, NOWHERE
from support.envoy_process import connection_manager, find_all
from support.gateway import Gateway, eventually
from support.h2_client import send_h2
from support.payload_gateway import BOUND, HOME, JSON, chat, hash_of, payload_gateway

pytestmark = pytest.mark.blackbox


def without_buffer(rendered: dict[str, Any]) -> dict[str, Any]:
    """Take the buffer filter out of a bootstrap."""
    manager = connection_manager(rendered)
    manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "borderpost.body"]
    for holder in find_all(rendered, "typed_per_filter_config"):
        holder["typed_per_filter_config"].pop("borderpost.body", None)
    return rendered


def without_bodies(rendered: dict[str, Any]) -> dict[str, Any]:
    """Take everything out of a bootstrap that sends bodies: as one that was rendered before body mode was on."""
    without_buffer(rendered)
    for each in connection_manager(rendered)["http_filters"]:
        each["typed_config"].pop("with_request_body", None)
        each["typed_config"].get("processing_mode", {}).pop("request_body_mode", None)
    for holder in find_all(rendered, "filter_metadata"):
        holder["filter_metadata"]["borderpost"].pop("body", None)
    return rendered


class Upload:
    """A request whose headers and half of its body are sent, and the rest when told."""

    def __init__(self, gate: Gateway, threads: ThreadPoolExecutor) -> None:
        self._go = threading.Event()
        self.sent = threading.Event()
        self._asked = threads.submit(
            lambda: gate.send(AMERICAN, [JSON], legal=NOWHERE, by=send_h2, body=self._pieces())
        )

    def _pieces(self) -> Iterator[bytes | float]:
        body = chat(metadata={"class": "ledger"})
        yield body[:40]
        self.sent.set()
        yield 0.2  # by now the headers are answered
        assert self._go.wait(20)
        yield body[40:]

    def finish(self) -> Asked:
        """Send the rest and return what came of it."""
        self._go.set()
        return self._asked.result(20)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway over ext_proc whose Envoy does not collect bodies before it asks."""
    directory = tmp_path_factory.mktemp("payload") / "gate"
    with payload_gateway(directory, Via.EXT_PROC, payload={"wait_s": 0.8}, patch=without_buffer) as gate:
        yield gate


def kill_worker(gate: Gateway) -> None:
    (pid,) = gate.worker_pids().values()
    os.kill(pid, signal.SIGKILL)


def nothing(_gate: Gateway) -> None:
    time.sleep(0.9)


@pytest.mark.parametrize("happening", [nothing, pytest.param(kill_worker, marks=pytest.mark.full)])
def test_what_happens_in_between_refuses_the_request(gate: Gateway, happening: Callable[[Gateway], None]) -> None:
    gate.reset()
    with ThreadPoolExecutor(1) as threads:
        upload = Upload(gate, threads)
        assert upload.sent.wait(10)
        time.sleep(0.1)
        happening(gate)
        asked = upload.finish()
    assert asked.reply.status == 503, asked.reply
    assert gate.served == {}
    eventually(lambda: gate.send(AMERICAN, [JSON], body=chat(), legal=ALL).region is not None, "it serves again")
    assert all("ledger" not in record["class"] for record in gate.decisions())


def test_a_body_that_comes_in_time_is_decided_by(gate: Gateway) -> None:
    gate.reset()
    body = chat(metadata={"class": "ledger"})
    asked = gate.send(AMERICAN, [JSON], legal=HOME, by=send_h2, body=[body[:40], 0.3, body[40:]])
    assert asked.region in HOME


def test_a_body_beyond_the_bound_that_envoy_lets_through_is_refused_by_us(gate: Gateway) -> None:
    """Over HTTP/2 ext_proc's own buffering knows no bound."""
    gate.reset()
    asked = gate.send(AMERICAN, [JSON], legal=NOWHERE, by=send_h2, body=chat(size=BOUND + 1))
    assert (asked.reply.status, gate.record(asked)["out"]["reason"]) == (413, "body-too-long")
    assert gate.record(asked)["req"]["body"] == {"bytes": BOUND + 1}
    assert gate.served == {}
    # One that fits no message at all: the engine refuses it.
    asked = gate.send(AMERICAN, [JSON], legal=NOWHERE, by=send_h2, body=chat(size=BOUND + (2 << 20)))
    assert (asked.reply.status, gate.served) == (503, {})


def test_a_worker_that_ends_refuses_what_it_still_waits_for(gate: Gateway) -> None:
    """The last test of this gateway."""
    gate.reset()
    with ThreadPoolExecutor(1) as threads:
        upload = Upload(gate, threads)
        assert upload.sent.wait(10)
        time.sleep(0.1)
        gate.service.process.signal(signal.SIGTERM)
        eventually(lambda: gate.service.process.returncode is not None, "the service has ended")
        asked = upload.finish()
    assert asked.reply.status == 503, asked.reply
    assert gate.served == {}


@pytest.mark.full
@pytest.mark.parametrize("via", list(Via), ids=str)
def test_an_envoy_that_sends_no_bodies_routes_nothing(tmp_path: Path, via: Via) -> None:
    with payload_gateway(tmp_path / "gate", via, patch=without_bodies) as gate:
        asked = gate.send(AMERICAN, [JSON], body=chat(), legal=NOWHERE)
        assert (asked.reply.status, gate.record(asked)["out"]["code"]) == (503, "BP1331")
        assert gate.served == {}
        assert gate.send(AMERICAN, body=chat(), path="/plain", legal=ALL).region == "us-east-1"


@pytest.mark.full
def test_a_body_that_ext_authz_cuts_is_refused(tmp_path: Path) -> None:
    """Over HTTP/2 a body one byte beyond the bound comes cut, though no partial message is allowed."""
    with payload_gateway(tmp_path / "gate", Via.EXT_AUTHZ, patch=without_buffer) as gate:
        asked = gate.send(AMERICAN, [JSON], legal=NOWHERE, by=send_h2, body=chat(size=BOUND + 1))
        assert (asked.reply.status, gate.record(asked)["out"]["reason"]) == (413, "body-too-long")
        assert gate.served == {}


@pytest.mark.full
def test_bodies_are_sent_while_nobody_reads_them(tmp_path: Path) -> None:
    """An Envoy that was rendered for body mode, and a service that reads no bodies: nothing is routed past either."""
    with payload_gateway(tmp_path / "gate", Via.EXT_PROC) as gate:
        changed = {**gate.config, "payload": {**gate.config["payload"], "read": False}}
        gate.service.stop()
        gate.reload(changed)
        gate.start_service()
        asked = gate.send(AMERICAN, [JSON], body=chat(), legal=NOWHERE)
        assert (asked.reply.status, gate.served) == (503, {})
        assert gate.send(AMERICAN, body=chat(), path="/plain", legal=ALL).region == "us-east-1"


@pytest.mark.full
@pytest.mark.parametrize("via", list(Via), ids=str)
def test_a_body_larger_than_every_window_is_read(tmp_path: Path, via: Via) -> None:
    with payload_gateway(tmp_path / "gate", via, payload={"bytes_max": 4 << 20}) as gate:
        for by in (send, send_h2):
            body = chat(size=3 << 20, metadata={"class": "ledger"})
            asked = gate.send(AMERICAN, [JSON], body=body, legal=HOME, by=by)
            assert asked.region in HOME, asked.reply
            assert gate.record(asked)["req"]["body"]["hash"] == hash_of(body)
            assert gate.regions[asked.region].seen[-1].body == body
