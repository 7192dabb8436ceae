"""The sections of the configuration that say how the processes work together and what callers are told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from borderpost_base.strict import StrictModel


class RuntimeSpec(StrictModel):
    """What the steward and its workers share on this machine."""

    directory: Path = Path("run/state")
    """Directory of snapshots, worker settings and metrics of this instance. It holds no evidence and is rebuilt at
    every start, but for what workers have counted and `counters.directory` does not hold yet. Keep it on a memory file
    system if there is one: where its disk hangs, steward and workers hang with it, and nobody is ready until it
    answers. Never the sockets' directory: Envoy has no business here."""

    snapshot_max_age_s: float = Field(default=30.0, ge=1.0, le=3600.0)
    """How long workers go on deciding after the steward's last sign of life. Past it they refuse, because a legal
    event may have come that they cannot have heard of."""

    watch_s: float = Field(default=0.2, ge=0.05, le=60.0)
    """How often the steward looks whether the configuration, a pack, the events file or the GeoIP database has
    changed. All but events are taken once two looks have seen the same, so that nothing half written is."""

    watch_config: bool = True
    """Whether a changed configuration or pack is taken as soon as it lies there, as by SIGHUP; false waits for the
    signal or for `borderpost reload`."""

    hung_disk_s: float = Field(default=2.0, ge=0.1, le=60.0)
    """How long a worker's disk may be silent in one commit, or the worker itself, before readiness is taken away."""


class AnswersSpec(StrictModel):
    """What callers are told beside the status."""

    blocked_by: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*:[!-;=?-~]+$", max_length=256)
    """URI of whoever implements the blocking, for the `Link` header of a 451 (RFC 7725, section 4). null gives
    `https://` and the audit log's origin, which names this gateway to whoever knows its log."""

    retry_after_s: int = Field(default=5, ge=1, le=3600)
    """`Retry-After` of a 503: about the time in which a probe sees a region come back."""
