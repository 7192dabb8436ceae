"""Time to enforcement: from the publication of an event without notice to the last answer by the law before it.

Two gateways with two workers each follow one list in a redis-server, all of them busy. Events of several kinds take
one and the same way away from everybody who is on it, and give it back. For each event and each worker, what counts
is read from the worker's own log: when it decided first by the new law with nothing by the old one after it. So the
time has in it the server, the steward's checks, the snapshot, the worker's compile, and the wait for its next request.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from borderpost.audit.reader import read_stream, stream_directories
from borderpost.policy.model import Facts
from borderpost_bench.arrivals import schedule
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.latency import Percentiles
from borderpost_bench.load import Load
from borderpost_bench.measure import Settings
from borderpost_bench.mix import Asked
from borderpost_bench.open_loop import request_bytes, run_open, trace_id
from borderpost_bench.requesters import load_of
from borderpost_bench.shared_list import GATEWAYS, NEAREST, WORKERS, SharedList, redis_program
from borderpost_bench.targets import Target
from borderpost_bench.traffic import requests_of

EVENTS: Final = 40
RATE_S: Final = 200.0
"""Requests a second to each gateway: between two of a worker's lie 10 ms."""
HOLDS_S: Final = 0.4
"""How long an event holds, and how long it is over before the next one."""
_SETTLE_S: Final = 1.5

KINDS: Final[tuple[Mapping[str, Any], ...]] = (
    {"type": "adequacy_revoke", "scope": {"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]}},
    {"type": "adequacy_revoke", "scope": {"bases": ["art45-dpf"], "countries": ["US"]}},
    {"type": "adequacy_revoke", "scope": {"bases": ["art45-dpf"], "regions": [NEAREST]}},
    {"type": "injunction", "scope": {"countries": ["US"], "subjects": ["EEA"]}},
    {"type": "region_suspend", "scope": {"regions": [NEAREST]}},
)
"""What takes the way away, in turn."""

Told = tuple[datetime, bool]
"""When a worker decided, and whether by the old law."""


@dataclass(frozen=True, slots=True)
class Published:
    """One event: when it was handed over, and when its end was."""

    at: datetime
    over: datetime


def delays_ms(published: Sequence[Published], told: Sequence[Told]) -> list[float | None]:
    """Return for each event how long one worker took to the first decision by the new law with none by the old after.

    None where the log cannot say: the worker was not on the old way before the event, or not on the new one at its end.
    """
    instants = [at for at, _ in told]
    found: list[float | None] = []
    for event in published:
        first, last = bisect_left(instants, event.at), bisect_left(instants, event.over)
        before, during = told[max(0, first - 1) : first], told[first:last]
        by_new = list(itertools.takewhile(lambda one: not one[1], reversed(during)))
        if not by_new or not before or not before[0][1]:
            found.append(None)
        else:
            found.append((by_new[-1][0] - event.at) / timedelta(milliseconds=1))
    return found


def measure_enforcement(settings: Settings, engine: str, *, events: int = EVENTS) -> Round:
    """Publish events one after another under load, and read from the logs what became of them."""
    seconds = _SETTLE_S + events * 2 * HOLDS_S + 1.0
    with SharedList(settings, engine=engine) as fleet:
        loads: dict[int, Load] = {}
        ports = [envoy.port for envoy in fleet.envoys]
        threads = [
            threading.Thread(target=_ask, args=(number, port, seconds, loads)) for number, port in enumerate(ports)
        ]
        for thread in threads:
            thread.start()
        time.sleep(_SETTLE_S)
        published = [_publish(fleet, f"event-{number}", KINDS[number % len(KINDS)]) for number in range(events)]
        for thread in threads:
            thread.join()
        fleet.end()
        workers = [_told(stream) for audit in fleet.audits for stream in stream_directories(audit)]
    delays = [delay for told in workers for delay in delays_ms(published, told)]
    return summed_up(delays, workers=len(workers), events=events, loads=loads)


def summed_up(delays: Sequence[float | None], *, workers: int, events: int, loads: Mapping[int, Load]) -> Round:
    """Return what all events on all workers say together; what the logs cannot say is a fault, as is any refusal."""
    known = [delay for delay in delays if delay is not None]
    spread = Percentiles.of(round(delay * 1e6) for delay in known)
    faults = []
    if workers != GATEWAYS * WORKERS or len(loads) != GATEWAYS:
        faults.append(f"{workers} workers of {len(loads)} gateways answered, not {GATEWAYS * WORKERS} of {GATEWAYS}")
    if len(known) < len(delays):
        faults.append(f"{len(delays) - len(known)} of {len(delays)} times an event changed nothing that a log shows")
    unserved = [load for load in loads.values() if load.refused or load.failed]
    faults += [f"{load.refused} requests were refused, {load.failed} failed" for load in unserved]
    figures = {
        "p50_ms": spread.p50_ms,
        "p99_ms": spread.p99_ms,
        "greatest_ms": spread.greatest_ms,
        "samples": float(len(known)),
    }
    return Round(
        figures=figures, faults=tuple(faults),
        details={"events": events, "delays_ms": [delay if delay is None else round(delay, 3) for delay in delays]},
    )  # fmt: skip


def _publish(fleet: SharedList, name: str, kind: Mapping[str, Any]) -> Published:
    at = fleet.publish(name, **kind)
    time.sleep(HOLDS_S)
    over = fleet.publish(f"{name}-over", "ada", "bo", type="lift", ends=name)
    time.sleep(HOLDS_S)
    return Published(at, over)


def _ask(number: int, port: int, seconds: float, loads: dict[int, Load]) -> None:
    due = schedule("constant", RATE_S, seconds, 1)
    (request,) = requests_of("one", 1)
    asked = Asked(request, Facts((), ()))
    framed = [request_bytes(asked, trace_id(number, count)) for count in range(len(due))]
    loads[number] = load_of(run_open(port, framed, due, connections=8), RATE_S)


def _told(stream: Path) -> list[Told]:
    """Return what a worker decided, in order."""
    records = (located.record for located in read_stream(stream))
    routed = (one for one in records if one["type"] == "decision" and one["out"]["action"] == "route")
    return [(datetime.fromisoformat(one["ts"]).astimezone(UTC), one["out"]["r"] == NEAREST) for one in routed]


def _need(_settings: Settings, _engine: str) -> None:
    redis_program()


ENFORCEMENT = Experiment(
    name="enforcement",
    title="from publication to enforcement",
    run=measure_enforcement,
    need=_need,
    rounds_max=2,
    targets=(Target(figure="p99_ms", most=100.0, what="from publication of an event to its enforcement, p99, ms"),),
)
