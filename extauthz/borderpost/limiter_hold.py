"""The steward's hold on its limiter: one process beside the workers, where the configuration has a section `limiter`.

It is supervised as a worker is. Another configuration of it replaces the process: the successor answers before its
predecessor goes. What was counted in memory goes with the predecessor; counters in Redis stay, and a change of limits
files replaces nothing, since the limiter reads them itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from borderpost.config.limiter import LimiterConfig, LimiterSection
from borderpost.config.model import Config
from borderpost.health import Check
from borderpost.limiter.stewarded import CHECKS, PAGE, told_checks
from borderpost.settings_files import clear_settings, put_settings
from borderpost.snapshots import SharedPage, WorkerState
from borderpost.supervisor import LIMITER, Supervisor
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

_KIND: Final = "limiter"
"""Of the settings' files."""
_STREAMS: Final = 2
"""Of a limiter and its successor."""
_SILENT_S_MAX: Final = 2.0
"""How long a limiter may give no sign of life before readiness is taken away."""
_KILL_AFTER_DRAIN_S: Final = 10.0
_ONLY_BY_RESTART: Final = ("server.listen", "server.socket", "server.host", "server.port", "admin")
"""Keys that a reload does not change: Envoy's configuration names the limiter's address, and probers its endpoints."""


class LimiterHold:
    """The limiter of one instance, or none. Used on the steward's loop."""

    def __init__(self, runtime: Path, metrics: Metrics, world: World) -> None:
        self._runtime = runtime
        self._metrics = metrics
        self._world = world
        self._section: LimiterSection | None = None
        self._settings = ""
        self._page = SharedPage(runtime / PAGE, create=True)
        for stream in range(_STREAMS):
            self._page.forget_worker(stream)
        (runtime / CHECKS).unlink(missing_ok=True)
        clear_settings(runtime, _KIND)
        self._supervisor = self._make_supervisor()

    def start(self, config: Config) -> None:
        """Start the limiter, if the configuration has one. Raises OSError."""
        self._section = config.limiter
        if self._section is not None:
            self._settings = self._put(config)
            self._supervisor.start(self._settings)

    def refuse(self, config: Config) -> None:
        """Raise Problems with a BP0608 for each changed key that only a restart can change."""
        old, new = self._section, config.limiter
        if old is None or new is None:
            return
        changed = [key for key in _ONLY_BY_RESTART if _at(old, key) != _at(new, key)]
        if changed:
            problems = [
                BorderpostError("BP0608", f"`limiter.{key}` has changed", place=Place(key=f"limiter.{key}"))
                for key in changed
            ]
            raise Problems(problems)

    async def replace(self, config: Config) -> bool:
        """Follow another configuration, which `refuse` has let pass; return whether a process was started or ended.

        Raises BorderpostError BP0607 where a successor does not get ready: the limiter before it answers on. Raises
        OSError.
        """
        before, self._section = self._section, config.limiter
        if self._section is None:
            if before is not None:
                await self._end(before)
                self._supervisor = self._make_supervisor()
            return before is not None
        settings = self._put(config)
        if before is None:
            self._settings = settings
            self._supervisor.start(settings)
            return True
        if settings == self._settings:
            return False
        await self._supervisor.replace_all(settings, grace_s=self._section.server.drain_s + _KILL_AFTER_DRAIN_S)
        self._settings = settings
        clear_settings(self._runtime, _KIND, but=settings)
        return True

    async def stop(self) -> None:
        """Have the limiter drain and end."""
        if self._section is not None:
            await self._end(self._section)

    def close(self) -> None:
        """Let go of the page, once nothing beats any more."""
        self._page.close()

    def beat(self, mono_us: int) -> None:
        """Give the steward's sign of life."""
        self._page.beat_steward(mono_us)

    def checks(self) -> list[Check]:
        """Return what is to be said of the limiter in health checks."""
        if self._section is None:
            return []
        signs = self._page.worker(self._supervisor.seats[0].stream)
        silent_s = (self._world.clock.mono_us() - signs.beat_us) / 1e6
        if signs.state is not WorkerState.SERVING:
            return [Check.that(_KIND, False, signs.state.name.lower())]
        if silent_s > _SILENT_S_MAX:
            return [Check.that(_KIND, False, f"no sign of life for {silent_s:.1f} s")]
        return [Check.that(_KIND, True, "serving"), *(check for check in told_checks(self._runtime))]

    def set_gauges(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        if self._section is not None:
            self._metrics.limiter_up.set(float(all(check.holds for check in self.checks())))

    def _put(self, config: Config) -> str:
        assert config.limiter is not None
        made = LimiterConfig(limiter=config.limiter, audit=config.audit, logs=config.logs)
        return put_settings(made, self._runtime, _KIND)

    def _make_supervisor(self) -> Supervisor:
        return Supervisor(
            runtime=self._runtime, count=1, page=self._page, metrics_directory=self._runtime / "metrics",
            on_restart=lambda _index: self._metrics.limiter_restarts_total.inc(), kind=LIMITER,
        )  # fmt: skip

    async def _end(self, section: LimiterSection) -> None:
        await self._supervisor.stop(grace_s=section.server.drain_s + _KILL_AFTER_DRAIN_S)


def _at(section: LimiterSection, key: str) -> object:
    value: object = section
    for name in key.split("."):
        value = getattr(value, name)
    return value
