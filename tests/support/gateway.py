"""The whole product for tests: regions, `borderpost serve` and an Envoy rendered as operators render it.

    with gateway(directory, via=Via.EXT_PROC, server={"workers": 1}) as gate:
        assert gate.send(GERMAN).region == "eu-central-1"

When the block ends, everything is stopped and the run is judged by what it left behind, whatever the test looked
at: no region saw a request that the law keeps from it, the log says the same, the log verifies, and no file that
anybody wrote holds an address or a token of a client.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from borderpost.audit.reader import find, read_log, stream_directories
from borderpost.audit.verify import verify
from borderpost.cli.envoy_plan import make_plan
from borderpost.cli.main import build_command
from borderpost.cli.options import load
from borderpost.demo.children import free_port
from borderpost.demo.scenery import AUDIT, REGIONS, configuration, write_events
from borderpost.demo.stage import Asked
from borderpost.snapshots import SharedPage
from borderpost_base.names import DECISION_HEADER
from borderpost_envoy import Via, render_bootstrap
from support.borderpost_process import ENGINE, BorderpostProcess, merged
from support.client import Header, Observed, Reply, region_of, run_load, send
from support.clients import GERMAN, LEGAL_OF_PLACE, Client, illegal_routes, legal_header, trespasses
from support.envoy_process import EnvoyProcess
from support.upstreams import Behaviour, RegionServers

SETTLE_S = 30.0
"""Longest wait for something that takes about a second on an idle machine."""
MESSAGE_TIMEOUT_MS = 3000
"""Envoy's bound on one decision; generous, so that a busy machine refuses nothing. Tests of the bound set their own."""
_POLL_S = 0.05


def eventually(condition: Callable[[], bool], what: str, *, within_s: float = SETTLE_S) -> None:
    """Poll until the condition holds; fail when time is up."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_S)


def render(config: Path, *words: str) -> dict[str, Any]:
    """Render Envoy's bootstrap as `borderpost render envoy --config FILE WORDS` does, in this process."""
    parser, _ = build_command("render")
    arguments = parser.parse_args(["envoy", "--config", str(config), *words])
    return render_bootstrap(make_plan(load(arguments), arguments))


