"""The product by itself: one worker, a configuration of any kind, no Envoy, asked by the driver.

For experiments about the worker: what it costs, how much memory it takes. Its log is on a disk as always, and is
held against what was answered.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from borderpost.audit.reader import read_log
from borderpost.demo.children import free_port
from borderpost.demo.scenery import AUDIT, configuration, write_events
from borderpost.demo.service_process import BorderpostProcess
from borderpost.demo.setting_up import SetUp
from borderpost_base.errors import BorderpostError
from borderpost_bench.check import LogCount
from borderpost_bench.cpu import Usage, descendants, usage_of
from borderpost_bench.load import Load
from borderpost_bench.measure import Settings
from borderpost_bench.pins import pins
from borderpost_bench.rivals import programs
from borderpost_bench.sizes import Size, copied_from, sized_configuration
from borderpost_bench.streams import run_streams
from borderpost_bench.unavailable import Unavailable
from borderpost_envoy import Via

IN_FLIGHT = 64


def need_driver(settings: Settings, _engine: str) -> None:
    """Raise Unavailable where the driver cannot be built, or answers could not be held against the law."""
    if not settings.features.on("law"):
        raise Unavailable("its answers are held against a law, which is switched off")
    programs()


class Alone(SetUp):
    """One gateway with one worker, used as a context; what it writes lies in a directory below the run's own."""

    def __init__(
        self, settings: Settings, *, engine: str, size: Size | None = None, audit: Mapping[str, Any] | None = None
    ) -> None:
        """Prepare it; `size` None is the demo's configuration, `audit` are settings of the log."""
        self._run = settings
        self._engine = engine
        self._size = size
        self._audit_settings = dict(audit or {})
        super().__init__()
        self._pins = pins()
        self._messages = 0

    def _set_up(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="borderpost-bench-", dir=self._run.directory))
        self._undo.callback(shutil.rmtree, self._directory, ignore_errors=True)
        sockets = Path(tempfile.mkdtemp(prefix="borderpost-")) / "server"  # a socket's path has at most 107 bytes
        self._undo.callback(shutil.rmtree, sockets.parent, ignore_errors=True)
        self.socket = sockets / "worker-0.sock"
        """Where the worker listens."""
        self.audit = self._directory / AUDIT
        """The audit log."""
        admin_port = free_port()
        if self._size is None:
            config = configuration({}, admin_port=admin_port)
        else:
            config = sized_configuration(self._size, admin_port=admin_port)
        config["audit"] |= self._audit_settings
        config["server"] = {"directory": str(sockets), "workers": 1, "engine": self._engine, "drain_s": 0.1}
        write_events(self._directory, [])
        self._run.features.apply(config, self._directory)
        path = self._directory / "borderpost.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self._service = self._undo.enter_context(
            BorderpostProcess(path, admin_port=admin_port, prefix=self._pins.server, ready_within_s=60.0)
        )

    def questions(self, messages: bytes) -> Path:
        """Write the driver's messages into a file and return it."""
        self._messages += 1
        path = self._directory / f"messages-{self._messages}.bin"
        path.write_bytes(messages)
        return path

    def drive(self, questions: Path, *, seconds: float, first: int = 0, addresses: int = 1) -> Load:
        """Ask in a closed loop, from the question of this number on. Raises BorderpostError BP0921."""
        return run_streams(
            programs()["drive"], self.socket, questions, via=Via.EXT_PROC, seconds=seconds, in_flight=IN_FLIGHT,
            prefix=self._pins.driver, first=first, addresses=addresses,
        )  # fmt: skip

    @property
    def worker(self) -> int:
        """Return the worker's process id."""
        _steward, worker = descendants(self._service.process.pid)
        return worker

    def usage(self) -> Usage:
        """Return what the worker has used until now."""
        return usage_of([self.worker])

    def end(self) -> None:
        """End it in order, so that its log is complete. Raises BorderpostError BP0911."""
        if (status := self._service.stop(grace_s=30.0)) != 0:
            raise BorderpostError("BP0911", f"the server ended with status {status}:\n{self._service.process.tail()}")

    def count(self) -> LogCount:
        """Return what its records add up to; a copy of a region counts as that region. Call it after `end`."""
        count = LogCount()
        for located in read_log(self.audit):
            if located.record["type"] == "decision":
                count.add(as_of_five_regions(located.record), len(located.line) + 1)
        return count


def as_of_five_regions(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the check looks at in a decision's record, in the terms of `traffic.ROUTED`.

    A region counts as the one that it is a copy of, and an asserted part of the country that GeoIP names, or that
    country itself, as nothing asserted: it is no other law.
    """
    evidence = list(record["jur"]["evidence"])
    countries = {piece["val"][:2] for piece in evidence}
    if len(countries) == 1:
        evidence = [piece for piece in evidence if piece["src"] == "geoip"]
    out = dict(record["out"])
    if "r" in out:
        out["r"] = copied_from(out["r"])
    return {"jur": {"evidence": evidence}, "class": record["class"], "out": out}


def faults_of(log: LogCount, lawful: Sequence[Load], unlawful: Sequence[Load] = ()) -> tuple[str, ...]:
    """Return what is wrong between answers and records, of loads that are to be routed and of those to be refused."""
    loads = (*lawful, *unlawful)
    refused = sum(load.refused for load in loads)
    routed = sum(load.answered for load in loads) - refused
    unheard = log.decisions - routed - refused
    found = {
        "questions without an answer": sum(load.failed for load in loads),
        "answers outside the law": log.illegal,
        "refusals of what the law allows": log.over_refused + sum(load.refused for load in lawful),
        "routes of what the law refuses": sum(load.answered - load.refused for load in unlawful),
        "answers without a record": max(0, routed - log.routed.total()) + max(0, refused - log.refused.total()),
        "records without an answer": max(0, unheard - IN_FLIGHT * len(loads)),
    }
    return tuple(f"{count} {what}" for what, count in found.items() if count)
