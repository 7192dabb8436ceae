"""A fleet for the bench: gateways that follow one signed list in a redis-server, each with an Envoy before it.

Germans are sent to the United States, which is nearest in this configuration, by a basis that events take away and
give back. The server and all gateways are on this machine and share its clock, so ε is 0.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from borderpost.config.events import signers_from
from borderpost.config.redis import EventsRedisSpec
from borderpost.demo.children import ChildProcess, free_port
from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.scenery import AUDIT, REGIONS, configuration
from borderpost.demo.service_process import BorderpostProcess
from borderpost.demo.setting_up import SetUp
from borderpost.demo.stage import command
from borderpost.events.appending import append
from borderpost.events.book import SignedList
from borderpost.events.heartbeat import sign_heartbeat
from borderpost.events.lines import event_body
from borderpost.events.signing import sign, signed_form
from borderpost.events_redis import RedisStore
from borderpost.policy.event_schema import LegalEvent
from borderpost_base.errors import BorderpostError
from borderpost_bench.bootstraps import upstream
from borderpost_bench.measure import Settings
from borderpost_bench.stage import listener_ports, listens
from borderpost_bench.unavailable import Unavailable
from borderpost_envoy import Via

GATEWAYS: Final = 2
WORKERS: Final = 2
"""Of each gateway."""
NEAREST: Final = "us-east-1"
"""The region that the basis opens."""
_CERTIFICATIONS: Final = ["apec-cbpr", "eu-us-dpf"]
_SIGNERS: Final = ("ada", "bo")


def redis_program() -> str:
    """Return the server's program. Raises Unavailable where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise Unavailable("redis-server is not installed")
    return program


class SharedList(SetUp):
    """The server, the gateways and the hand that writes events, used as a context."""

    def __init__(self, settings: Settings, *, engine: str) -> None:
        self._settings = settings
        self._engine = engine
        self._keys = {name: Ed25519PrivateKey.generate() for name in _SIGNERS}
        self._signers = signers_from({name: key.public_key() for name, key in self._keys.items()})
        super().__init__()
        self.envoys: list[EnvoyProcess] = []
        """One for each gateway."""
        self.audits: list[Path] = []
        """Their audit logs."""
        self._services: list[BorderpostProcess] = []
        self._list = SignedList("")

    def publish(self, name: str, *by: str, **fields: Any) -> datetime:
        """Sign an event (by the first signer unless told otherwise), append it, and return when it was handed over."""
        now = datetime.now(UTC)
        given = {"id": name, "effective_from": now - timedelta(seconds=5), "recorded_at": now,
                 "source": "bench", "reason": "a measurement", **fields}  # fmt: skip
        body = event_body(LegalEvent.model_validate(given))
        form = signed_form("legal event", body)
        signatures = tuple(sign(form, self._keys[person], person) for person in by or _SIGNERS[:1])
        handed = datetime.now(UTC)
        self._list = append(self._store, self._list, "event", body, signatures, self._signers, now=handed)
        return handed

    def end(self) -> None:
        """End the gateways in order, so that their logs are complete. Raises BorderpostError BP0911."""
        for service in self._services:
            if (status := service.stop(grace_s=30.0)) != 0:
                raise BorderpostError("BP0911", f"a gateway ended with status {status}:\n{service.process.tail()}")

    def _set_up(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="borderpost-bench-", dir=self._settings.directory))
        self._undo.callback(shutil.rmtree, self._directory, ignore_errors=True)
        self._start_redis()
        self._upstream = self._undo.enter_context(EnvoyProcess(upstream(REGIONS), self._directory, name="upstream"))
        for number in range(GATEWAYS):
            self._start_gateway(self._directory / f"gateway-{number}")

    def _start_redis(self) -> None:
        port = free_port()
        words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory))
        server = ChildProcess("redis", [redis_program(), *words], self._directory / "redis.log")
        self._undo.callback(server.kill)
        server.wait_until(lambda: listens(port), timeout_s=15.0, what="listening")
        self._spec = EventsRedisSpec(url=f"redis://127.0.0.1:{port}", sink="fleet")
        self._store = RedisStore(self._spec)
        self._undo.callback(self._store.close)
        self._list = SignedList(self._store.source)
        person = _SIGNERS[0]
        heartbeat = sign_heartbeat(self._list, datetime.now(UTC), self._keys[person], person)
        self._store.put_heartbeat(heartbeat.encode())

    def _start_gateway(self, directory: Path) -> None:
        directory.mkdir()
        sockets = Path(tempfile.mkdtemp(prefix="borderpost-")) / "server"  # a socket's path has at most 107 bytes
        self._undo.callback(shutil.rmtree, sockets.parent, ignore_errors=True)
        ports, admin_port = listener_ports(self._upstream), free_port()
        path = directory / "borderpost.yaml"
        path.write_text(yaml.safe_dump(self._configuration(ports, sockets, admin_port), sort_keys=False))
        self._services.append(self._undo.enter_context(BorderpostProcess(path, admin_port=admin_port)))
        rendered = command(
            *("render", "envoy", "--json", "--config", str(path), "--via", Via.EXT_PROC.value),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--trusted-hops", "1"),
            *(word for region, port in ports.items() for word in ("--upstream", f"{region}=127.0.0.1:{port}")),
        )
        if rendered.exit_code != 0:
            raise BorderpostError("BP0911", f"rendering Envoy's configuration failed: {rendered.document}")
        self.envoys.append(self._undo.enter_context(EnvoyProcess(rendered.document, directory)))
        self.audits.append(directory / AUDIT)

    def _configuration(self, ports: Mapping[str, int], sockets: Path, admin_port: int) -> dict[str, Any]:
        config = configuration(ports, admin_port=admin_port)
        config["server"] = {"directory": str(sockets), "workers": WORKERS, "engine": self._engine, "drain_s": 0.1}
        config["regions"][NEAREST]["operator"] = {"jurisdiction": "US", "certifications": _CERTIFICATIONS}
        config["ranking"]["latency_ms"]["DE"][NEAREST] = 1
        for region, port in ports.items():
            config["ranking"]["probes"][region] = {"kind": "tcp", "address": f"127.0.0.1:{port}", "interval_s": 2}
        config["sinks"] = {"fleet": {"country": "DE"}}
        public = {name: key.public_key().public_bytes_raw().hex() for name, key in self._keys.items()}
        redis = {"url": self._spec.url, "sink": "fleet"}
        config["events"] = {"redis": redis, "signers": public, "clock_error_ms": 0}
        return config