class Gateway:
    """What a test holds in its hands."""

    def __init__(self, directory: Path, via: Via, config: dict[str, Any], regions: RegionServers) -> None:
        self.directory = directory
        self.via = via
        self.config = config
        self.config_file = directory / "borderpost.yaml"
        self.regions = regions
        self.service: BorderpostProcess
        self.envoy: EnvoyProcess
        self.bootstrap: dict[str, Any] = {}
        """What Envoy was started with."""
        self.unspeakable: set[str] = set()
        """Addresses and tokens that were sent; no file may hold one."""
        self.legal_of_place: Mapping[str, frozenset[str]] = LEGAL_OF_PLACE
        """Which regions may serve clients of a place, for the judgement at the end."""
        self._environ: dict[str, str] = {}
        self._prefix: tuple[str, ...] = ()
        self._earlier: set[str] = set()

    # Sending

    def send(
        self,
        client: Client | None = GERMAN,
        headers: Iterable[Header] = (),
        *,
        legal: Iterable[str] | None = None,
        by: Callable[..., Reply] = send,
        **how: Any,
    ) -> Asked:
        """Send one request by way of the trusted hop; `legal` where it is not what the client's address gives.

        Without a client the trusted hop tells no address. `by` sends it, over HTTP/1.1 if nothing else is said.
        """
        sent = [*self._own_headers(client, legal), *headers]
        self._remember(sent)
        reply = by(self.envoy.port, headers=sent, **how)
        decision = reply.header(DECISION_HEADER)
        if decision is None and (reply.header("content-type") or "") == "application/problem+json":
            decision = json.loads(reply.body).get("decision")
        return Asked(reply, region_of(reply), decision)

    def load(
        self, clients: Sequence[Client], *, headers: Callable[[int], Iterable[Header]] = lambda _number: (), **how: Any
    ) -> Observed:
        """Send many requests, the clients taking turns; see `support.client.run_load` for the rest."""
        for client in clients:
            self.unspeakable.add(client.address)

        def all_headers(number: int) -> Iterable[Header]:
            return [*self._own_headers(clients[number % len(clients)], None), *headers(number)]

        return run_load(self.envoy.port, headers=all_headers, **{"concurrency": 8, "timeout_s": 20.0, **how})

    def _own_headers(self, client: Client | None, legal: Iterable[str] | None) -> list[Header]:
        allowed = legal if legal is not None else client.legal if client is not None else ()
        hop: list[Header] = [("x-forwarded-for", client.address)] if client is not None else []
        return [legal_header(allowed), *hop]

    def _remember(self, headers: Iterable[Header]) -> None:
        for name, value in headers:
            if isinstance(name, bytes) or isinstance(value, bytes):
                continue
            if name.lower() in ("x-forwarded-for", "x-real-ip", "x-borderpost-client"):
                self.unspeakable.update(part.strip() for part in value.split(",") if len(part.strip()) > 6)
            elif name.lower() == "authorization":
                self.unspeakable.add(value.removeprefix("Bearer "))

    # Looking

    @property
    def audit(self) -> Path:
        """The audit log's directory."""
        return self.directory / AUDIT

    @property
    def access_log(self) -> Path:
        """Envoy's access log, one JSON object a line."""
        return self.directory / "envoy" / "access.log"

    @property
    def served(self) -> dict[str, int]:
        """Regions that got requests since the last reset, with how many."""
        return {region: count for region, count in self.regions.counts.items() if count}

    def records(self) -> list[dict[str, Any]]:
        """Return every record of the log, stream by stream in order."""
        return [located.record for located in read_log(self.audit)]

    def streams(self) -> dict[str, list[dict[str, Any]]]:
        """Return every decision record of each stream, in order."""
        return {
            each.name: [found.record for found in read_log(each) if found.record["type"] == "decision"]
            for each in stream_directories(self.audit)
        }

    def decisions(self) -> list[dict[str, Any]]:
        """Return the decision records since the last reset, stream by stream."""
        found = [record for records in self.streams().values() for record in records]
        return [record for record in found if decision_id(record) not in self._earlier]

    def record(self, asked: Asked) -> dict[str, Any]:
        """Return the record of a request's decision; fails if the answer names none or the log has none."""
        assert asked.decision is not None, asked.reply
        return find(self.audit, asked.decision).record

    def routed(self) -> Counter[str]:
        """Count the decisions since the last reset that route, by region."""
        return Counter(record["out"]["r"] for record in self.decisions() if record["out"]["action"] == "route")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels, 0 where there is none."""
        status, text = self.service.admin("/metrics")
        assert status == 200
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def unready(self) -> bool:
        """Return True if `/readyz` says 503."""
        return self.service.admin("/readyz")[0] == 503

    def log_text(self) -> str:
        """Return what Borderpost's processes have logged."""
        return self.service.process.log.read_text()

    def logged(self, text: str) -> int:
        """Return how many lines of Borderpost's log hold the text."""
        return sum(text in line for line in self.log_text().splitlines())

    # Acting

    def reset(self) -> None:
        """Forget what earlier tests of a shared gateway did."""
        self._earlier = {decision_id(record) for records in self.streams().values() for record in records}
        self.regions.forget()
        for region in self.regions.ports:
            self.regions.behave(region, Behaviour())

    def write_events(self, *events: dict[str, Any]) -> None:
        """Replace the events file by one with these events."""
        write_events(self.directory, list(events))

    def reload(self, changed: str | dict[str, Any]) -> None:
        """Put another configuration in place (text as it is) and tell the steward."""
        self.config_file.write_text(changed if isinstance(changed, str) else yaml.safe_dump(changed))
        self.service.process.signal(signal.SIGHUP)

    def worker_pids(self) -> dict[int, int]:
        """Return the process id of each worker that has given a sign of life, by the number of its stream."""
        path = self.directory / self.config["runtime"]["directory"] / "page"
        if not path.exists():
            return {}
        page = SharedPage(path, create=False)
        try:
            signs = {index: page.worker(index).pid for index in range(self.config["server"]["workers"] + 1)}
            return {index: pid for index, pid in signs.items() if pid}
        finally:
            page.close()

    def start_service(self) -> None:
        """Start Borderpost and wait until it is ready; one that ran before must have ended."""
        self.launch_service()
        self.await_service()

    def launch_service(self) -> None:
        """Start Borderpost and wait for nothing."""
        if hasattr(self, "service"):
            assert self.service.process.returncode is not None
        port = self.config["admin"]["port"]
        self.service = BorderpostProcess(
            self.config_file, admin_port=port, environ=self._environ, prefix=self._prefix, wait=False
        )

    def await_service(self) -> None:
        """Wait until Borderpost is ready."""
        self.service.process.wait_until(self.service.ready, timeout_s=SETTLE_S * 2, what="ready")

    def kill_service(self) -> None:
        """End the steward and every worker by SIGKILL, the steward first so that it starts none again."""
        workers = list(self.worker_pids().values())
        self.service.process.signal(signal.SIGKILL)
        self.service.process.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(alive, workers)), "all workers gone")

    # Judging

    def judge(self) -> None:
        """Assert what must hold of every run, from what it left behind."""
        seen = [(region, request.headers) for region in self.regions.ports for request in self.regions[region].seen]
        assert trespasses(seen) == []
        decisions = (record for records in self.streams().values() for record in records)
        assert list(illegal_routes(decisions, self.legal_of_place)) == []
        report = verify(self.audit)
        assert report.findings == []
        assert self.indiscretions() == []

    def indiscretions(self) -> list[str]:
        """Return the files that hold an address or a token of a client; what Envoy was told to do is not searched."""
        words = [re.escape(text.encode()) for text in self.unspeakable]
        if not words:
            return []
        pattern = re.compile(rb"(?<![0-9.])(?:" + b"|".join(words) + rb")(?![0-9])")
        written = [path for path in self.directory.rglob("*") if path.is_file()]
        return [f"{path.name}: {found[0]!r}" for path in written if (found := pattern.search(path.read_bytes()))]


