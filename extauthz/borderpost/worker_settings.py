"""What the steward hands to a worker at its start: the sections of the configuration that a worker needs.

It goes by a file in the runtime directory (`settings_files`). Everything that may change while a worker runs (policy,
catalogue, events, signals, GeoIP) is not here but in snapshots.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borderpost.audit.config import AuditSpec
from borderpost.config.observe import ObserveSection
from borderpost.config.operation import AnswersSpec
from borderpost.config.rate_limit import Fact
from borderpost.config.sections import LogsSpec, ServerSpec
from borderpost.settings_files import put_settings, read_settings
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.strict import StrictModel

if TYPE_CHECKING:
    from borderpost.config.model import Config

KIND: Final = "worker"
"""Of the settings' files."""
_ONLY_BY_RESTART = {
    "server.listen": "Envoy's configuration names it",
    "server.directory": "Envoy's configuration names it",
    "server.host": "Envoy's configuration names it",
    "server.port": "Envoy's configuration names it",
    "server.workers": "Envoy's configuration names each worker",
    "audit.directory": "a second directory would begin the same log anew",
    "audit.log": "the streams carry the name of their log",
    "counters.directory": "the count is there",
    "counters.redis": "the fleet knows this gateway there",
    "payload.read": "Envoy's configuration says so too",
    "payload.bytes_max": "Envoy's configuration says so too",
    "payload.routes": "Envoy's configuration names them",
    "runtime.directory": "this instance holds its lock",
    "admin.host": "it is bound",
    "admin.port": "it is bound",
    "admin.token_file": "the admin server was started with it; what is in the file may change",
}
"""Keys that a reload does not change, with the reason."""


class WorkerSettings(StrictModel):
    """What a worker reads once. A change of anything else does not start workers anew."""

    server: ServerSpec
    audit: AuditSpec
    answers: AnswersSpec
    logs: LogsSpec
    remembered_addresses: int
    """`geoip.remembered_addresses`."""
    snapshot_max_age_s: float
    """`runtime.snapshot_max_age_s`."""
    observe: ObserveSection = ObserveSection()
    """Routes that are observed."""
    facts: tuple[Fact, ...] = ()
    """What limits ask for (`rate_limit.descriptors`), so that answers tell it."""
    payload: dict[str, Any] | None = None
    """The section `payload` as plain data where bodies are read, so that other workers need not load what reads it."""

    def write(self, runtime: Path) -> str:
        """Put the settings in place, whole, and return the file's name.

        The same settings have the same name. The key that names bodies counts by what is in its file: another key
        makes settings of another name. Certificates do not: workers take renewed ones as they run.
        """
        also = b""
        if self.payload is not None:
            with contextlib.suppress(OSError):  # the worker that needs it says so
                also = hashlib.sha256(Path(self.payload["hash_key_file"]).read_bytes()).digest()
        return put_settings(self, runtime, KIND, also=also)

    @classmethod
    def read(cls, path: Path) -> WorkerSettings:
        """Read what the steward wrote. Raises BorderpostError BP0614 if that was one of another release."""
        return read_settings(cls, path)


def settings_of(config: Config) -> WorkerSettings:
    """Return the part of a configuration that workers are started with."""
    return WorkerSettings(
        server=config.server,
        audit=config.audit,
        answers=config.answers,
        logs=config.logs,
        remembered_addresses=config.geoip.remembered_addresses,
        snapshot_max_age_s=config.runtime.snapshot_max_age_s,
        observe=config.observe,
        facts=config.rate_limit.facts if config.rate_limit is not None else (),
        payload=config.payload.model_dump(mode="json") if config.payload.read else None,
    )


def refuse_unreloadable(old: Config, new: Config) -> None:
    """Raise Problems with a BP0608 for each changed key that only a restart can change."""
    problems = []
    for key, why in _ONLY_BY_RESTART.items():
        section, name = key.split(".")
        if getattr(getattr(old, section), name) != getattr(getattr(new, section), name):
            problems.append(BorderpostError("BP0608", f"`{key}` has changed: {why}", place=Place(key=key)))
    if problems:
        raise Problems(problems)
