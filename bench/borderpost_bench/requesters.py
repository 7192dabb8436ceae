"""The open loop of one stage: makes the requests of the mix, sends them when they are due, and judges what came back.

Each load has a seed of its own, so that no two requests of a stage carry the same trace.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from borderpost_bench.arrivals import Pace, schedule
from borderpost_bench.judge import Judgement, LawBook, Sent, judge, records_of, together
from borderpost_bench.latency import Percentiles
from borderpost_bench.load import Load
from borderpost_bench.mix import requests_of_mix
from borderpost_bench.open_loop import Answer, OpenLoad, request_bytes, run_open, trace_id

ADDRESSES = 16384
"""Distinct client addresses that requests are drawn from."""


class Requesters:
    """Those who ask, and what they were answered."""

    def __init__(self, port: int, *, refused: bool) -> None:
        """Ask Envoy on a port of loopback, also what the law refuses if `refused`."""
        self._port = port
        self._refused = refused
        self._loads: list[tuple[list[Sent], Sequence[Answer]]] = []

    def ask(self, pace: Pace, *, seconds: float, connections: int) -> Load:
        """Ask for a time. Raises BorderpostError BP0921, or BP0923 without the histogram's package."""
        seed = pace.seed * 1000 + len(self._loads)
        due = schedule(pace.arrivals, pace.rate_s, seconds, seed)
        asked = requests_of_mix(len(due), ADDRESSES, seed, refused=self._refused)
        traces = [trace_id(seed, number) for number in range(len(due))]
        framed = [request_bytes(one, trace) for one, trace in zip(asked, traces, strict=True)]
        seen = run_open(self._port, framed, due, connections=connections)
        self._loads.append(
            ([Sent(one.facts, trace) for one, trace in zip(asked, traces, strict=True)], seen.answers)
        )  # fmt: skip
        return load_of(seen, len(due) / seconds)

    def judged(self, config: Path, audit: Path) -> Judgement:
        """Judge all answers by a configuration's law and an audit log, which must have been closed."""
        book, records = LawBook(config, time.time_ns() // 1000), records_of(audit)
        return together(judge(sent, answers, book, records) for sent, answers in self._loads)


def load_of(seen: OpenLoad, offered_s: float) -> Load:
    """Return what an open loop saw in the terms of all loads; latency counts from when a request was due."""
    answered = [one for one in seen.answers if one.status]
    took = Percentiles.of(one.done_ns - one.due_ns for one in answered)
    late = Percentiles.of(one.sent_ns - one.due_ns for one in seen.answers if one.sent_ns)
    return Load(
        answered=len(answered),
        refused=sum(one.status >= 400 for one in answered),
        failed=len(seen.answers) - len(answered),
        seconds=seen.seconds,
        p50_ms=took.p50_ms,
        p90_ms=took.p90_ms,
        p99_ms=took.p99_ms,
        p999_ms=took.p999_ms,
        offered_s=offered_s,
        late_p50_ms=late.p50_ms,
        late_p99_ms=late.p99_ms,
    )