@contextmanager
def gateway(
    directory: Path,
    *,
    via: Via = Via.EXT_PROC,
    options: Sequence[str] = (),
    message_timeout_ms: int = MESSAGE_TIMEOUT_MS,
    patch: Callable[[dict[str, Any]], dict[str, Any]] = lambda rendered: rendered,
    environ: dict[str, str] | None = None,
    envoy_user: int | None = None,
    prefix: tuple[str, ...] = (),
    front: Callable[[Gateway], AbstractContextManager[EnvoyProcess]] | None = None,
    sections: Callable[[Mapping[str, int]], dict[str, Any]] = lambda _ports: {},
    **changes: Any,
) -> Iterator[Gateway]:
    """Start regions, Borderpost and Envoy; `changes` are sections laid over the demo's configuration.

    `options` are words for `render envoy`, `patch` may spoil the bootstrap on purpose; `environ`, and `prefix`, a
    command that runs it, are for Borderpost.
    `front` brings another Envoy than the rendered one, `sections` what of the configuration depends on regions' ports.
    """
    with ExitStack() as undo:
        regions = undo.enter_context(RegionServers(REGIONS))
        probes = {"ranking": {"probes": {region: _patient() for region in REGIONS}}}
        config = merged(configuration(regions.ports, admin_port=free_port()), probes)
        config = merged(config, {"server": {"drain_s": 0.2, "engine": ENGINE}})
        gate = Gateway(directory, via, merged(merged(config, sections(regions.ports)), changes), regions)
        write_events(directory, [])
        gate.config_file.write_text(yaml.safe_dump(gate.config, sort_keys=False))
        gate._environ, gate._prefix = environ or {}, prefix
        if front is None:
            gate.bootstrap = patch(render(gate.config_file, *_words(gate, message_timeout_ms), *options))
        undo.callback(lambda: _stop(gate))
        gate.launch_service()  # Envoy starts meanwhile: it connects when it is first asked
        envoy = front(gate) if front else EnvoyProcess(gate.bootstrap, directory / "envoy", user=envoy_user)
        gate.envoy = undo.enter_context(envoy)
        gate.await_service()
        yield gate
        _stop(gate)
        gate.judge()


def _words(gate: Gateway, message_timeout_ms: int) -> list[str]:
    upstreams = [f"{region}=127.0.0.1:{port}" for region, port in gate.regions.ports.items()]
    return [
        *("--via", str(gate.via), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--trusted-hops", "1"),
        *("--message-timeout-ms", str(message_timeout_ms)),
        *("--access-log", str(gate.access_log)),
        *(word for upstream in upstreams for word in ("--upstream", upstream)),
    ]


def _patient() -> dict[str, Any]:
    """Return what makes a probe bear a busy machine; tests of failover set their own."""
    return {"interval_s": 1.0, "timeout_s": 1.0, "unhealthy_after": 4}


def _stop(gate: Gateway) -> None:
    """End Borderpost in order if it still runs, and whatever of it is left."""
    if not hasattr(gate, "service"):
        return
    for pid in gate.worker_pids().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    gate.service.process.signal(signal.SIGCONT)
    gate.service.stop(grace_s=SETTLE_S)
    gate.kill_service()


def decision_id(record: dict[str, Any]) -> str:
    """Return the id that callers are told, of a decision record."""
    return f"{record['epoch']}{record['seq']:012x}"


def alive(pid: int) -> bool:
    """Return True while the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
