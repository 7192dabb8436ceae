"""Experiments of the bench: found by name, summed up with their curves, held to their targets."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost_bench import experiments, measure, plan, report, table
from borderpost_bench.experiment import Curve, Experiment, Round
from borderpost_bench.measure import Settings
from borderpost_bench.rounds import Taken, measure_all
from borderpost_bench.spread import Spread
from borderpost_bench.targets import Target, verdict, verdicts
from borderpost_bench.unavailable import Unavailable

ASKED: list[tuple[Settings, str]] = []
MACHINE = {
    "cores": 2, "cpu": "Chip", "kernel": "6", "file_system": "ext4", "python": "3.11", "packages": {}, "wrk": None,
    "h2load": None, "go": None, "pins": "nothing pinned", "compiled": [], "commit": None, "changed": False,
}  # fmt: skip


def found(settings: Settings, engine: str) -> Round:
    ASKED.append((settings, engine))
    number = float(len(ASKED))
    curve = Curve(x="regions", y="CPU µs", points=((3, number), (300, number + 1)))
    return Round(figures={"slowdown": 1 + number / 100}, curves={"cost": curve}, details={"number": number})


def never(_settings: Settings, _engine: str) -> None:
    raise Unavailable("the moon is down")


TIDE = Experiment(
    name="tide", title="The tide", run=found, rounds_max=2,
    targets=(Target(figure="slowdown", what="slows little", most=1.015), Target(figure="wet", what="is wet", least=1)),
)  # fmt: skip
MOON = Experiment(name="moon", title="The moon", run=found, need=never)
RARE = Experiment(name="rare", title="Rare", run=found, by_default=False)


@pytest.fixture(autouse=True)
def _three(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    monkeypatch.setattr(plan, "EXPERIMENTS", (TIDE, MOON, RARE))
    monkeypatch.setattr(plan, "EXPERIMENT_BY_NAME", {one.name: one for one in (TIDE, MOON, RARE)})


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def begins(self, number: int, name: str) -> None:
        self.told.append((number, name))

    def sampled(self, number: int, name: str, sample: measure.Sample) -> None:
        raise AssertionError("no scenario was asked for")

    def tried(self, number: int, name: str, found: Round) -> None:
        self.told.append((number, f"{name} {found.figures['slowdown']}"))


def document(**taken: Any) -> dict[str, Any]:
    return report.result(Taken(**taken), Settings(runs=3), command="c", when="w", machine=MACHINE)


def test_an_experiment_is_chosen_by_name_or_by_default_and_once_on_each_engine() -> None:
    assert plan.choose([], []).names[-2:] == ("tide", "moon")
    assert plan.choose(["rare"], []).names == ("rare",)
    assert plan.choose(["tide"], ["grpcio", "wire"]).names == ("tide@grpcio", "tide@wire")
    assert plan.find_trial("tide@wire") == plan.choose(["tide"], ["wire"]).trials[0]


def test_one_that_cannot_be_run_here_is_left_out_and_the_reason_told() -> None:
    told: dict[str, str] = {}
    kept, skipped = plan.possible(plan.choose(["tide", "moon"], []), Settings(), told.__setitem__)
    assert kept.names == ("tide",)
    assert skipped == told == {"moon": "the moon is down"}


def test_rounds_end_where_an_experiment_says_and_its_curves_are_summed_up() -> None:
    heard = Heard()
    taken = measure_all(plan.choose(["tide"], []), Settings(runs=3), heard)
    assert heard.told == [(1, "tide"), (1, "tide 1.01"), (2, "tide"), (2, "tide 1.02")]
    told = document(rounds=taken.rounds)
    (tide,) = told["experiments"]
    assert tide["summary"] == {"slowdown": {"median": 1.015, "min": 1.01, "max": 1.02}}
    assert tide["curves"]["cost"]["points"] == [
        {"x": 3, "median": 1.5, "min": 1.0, "max": 2.0}, {"x": 300, "median": 2.5, "min": 2.0, "max": 3.0},
    ]  # fmt: skip
    assert [one["details"] for one in tide["rounds"]] == [{"number": 1.0}, {"number": 2.0}]
    assert [(one["figure"], one["met"]) for one in told["targets"]] == [("slowdown", True), ("wet", None)]
    text = table.markdown(told)
    assert "| slowdown | 1.01 (1.01–1.02) |" in text or "| slowdown | 1.02 (1.01–1.02) |" in text
    assert "| slows little | tide | ≤ 1.015 |" in text
    assert "| not measured |" in text


def test_a_fault_fails_the_result() -> None:
    assert document(rounds={"tide": [Round(figures={})]})["passed"]
    told = document(rounds={"tide": [Round(figures={}), Round(figures={}, faults=("it is wet",))]})
    assert not told["passed"]
    assert "**it is wet**" in table.markdown(told)


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(figure="f", what="", most=0.6), 0.6, True), (Target(figure="f", what="", most=0.6), 0.601, False),
        (Target(figure="f", what="", least=1.5), 1.5, True), (Target(figure="f", what="", least=1.5), 1.4, False),
    ],
)  # fmt: skip
def test_a_target_is_held_to_the_median(target: Target, value: float, met: bool) -> None:
    assert verdict(target, "x", Spread(value, 0.0, 9.0))["met"] is met


def test_only_our_own_engine_is_held_to_the_targets() -> None:
    assert verdicts("tide@grpcio", "grpcio", TIDE.targets, {}) == []
    assert len(verdicts("tide@wire", "wire", TIDE.targets, {})) == 2


def test_names_of_experiments_are_unique_and_no_scenario_s() -> None:
    assert len(experiments.EXPERIMENT_BY_NAME) == len(experiments.EXPERIMENTS)
    assert not experiments.EXPERIMENT_BY_NAME.keys() & {one.name for one in plan.SCENARIOS}
