"""The World seam: time that never runs backwards, and the machine's own disk and randomness."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from borderpost_base.world import World

HOUR_US = 3_600_000_000
START_US = 1_790_000_000_000_000


class SteppedClock:
    """A clock whose wall time a test steps; monotonic time only moves on."""

    def __init__(self, wall_us: int = START_US) -> None:
        self.wall = wall_us
        self.mono = 5_000_000

    def wall_us(self) -> int:
        return self.wall

    def mono_us(self) -> int:
        return self.mono

    def pass_us(self, span_us: int) -> None:
        self.wall += span_us
        self.mono += span_us


def test_time_follows_the_wall_clock() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    assert world.now_us() == START_US
    clock.pass_us(1_000)
    assert world.now_us() == START_US + 1_000
    assert world.ahead_of_wall_us() == 0


def test_a_step_back_is_bridged_by_the_monotonic_clock() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    world.now_us()
    clock.wall -= HOUR_US
    clock.pass_us(250)
    assert world.now_us() == START_US + 250
    assert world.ahead_of_wall_us() == HOUR_US


def test_a_step_back_is_over_once_the_wall_clock_has_caught_up() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    world.now_us()
    clock.wall -= 1_000
    clock.pass_us(10)
    clock.wall += 2_000
    assert world.now_us() == START_US + 1_010
    assert world.ahead_of_wall_us() == 0


def test_a_step_forward_is_followed_at_once_and_not_taken_back() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    world.now_us()
    clock.wall += HOUR_US
    assert world.now_us() == START_US + HOUR_US
    clock.wall -= HOUR_US
    assert world.now_us() == START_US + HOUR_US
    assert world.ahead_of_wall_us() == HOUR_US


def test_the_floor_of_a_log_holds_before_the_first_reading() -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    world.never_before(START_US + HOUR_US)
    clock.mono += 7
    assert world.now_us() == START_US + HOUR_US + 7


def test_a_floor_in_the_past_changes_nothing() -> None:
    world = World(clock=SteppedClock())
    now_us = world.now_us()
    world.never_before(now_us - HOUR_US)
    assert world.now_us() == now_us


@given(st.lists(st.tuples(st.integers(0, HOUR_US), st.integers(-2 * HOUR_US, 2 * HOUR_US)), max_size=30))
def test_no_sequence_of_steps_runs_time_backwards_or_behind_the_wall(steps: list[tuple[int, int]]) -> None:
    clock = SteppedClock()
    world = World(clock=clock)
    before = world.now_us()
    for passed_us, step_us in steps:
        clock.mono += passed_us
        clock.wall = max(1, clock.wall + passed_us + step_us)
        now_us = world.now_us()
        assert now_us >= before + passed_us
        assert now_us >= clock.wall
        before = now_us


def test_the_machine_s_disk_writes_what_it_is_told(tmp_path: Path) -> None:
    disk = World().disk
    first, second = tmp_path / "a", tmp_path / "b"
    fd = disk.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    assert not os.get_inheritable(fd)
    assert disk.write(fd, b"one two") == 7
    disk.truncate(fd, 3)
    disk.fdatasync(fd)
    disk.close(fd)
    disk.rename(first, second)
    disk.fsync_dir(tmp_path)
    assert second.read_bytes() == b"one"
    assert second.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert not first.exists()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_randomness_has_the_length_asked_for() -> None:
    source = World().randomness
    assert len(source.token(16)) == 16
    assert source.token(16) != source.token(16)
