"""Memory of a worker after 10 million requests from 1 million addresses: flat, and within its bound.

One worker is asked without a pause, from each address in turn, and what it holds is looked at after each slice. Its
log grows by some 1.5 kB a request: segments that it has closed are removed as it goes, because a disk for all of
them is not what is measured. That no record is missing is told by the sequence numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from borderpost.audit.reader import read_stream
from borderpost_bench.alone import IN_FLIGHT, Alone, need_driver
from borderpost_bench.experiment import Curve, Experiment, Round
from borderpost_bench.load import Load
from borderpost_bench.measure import Settings
from borderpost_bench.streams import ADDRESS_MARKER, messages
from borderpost_bench.targets import Target
from borderpost_bench.traffic import Request
from borderpost_envoy import Via

REQUESTS, ADDRESSES = 10_000_000, 1_000_000
MEMORY_MIB_MAX = 150
SETTLED = 0.2
"""After this part of the requests what is remembered is full; from then on memory has to be flat."""
_NETWORK = "2a01:4f8::"
"""Wholly in Germany, by the embedded database."""
_SEGMENT_BYTES = 64 << 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


def requests_from_anywhere() -> list[Request]:
    """Return requests from as many addresses as the driver is told, with and without claims."""
    claims: tuple[dict[str, str], ...] = (
        {}, {"x-data-class": "health"}, {"x-data-residency": "FR"}, {"x-data-residency": "DE"},
    )  # fmt: skip
    address = f"{_NETWORK}{ADDRESS_MARKER}"
    return [Request(address, {"x-forwarded-for": address, **one}) for one in claims]


def resident_bytes(pid: int) -> int:
    """Return a process's resident set, shared pages included (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def remove_closed(stream: Path) -> int:
    """Remove all segments of a stream but the one being written; return how many went."""
    closed = sorted(stream.glob("*.jsonl"))[:-1]
    for segment in closed:
        segment.unlink()
    return len(closed)


def soak(settings: Settings, engine: str, *, requests: int = REQUESTS, addresses: int = ADDRESSES) -> Round:
    """Ask so many times from so many addresses. Raises BorderpostError if something cannot be started or driven."""
    loads: list[Load] = []
    points: list[tuple[float, float]] = []
    answered = removed = 0
    with Alone(settings, engine=engine, audit={"segment_bytes": _SEGMENT_BYTES}) as alone:
        questions = alone.questions(messages(requests_from_anywhere(), Via.EXT_PROC))
        worker, stream = alone.worker, alone.audit / "worker-0"
        points.append((0.0, resident_bytes(worker) / _MIB))
        while answered < requests:
            loads.append(alone.drive(questions, seconds=settings.seconds, first=answered, addresses=addresses))
            if not loads[-1].answered:
                break
            answered += loads[-1].answered
            points.append((float(answered), round(resident_bytes(worker) / _MIB, 2)))
            removed += remove_closed(stream)
        alone.end()
        records = [(located.record["seq"], located.record["type"]) for located in read_stream(stream)]
    return Round(
        figures=figures_of(points),
        curves={"memory_mib": Curve(x="requests", y="resident memory of the worker, MiB", points=tuple(points))},
        faults=faults_of(loads, requests, records[-1][0] + 1 if records else 0),
        details={"requests": answered, "addresses": addresses, "segments_removed": removed},
    )


def figures_of(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the most memory of all, and how much it grew once settled: the end as a ratio of the level by then."""
    settled = [memory for at, memory in points if at >= SETTLED * points[-1][0]]
    return {
        "memory_mib": round(max(memory for _, memory in points), 1),
        "memory_at_start_mib": round(points[0][1], 1),
        "memory_growth": round(settled[-1] / settled[0], 3),
    }


def faults_of(loads: Sequence[Load], requests: int, records: int) -> tuple[str, ...]:
    """Return what is wrong; `records` are all that the log numbered, a few of them about the worker itself."""
    answered = sum(load.answered for load in loads)
    about_worker_max = 16
    found = {
        "questions without an answer": sum(load.failed for load in loads),
        "refusals of what the law allows": sum(load.refused for load in loads),
        "requests not asked": max(0, requests - answered),
        "answers without a record": max(0, answered - records),
        "records without an answer": max(0, records - answered - IN_FLIGHT * len(loads) - about_worker_max),
    }
    return tuple(f"{count} {what}" for what, count in found.items() if count)


SOAK = Experiment(
    name="soak",
    title="10 million requests from 1 million addresses",
    run=soak,
    need=need_driver,
    targets=(
        Target(figure="memory_mib", most=MEMORY_MIB_MAX, what="a worker's memory after 10 million requests"),
        Target(figure="memory_growth", most=1.05, what="the same, growth after the first fifth"),
    ),
    rounds_max=1,
    by_default=False,
)
