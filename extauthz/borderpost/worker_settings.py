"""What the steward hands to a worker at its start: the sections of the configuration that a worker needs.

Written as one JSON file in the runtime directory, readable by this user alone. Everything that may change
while a worker runs (policy, catalogue, events, signals, GeoIP) is not here but in snapshots.
"""

from __future__ import annotations

import os
from pathlib import Path

from borderpost.audit.config import AuditSpec
from borderpost.config.operation import AnswersSpec, RuntimeSpec
from borderpost.config.sections import LogsSpec, ServerSpec
from borderpost.geoip.config import GeoipSpec
from borderpost_base.strict import StrictModel

_NAME = "worker.json"


class WorkerSettings(StrictModel):
    """The sections that a worker reads once."""

    server: ServerSpec
    audit: AuditSpec
    geoip: GeoipSpec
    answers: AnswersSpec
    runtime: RuntimeSpec
    logs: LogsSpec

    def write(self, runtime: Path) -> None:
        """Put the settings in place, whole."""
        temporary = runtime / f".{_NAME}.{os.getpid()}"
        temporary.write_text(self.model_dump_json())
        temporary.chmod(0o600)
        temporary.replace(runtime / _NAME)

    @classmethod
    def read(cls, runtime: Path) -> WorkerSettings:
        """Read what the steward wrote."""
        return cls.model_validate_json((runtime / _NAME).read_bytes())
