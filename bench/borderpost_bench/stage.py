"""What is started for one measurement: the regions' server, what answers Envoy's question, and Envoy.

The product runs as an operator would run it: its own commands on a configuration file, with the demo's five
regions, starter packs and latency table.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from borderpost.demo.children import ChildProcess, free_port
from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.scenery import AUDIT, REGIONS, configuration, write_events
from borderpost.demo.service_process import BorderpostProcess
from borderpost.demo.setting_up import SetUp
from borderpost.demo.stage import command
from borderpost.geoip.database import EMBEDDED_PATH
from borderpost_base.errors import BorderpostError
from borderpost_bench.arrivals import Pace
from borderpost_bench.bootstraps import buffer_filter, managers, plain_proxy, upstream
from borderpost_bench.check import Asking, LogCount, count_journal, count_log
from borderpost_bench.cpu import Usage, cores_of, descendants, usage_of
from borderpost_bench.features import DEFAULTS, Features
from borderpost_bench.judge import Judgement
from borderpost_bench.load import Load, grpc_frame, question, run_h2load, run_wrk, wrk_script
from borderpost_bench.opa import count_console, opa_bootstrap, opa_command
from borderpost_bench.pins import Pins, pins
from borderpost_bench.requesters import Requesters
from borderpost_bench.rivals import ONE_CORE, law_table, programs
from borderpost_bench.scenarios import BodyUse, Driver, Scenario, Server
from borderpost_bench.streams import messages, run_streams, run_streams_open
from borderpost_bench.traffic import CHAT, chat_of, legal_for, legal_without_law, requests_of
from borderpost_envoy import SERVER_CLUSTER

ADDRESSES = 4096
"""Distinct client addresses of one run: what a busy gateway sees again and again within a minute."""
FIXED_REGION = "eu-central-1"
"""Where the plain proxy and the constant answer send everything."""

CONFIGURATION = "borderpost.yaml"
"""Name of the product's configuration file."""

BODY_BYTES_MAX = 1 << 18
"""Bound of bodies where they are collected: the product's default."""
_BODIES_BYTES = 1 << 23
"""What all requests of a load generator's script may take."""
_DETECTORS = ("cards", "ibans", "national-ids", "phones", "email")
_FAILED = ("ext_proc.borderpost.message_timeouts", "ext_proc.borderpost.streams_failed", "ext_authz.borderpost.error")


@dataclass(frozen=True, slots=True)
class StageUsage:
    """What each part has used since it was started."""

    steward: Usage
    workers: Usage
    """Or the whole server, where it is one process."""
    envoy: Usage
    upstream: Usage


