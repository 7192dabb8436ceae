"""What is started to measure one limiter: a redis-server, the limiter on a Unix socket, and Envoy where it takes part.

Ours runs as an operator would run it (`borderpost ratelimit serve`), and so does envoyproxy/ratelimit, with its
statistics off and its log quiet. Directly driven, the limiter has a core of its own; driver and redis-server share the
other.
"""

from __future__ import annotations

import enum
import re
import shutil
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from borderpost.demo.children import ChildProcess, free_port
from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.setting_up import SetUp
from borderpost_base.errors import BorderpostError
from borderpost_bench import limiter_traffic
from borderpost_bench.arrivals import Pace
from borderpost_bench.bootstraps import before_limiter, upstream
from borderpost_bench.cpu import Usage, descendants, usage_of
from borderpost_bench.load import Load, run_wrk, wrk_script
from borderpost_bench.measure import Settings
from borderpost_bench.pins import Pins, pins
from borderpost_bench.rivals import ONE_CORE, programs, ratelimit_programs
from borderpost_bench.shared_list import redis_program
from borderpost_bench.stage import listener_ports, listens
from borderpost_bench.streams import run_streams, run_streams_open

IN_FLIGHT = 64
"""Requests at a time, where it is asked without Envoy."""
_READY_S = 20.0
_WAIT_MS = 1000
"""How long a request of ours waits for Redis: it is counting there that is measured, also where the machine hangs."""


class Store(enum.StrEnum):
    """Where counters are kept."""

    MEMORY = "memory"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Limiter:
    """One way to run a limiter."""

    engine: str | None
    """Of ours, as in `server.engine`; None is envoyproxy/ratelimit."""
    store: Store
    named: bool = False
    """Whether requests carry names, so that no two are alike."""
    window: str = "0"
    """envoyproxy/ratelimit's REDIS_PIPELINE_WINDOW: how long it collects what it writes to Redis."""


@dataclass(frozen=True, slots=True)
class LimiterUsage:
    """What each part has used since it was started."""

    limiter: Usage
    redis: Usage
    envoy: Usage


