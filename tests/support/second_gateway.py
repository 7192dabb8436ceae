"""A second Borderpost beside the one under test, for one Envoy to ask both, and how a run of it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from borderpost.audit.reader import read_log
from borderpost.audit.verify import verify
from borderpost.demo.children import free_port
from borderpost.demo.scenery import configuration, write_events
from support.borderpost_process import ENGINE, BorderpostProcess, merged
from support.clients import LEGAL_OF_PLACE, illegal_routes

_DECISIONS = "borderpost_decisions_total"


class SecondGateway:
    """One by a configuration of its own: other directories, another log, another admin port, no probes."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        directory.mkdir()
        self.directory = directory
        self.admin_port = free_port()
        config = configuration({}, admin_port=self.admin_port)
        small = {
            "server": {"workers": 1, "engine": ENGINE},
            "audit": {"log": "second.example/gateway", "ballast_bytes": 65536},
        }
        self.config = merged(merged(config, small), changes)
        self.config_file = directory / "borderpost.yaml"
        self.config_file.write_text(yaml.safe_dump(self.config))
        write_events(directory, [])
        self.process: BorderpostProcess

    def start(self, *, within_s: float = 30.0) -> None:
        """Start it and wait until it is ready."""
        self.process = BorderpostProcess(self.config_file, admin_port=self.admin_port, ready_within_s=within_s)

    @property
    def asked(self) -> float:
        """Return how many decisions this process has made."""
        samples = text_string_to_metric_families(self.process.admin("/metrics")[1])
        return sum(each.value for family in samples for each in family.samples if each.name == _DECISIONS)

    def stop(self) -> int:
        """Have it drain and end; return its exit status."""
        return self.process.stop()

    def decisions(self) -> list[dict[str, Any]]:
        """Return its decision records."""
        log = self.directory / self.config["audit"]["directory"]
        return [found.record for found in read_log(log) if found.record["type"] == "decision"]

    def judge(self) -> None:
        """Assert that its log verifies and that it routed nothing where it may not go."""
        report = verify(self.directory / self.config["audit"]["directory"])
        assert report.findings == []
        assert sum(stream.unclean_epochs for stream in report.streams) == 0
        assert list(illegal_routes(self.decisions(), LEGAL_OF_PLACE)) == []


@contextmanager
def second_gateway(directory: Path, **changes: Any) -> Iterator[SecondGateway]:
    """Give a gateway that is not started yet; it is ended and judged at the end."""
    second = SecondGateway(directory, **changes)
    try:
        yield second
    finally:
        if hasattr(second, "process"):
            second.process.stop()
            second.process.kill()
    second.judge()
