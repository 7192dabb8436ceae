"""The steward's probes: one task a region, thresholds, and a new snapshot whenever something material changed.

    unknown ──first result──▶ up ⇄ down        up → down after `unhealthy_after` failures in a row,
                                               down → up after `healthy_after` successes in a row

The first result of a region decides at once: until then it counts as up, and a region that does not answer must not
get traffic for the length of a threshold.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from borderpost.regions.config import ProbeSpec
from borderpost.regions.probe_once import ProbeResult, probe_once
from borderpost.regions.signals import UNPROBED, RegionSignal, Signals, State, settle_latency_us
from borderpost_base import limits
from borderpost_base.logs import get_logger
from borderpost_base.world import World

_SMOOTHED_PROBES = 5
"""The latency of a region is the median of its last five: one slow answer, or two, move nothing."""
_PUBLISH_SPACING_S = 0.1
"""Snapshots come at most ten a second: each makes every worker forget its rankings."""
_FIRST_SPREAD_S = 0.25
"""First probes are spread over this long, or over one interval if that is shorter."""
_JITTER = 0.1
"""Later ones come at the interval give or take this share of it."""

Change = Callable[[Signals], None]
Observe = Callable[[str, ProbeResult], None]


@dataclass(slots=True)
class RegionHealth:
    """What the probes of one region add up to. `note` is the whole state machine."""

    spec: ProbeSpec
    signal: RegionSignal = UNPROBED
    streak: int = 0
    """Results in a row that speak against the present state."""
    latencies_us: deque[int] = field(default_factory=lambda: deque(maxlen=_SMOOTHED_PROBES))

    def note(self, result: ProbeResult) -> bool:
        """Take a result; return True if the signal changed."""
        before = self.signal
        state = self._state_after(result.ok)
        latency_us = before.latency_us
        if result.ok and result.latency_us is not None:
            self.latencies_us.append(result.latency_us)
            latency_us = settle_latency_us(round(statistics.median(self.latencies_us)), latency_us)
        self.signal = RegionSignal(state, latency_us)
        return self.signal != before

    def _state_after(self, ok: bool) -> State:
        state, told = self.signal.state, State.UP if ok else State.DOWN
        if state is State.UNKNOWN or told is state:
            self.streak = 0
            return told
        self.streak += 1
        if self.streak < (self.spec.healthy_after if ok else self.spec.unhealthy_after):
            return state
        self.streak = 0
        return told


class Prober:
    """Probes regions between `start` and `stop`, and hands a snapshot to `on_change` whenever one is due.

    `on_change` and `on_probe` are called on the event loop and must not block. An OSError out of `on_change` (the
    snapshot could not be written) is logged and the snapshot offered again; any other exception out of the two is a
    bug: it ends the probing, and the loop's exception handler is told.
    """

    def __init__(
        self, probes: Mapping[str, ProbeSpec], world: World, *, on_change: Change, on_probe: Observe | None = None
    ) -> None:
        self._world = world
        self._on_change = on_change
        self._on_probe = on_probe
        self._regions = {region: RegionHealth(spec) for region, spec in probes.items()}
        self._waiting = set(self._regions)
        self._first_round = asyncio.Event()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.PROBES_AT_ONCE_MAX)
        self._running: asyncio.Task[None] | None = None
        self._log = get_logger("probes")
        if not self._waiting:
            self._first_round.set()

    @property
    def first_round_done(self) -> bool:
        """Return True once every region has been probed and `on_change` knows; at once where there is none to probe."""
        return self._first_round.is_set()

    async def first_round(self) -> None:
        """Wait until every region has been probed once and `on_change` knows."""
        await self._first_round.wait()

    def snapshot(self) -> Signals:
        """Return what is known now, under a fresh seed."""
        return Signals(
            {region: health.signal for region, health in self._regions.items()},
            self._world.randomness.token(8).hex(),
            self._world.now_us(),
        )

    def start(self) -> None:
        """Begin to probe, on the running loop. Once a Prober; `run` is the same for who has a task of his own."""
        if self._running is not None:
            raise RuntimeError("this prober has been started before")
        self._running = asyncio.get_running_loop().create_task(self.run(), name="probes")
        self._running.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End all probes; when this returns, no task and no connection of theirs is left."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def run(self) -> None:
        """Probe until cancelled. Every task and connection has ended when this returns or raises."""
        async with asyncio.TaskGroup() as group:
            for region, health in self._regions.items():
                group.create_task(self._keep_probing(region, health), name=f"probe {region}")
            await self._keep_publishing()

    def _ended(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            running.get_loop().call_exception_handler({"message": "the probes have ended", "exception": error})

    async def _keep_probing(self, region: str, health: RegionHealth) -> None:
        spec = health.spec
        await asyncio.sleep(self._share() * min(spec.interval_s, _FIRST_SPREAD_S))
        while True:
            began_us = self._world.clock.mono_us()
            async with self._slots:
                result = await probe_once(spec, self._world.clock)
            self._note(region, health, result)
            pause_s = spec.interval_s * (1 + _JITTER * (2 * self._share() - 1))
            spent_s = (self._world.clock.mono_us() - began_us) / 1e6
            await asyncio.sleep(max(0.0, pause_s - spent_s))

    def _note(self, region: str, health: RegionHealth, result: ProbeResult) -> None:
        before = health.signal.state
        if health.note(result):
            self._changed.set()
        if (state := health.signal.state) is not before:
            tell = self._log.warning if state is State.DOWN else self._log.info
            tell(f"region {state}", region=region, probe=result.outcome, status=result.status)
        if self._on_probe is not None:
            self._on_probe(region, result)
        self._waiting.discard(region)

    async def _keep_publishing(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._on_change(self.snapshot())
            except OSError as error:
                self._log.error("signals not published; trying again", error=str(error))
                self._changed.set()
            else:
                if not self._waiting:
                    self._first_round.set()
            await asyncio.sleep(_PUBLISH_SPACING_S)

    def _share(self) -> float:
        """Return a number from 0 to 1 out of the world's randomness."""
        return int.from_bytes(self._world.randomness.token(4), "big") / 0xFFFF_FFFF