class LimiterStage(SetUp):
    """Everything that runs for one measurement, used as a context."""

    def __init__(self, limiter: Limiter, settings: Settings, *, envoy: bool) -> None:
        super().__init__()
        self._limiter = limiter
        self._settings = settings
        self._through = envoy
        self._pins = Pins() if envoy else pins()
        self._envoy: EnvoyProcess | None = None
        self._redis: ChildProcess | None = None
        self._asked = 0
        self._refused = 0

    def drive(self, *, seconds: float, pace: Pace | None = None) -> Load:
        """Load it, on from where the last load ended. With a pace it is an open loop. Raises BorderpostError BP0921."""
        if self._envoy is not None:
            script = self._directory / "wrk.lua"
            load = run_wrk(self._envoy.port, script, seconds=seconds, connections=self._settings.connections)
        elif pace is not None:
            load = run_streams_open(
                programs()["drive"], self._socket, self._messages, via=None, seconds=seconds, pace=pace,
                first=self._asked, prefix=self._pins.driver,
            )  # fmt: skip
        else:
            load = run_streams(
                programs()["drive"], self._socket, self._messages, via=None, seconds=seconds, in_flight=IN_FLIGHT,
                first=self._asked, prefix=self._pins.driver,
            )  # fmt: skip
        self._asked += load.answered + load.failed
        self._refused += load.refused
        return load

    def usage(self) -> LimiterUsage:
        """Return what each part has used until now."""
        return LimiterUsage(
            limiter=usage_of(descendants(self._server.pid)),
            redis=usage_of([self._redis.pid] if self._redis is not None else []),
            envoy=usage_of([self._envoy.process.pid] if self._envoy is not None else []),
        )

    def faults(self, loads: int) -> tuple[str, ...]:
        """Return what is wrong after so many loads: another number of refusals, or charges that Redis did not count.

        Asked directly that number is known. wrk sends requests at each load's end whose answers it does not wait for.
        """
        expected = limiter_traffic.refused_of(self._asked)
        most_off = 0 if self._envoy is None else loads * self._settings.connections
        found = []
        if abs(self._refused - expected) > most_off:
            found.append(f"{self._refused} requests of {self._asked} were refused, not {expected}")
        if self._limiter.engine is not None and self._metric("assumed_total"):
            found.append("some requests were decided without Redis")
        return tuple(found)

    def _metric(self, name: str) -> float:
        """Return the sum of one of our limiter's metrics, 0 while nobody tells."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/metrics", timeout=5.0) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        return sum(float(value) for value in re.findall(rf"(?m)^borderpost_limiter_{name}(?:{{.*}})? (\S+)$", text))

    def end(self) -> None:
        """End the limiter in order. Raises BorderpostError BP0911 where it does not end as it should."""
        if (status := self._server.stop(grace_s=20.0)) != 0:
            raise BorderpostError("BP0911", f"the limiter ended with status {status}:\n{self._server.tail()}")

    def _set_up(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="borderpost-bench-", dir=self._settings.directory))
        self._undo.callback(shutil.rmtree, self._directory, ignore_errors=True)
        sockets = Path(tempfile.mkdtemp(prefix="borderpost-"))  # a socket's path has at most 107 bytes
        self._undo.callback(shutil.rmtree, sockets, ignore_errors=True)
        self._socket = sockets / "limiter.sock"
        limits = self._directory / "limits" / "config"
        limits.mkdir(parents=True)
        (limits / "bench.yaml").write_text(limiter_traffic.LIMITS)
        redis_port = self._start_redis() if self._limiter.store is Store.REDIS else 0
        if self._limiter.engine is None:
            self._server = self._start_rival(limits.parent, redis_port)
        else:
            self._server = self._start_ours(limits, redis_port)
        if self._through:
            regions = self._undo.enter_context(EnvoyProcess(upstream(["region"]), self._directory, name="upstream"))
            bootstrap = before_limiter(self._socket, listener_ports(regions)["region"])
            self._envoy = self._undo.enter_context(EnvoyProcess(bootstrap, self._directory))
            (self._directory / "wrk.lua").write_text(wrk_script(limiter_traffic.limiter_requests()))
        else:
            self._messages = self._directory / "messages.bin"
            self._messages.write_bytes(limiter_traffic.limiter_messages(named=self._limiter.named))

    def _start_redis(self) -> int:
        port = free_port()
        words = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        log = self._directory / "redis.log"
        self._redis = ChildProcess("redis", [*self._pins.driver, *words, "--dir", str(self._directory)], log)
        self._undo.callback(self._redis.kill)
        self._redis.wait_until(lambda: listens(port), timeout_s=_READY_S, what="listening")
        return port

    def _start_rival(self, root: Path, redis_port: int) -> ChildProcess:
        settings = {
            **ONE_CORE, "RUNTIME_ROOT": str(root), "RUNTIME_SUBDIRECTORY": "", "RUNTIME_WATCH_ROOT": "false",
            "GRPC_UDS": str(self._socket), "HOST": "127.0.0.1", "PORT": str(free_port()),
            "DEBUG_HOST": "127.0.0.1", "DEBUG_PORT": str(free_port()), "LOG_LEVEL": "error", "DISABLE_STATS": "true",
            "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{redis_port}",
            "REDIS_PIPELINE_WINDOW": self._limiter.window,
        }  # fmt: skip
        return self._start("envoyproxy/ratelimit", [str(ratelimit_programs()["server"])], settings)

    def _start_ours(self, limits: Path, redis_port: int) -> ChildProcess:
        self._admin_port = free_port()
        limiter: dict[str, Any] = {
            "limits": [str(limits)], "admin": {"port": self._admin_port}, "away": {"wait_ms": _WAIT_MS},
            "server": {
                "listen": "unix", "socket": str(self._socket), "engine": self._limiter.engine, "drain_s": 0.0,
            },
        }  # fmt: skip
        if redis_port:
            limiter["store"] = {"url": f"redis://127.0.0.1:{redis_port}"}
        config = self._directory / "borderpost.yaml"
        config.write_text(yaml.safe_dump({"limiter": limiter}))
        words = [sys.executable, "-m", "borderpost.cli", "ratelimit", "serve", "--config", str(config)]
        child = self._start("borderpost", words, {})
        if redis_port:  # until it is connected it would count by itself
            child.wait_until(lambda: self._metric("store_connected") > 0, timeout_s=_READY_S, what="connected to Redis")
        return child

    def _start(self, name: str, words: list[str], environ: dict[str, str]) -> ChildProcess:
        child = ChildProcess(name, [*self._pins.server, *words], self._directory / "limiter.log", environ=environ)
        self._undo.callback(child.kill)
        child.wait_until(self._socket.exists, timeout_s=_READY_S, what="listening")
        return child
