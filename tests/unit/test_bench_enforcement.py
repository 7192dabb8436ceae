"""Time to enforcement, from made-up logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from borderpost_bench.enforcement import Published, Told, delays_ms, summed_up
from borderpost_bench.load import Load

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(ms: float) -> datetime:
    return START + timedelta(milliseconds=ms)


def told(*decisions: tuple[float, bool]) -> list[Told]:
    return [(at(ms), by_old) for ms, by_old in decisions]


EVENT = Published(at(100), at(200))


def test_it_ends_with_the_first_decision_after_the_last_by_the_old_law() -> None:
    log = told((90, True), (105, True), (110, False), (115, True), (120, False), (150, False), (210, True))
    assert delays_ms([EVENT], log) == [20.0]
    assert delays_ms([EVENT], told((99, True), (101, False))) == [1.0]


def test_what_a_log_cannot_say_is_not_made_up() -> None:
    nothing = [None]
    assert delays_ms([EVENT], []) == nothing
    assert delays_ms([EVENT], told((110, False))) == nothing  # nobody knows whether it took anything away
    assert delays_ms([EVENT], told((90, False), (110, False))) == nothing
    assert delays_ms([EVENT], told((90, True), (110, True))) == nothing  # still by the old law at the end
    assert delays_ms([EVENT], told((90, True), (210, False))) == nothing  # nothing decided while it held


def test_each_event_is_looked_at_by_itself() -> None:
    second = Published(at(300), at(400))
    log = told((90, True), (130, False), (250, True), (340, True), (350, False))
    assert delays_ms([EVENT, second], log) == [30.0, 50.0]


def load(refused: int = 0) -> Load:
    return Load(answered=10, refused=refused, failed=0, seconds=1, p50_ms=1, p90_ms=1, p99_ms=1, p999_ms=1)


def test_faults_are_told() -> None:
    good = summed_up([10.0, 20.0, 30.0], workers=4, events=3, loads={0: load(), 1: load()})
    assert good.faults == ()
    assert good.figures["samples"] == 3
    assert round(good.figures["p50_ms"]) == 20
    bad = summed_up([10.0, None], workers=3, events=2, loads={0: load(), 1: load(refused=1)})
    assert len(bad.faults) == 3