class Stage(SetUp):
    """Everything that runs for one measurement, used as a context. It writes into the directory given, which exists."""

    def __init__(self, scenario: Scenario, directory: Path, features: Features = DEFAULTS) -> None:
        self._scenario = scenario
        self._features = features
        self._directory = directory
        self._pins = pins() if scenario.direct else Pins()
        super().__init__()
        self._server: ChildProcess | None = None
        self._envoy: EnvoyProcess | None = None
        self.service: BorderpostProcess | None = None
        """The product, where the scenario has it."""
        self._audit = directory / AUDIT
        self._journal = directory / "journal.jsonl"
        self._server_log = directory / f"{scenario.server.value}.log"

    def drive(self, *, seconds: float, connections: int, pace: Pace | None = None) -> Load:
        """Load it once; return what the load generator saw. With a pace it is an open loop."""
        scenario = self._scenario
        in_flight = scenario.in_flight or connections
        if scenario.driver is Driver.OPEN:
            assert pace is not None, "an open loop has a pace"
            return self._requesters.ask(pace, seconds=seconds, connections=in_flight)
        if scenario.driver is Driver.WRK:
            assert self._envoy is not None, "wrk drives Envoy"
            return run_wrk(self._envoy.port, self._directory / "wrk.lua", seconds=seconds, connections=in_flight)
        if scenario.driver is Driver.STREAMS and pace is not None:
            return run_streams_open(
                programs()["drive"], self._socket, self._directory / "messages.bin",
                via=scenario.via, seconds=seconds, pace=pace, prefix=self._pins.driver,
            )  # fmt: skip
        if scenario.driver is Driver.STREAMS:
            return run_streams(
                programs()["drive"], self._socket, self._directory / "messages.bin",
                via=scenario.via, seconds=seconds, in_flight=in_flight, prefix=self._pins.driver,
            )  # fmt: skip
        return run_h2load(
            self._port, self._directory / "message.bin", self._directory / "h2load.log",
            via=scenario.via, seconds=seconds, in_flight=in_flight, prefix=self._pins.driver,
        )  # fmt: skip

    def usage(self) -> StageUsage:
        """Return what each part has used until now."""
        pids = descendants(self._server.pid) if self._server is not None else []
        steward, workers = (pids[:1], pids[1:]) if self.service is not None else ([], pids)
        return StageUsage(
            steward=usage_of(steward),
            workers=usage_of(workers),
            envoy=usage_of([self._envoy.process.pid] if self._envoy is not None else []),
            upstream=usage_of([self._upstream.process.pid]),
        )

    def server_cores(self) -> tuple[int, ...]:
        """Return the cores on which the server's processes may run, none without a server."""
        return cores_of(descendants(self._server.pid)) if self._server is not None else ()

    def region_counts(self) -> dict[str, int]:
        """Return how many requests have reached each region."""
        counts = self._upstream.stats("http.*downstream_rq_total")
        return {region: counts[f"http.{region}.downstream_rq_total"] for region in REGIONS}

    def log_count(self) -> LogCount | None:
        """Return what the decisions on record add up to, None where nothing is decided. Call it once all has ended."""
        if self.service is not None:
            return count_log(self._audit, legal_for if self._features.on("law") else legal_without_law)
        if self._scenario.server is Server.OPA:
            return count_console(self._server_log)
        return count_journal(self._journal) if self._scenario.server is Server.GO_HONEST else None

    def judged(self) -> Judgement | None:
        """Return the judgement on each answer of an open loop to the product. Call it once all has ended."""
        if self._scenario.driver is not Driver.OPEN or self.service is None:
            return None
        return self._requesters.judged(self._directory / CONFIGURATION, self._audit)

    def asking(self) -> Asking:
        """Return what Envoy has counted of its questions."""
        if self._envoy is None:
            return Asking()
        counts = self._envoy.stats(r"\.borderpost\.")
        return Asking(
            failed=sum(counts.get(f"http.ingress.{name}", 0) for name in _FAILED),
            repeated=counts.get(f"cluster.{SERVER_CLUSTER}.upstream_rq_retry", 0),
        )

    def metrics(self) -> dict[str, float]:
        """Return the product's metrics without labels, by name; nothing where it does not run."""
        if self.service is None:
            return {}
        return parse_metrics(self.service.admin("/metrics")[1])

    def end_server(self) -> None:
        """End the server in order, so that its log is complete."""
        if self._server is not None and (status := self._server.stop(grace_s=30.0)) != 0:
            raise BorderpostError("BP0911", f"the server ended with status {status}:\n{self._server.tail()}")

    def _set_up(self) -> None:
        # Not in the stage's own directory: a socket's path has at most 107 bytes, whatever `--directory` says.
        self._sockets = Path(tempfile.mkdtemp(prefix="borderpost-")) / "server"
        self._socket = self._sockets / "worker-0.sock"
        self._undo.callback(shutil.rmtree, self._sockets.parent, ignore_errors=True)
        regions = upstream(REGIONS, whole_bodies=self._scenario.body_kib > 0)
        self._upstream = self._undo.enter_context(EnvoyProcess(regions, self._directory, name="upstream"))
        self._regions = listener_ports(self._upstream)
        self._port = free_port()
        admin_port = free_port()
        config = self._write_configuration(admin_port)
        scenario = self._scenario
        if scenario.server is Server.PRODUCT:
            self.service = self._undo.enter_context(
                BorderpostProcess(config, admin_port=admin_port, prefix=self._pins.server)
            )
            self._server = self.service.process
        elif scenario.server is not Server.NONE:
            self._server = self._start_server()
        if not scenario.direct:
            self._envoy = self._undo.enter_context(EnvoyProcess(self._bootstrap(config), self._directory))
            self._requesters = Requesters(self._envoy.port, refused=scenario.traffic == "mixed")
        if scenario.driver is Driver.WRK:
            body = chat_of(scenario.body_kib << 10) if scenario.body_kib else CHAT
            requests = requests_of(scenario.traffic, min(ADDRESSES, _BODIES_BYTES // len(body)))
            (self._directory / "wrk.lua").write_text(wrk_script(requests, body))
        elif scenario.driver is Driver.STREAMS:
            requests = requests_of(scenario.traffic, ADDRESSES)
            raw = scenario.server is not Server.OPA
            (self._directory / "messages.bin").write_bytes(messages(requests, scenario.via, raw_headers=raw))
        elif scenario.driver is Driver.H2LOAD:
            (request,) = requests_of(scenario.traffic, 1)
            (self._directory / "message.bin").write_bytes(grpc_frame(question(request, scenario.via)))

    def _write_configuration(self, admin_port: int) -> Path:
        config = configuration(self._regions, admin_port=admin_port)
        scenario = self._scenario
        config["server"] = {
            "directory": str(self._sockets), "workers": scenario.workers, "engine": scenario.engine, "drain_s": 0.1,
        }  # fmt: skip
        if scenario.driver is Driver.H2LOAD:  # which knows no Unix sockets
            config["server"] |= {"listen": "tcp", "host": "127.0.0.1", "port": self._port}
        for region, port in self._regions.items():
            # By TCP, so that the regions' counts are of requests alone.
            config["ranking"]["probes"][region] = {"kind": "tcp", "address": f"127.0.0.1:{port}", "interval_s": 2}
        if scenario.body_use in {BodyUse.READ, BodyUse.SEARCHED}:
            config["payload"] = self._payload(search=scenario.body_use is BodyUse.SEARCHED)
        write_events(self._directory, [])
        self._features.apply(config, self._directory)
        path = self._directory / CONFIGURATION
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def _payload(self, *, search: bool) -> dict[str, Any]:
        """Return the configuration's section for body mode."""
        key = self._directory / "payload.key"
        key.write_bytes(b"k" * 32)
        return {
            "read": True, "hash_key_file": str(key), "bytes_max": BODY_BYTES_MAX, "model": "/model",
            "data_class": "/metadata/data_class",
            "detectors": {name: {"data_class": "health"} for name in _DETECTORS} if search else {},
        }  # fmt: skip

    def _start_server(self) -> ChildProcess:
        """Start a server that is not the product, where Envoy or the load generator expects it."""
        scenario, by_port = self._scenario, self._scenario.driver is Driver.H2LOAD
        environ = {}
        if scenario.server is Server.CONSTANT:
            where = ("--port", str(self._port)) if by_port else ("--unix", str(self._socket))
            command = [sys.executable, "-m", "borderpost_bench.constant", "--cluster", FIXED_REGION]
            command += ["--engine", scenario.engine]
        else:
            self._sockets.mkdir(mode=0o700)
            where = ("-tcp", f"127.0.0.1:{self._port}") if by_port else ("-unix", str(self._socket))
            command = self._go_command()
            environ = ONE_CORE
        command = [*self._pins.server, *command, *where]
        child = ChildProcess(scenario.server.value, command, self._server_log, environ=environ)
        self._undo.callback(child.kill)
        ready = (lambda: listens(self._port)) if by_port else self._socket.exists
        child.wait_until(ready, timeout_s=15, what="listening")
        return child

    def _go_command(self) -> list[str]:
        if self._scenario.server is Server.OPA:
            return opa_command(self._directory)
        workers = ("-stream-workers", str(self._scenario.stream_workers))
        if self._scenario.server is Server.GO_STUB:
            return [str(programs()["stub"]), "-cluster", FIXED_REGION, *workers]
        table = self._directory / "table.json"
        table.write_text(json.dumps(law_table(here="DE-HE")))
        return [
            str(programs()["honest"]), "-table", str(table), "-geoip", str(EMBEDDED_PATH),
            "-journal", str(self._journal), *workers,
        ]  # fmt: skip

    def _bootstrap(self, config: Path) -> dict[str, Any]:
        """Render Envoy's bootstrap by the command that operators use."""
        upstreams = [f"{region}=127.0.0.1:{port}" for region, port in self._regions.items()]
        rendered = command(
            *("render", "envoy", "--json", "--config", str(config), "--via", self._scenario.via.value),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--trusted-hops", "1"),
            *(word for one in upstreams for word in ("--upstream", one)),
            *(("--access-log", str(self._directory / "access.log")) if self._features.on("access_log") else ()),
        )
        if rendered.exit_code != 0:
            raise BorderpostError("BP0911", f"rendering Envoy's configuration failed: {rendered.document}")
        if self._scenario.server is Server.NONE:
            plain = plain_proxy(rendered.document, FIXED_REGION)
            if self._scenario.body_use is BodyUse.BUFFERED:
                for manager in managers(plain):
                    manager["http_filters"].insert(0, buffer_filter(BODY_BYTES_MAX))
            return plain
        if self._scenario.server is Server.OPA:
            return opa_bootstrap(rendered.document)
        return rendered.document


def parse_metrics(text: str) -> dict[str, float]:
    """Return the samples without labels of a Prometheus exposition, by name."""
    found = re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def listener_ports(envoy: EnvoyProcess) -> dict[str, int]:
    """Return the port of each listener by its name, as Envoy's admin tells."""
    statuses = json.loads(envoy.admin("/listeners?format=json"))["listener_statuses"]
    return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in statuses}


def listens(port: int) -> bool:
    """Return whether anybody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
