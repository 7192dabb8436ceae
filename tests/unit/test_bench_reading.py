"""The bench of reading: each way of reading each kind of body has a figure, and nothing is found in any."""

from __future__ import annotations

import pytest

from borderpost_bench import reading
from borderpost_bench.experiments import EXPERIMENT_BY_NAME


def test_each_kind_of_body_is_read_in_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "REPEATS", 1)
    monkeypatch.setattr(reading, "SIZE_BYTES", 8 << 10)
    found = reading.measure_reading()
    assert found.faults == ()
    assert len(found.figures) == len(reading.bodies()) * 7
    assert all(value >= 0 for value in found.figures.values())
    experiment = EXPERIMENT_BY_NAME["reading"]
    assert {target.figure for target in experiment.targets} <= set(found.figures)
    assert not experiment.by_default
