"""From samples to a result: medians with the least and the greatest, ratios inside the run, verdicts, all as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from borderpost_bench.experiment import Round
from borderpost_bench.judge import together
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.plan import Trial, find_trial
from borderpost_bench.rounds import Taken
from borderpost_bench.scenarios import BY_NAME, Scenario, Server, find
from borderpost_bench.spread import Spread
from borderpost_bench.targets import verdicts

SCHEMA_VERSION = 2
"""Of the result; raised when a field changes its meaning or goes away."""

FIGURES: Mapping[str, Callable[[Sample], float | None]] = {
    "requests_s": lambda sample: sample.requests_s,
    "p50_ms": lambda sample: sample.p50_ms,
    "p90_ms": lambda sample: sample.p90_ms,
    "p99_ms": lambda sample: sample.p99_ms,
    "p999_ms": lambda sample: sample.p999_ms,
    "server_cpu_us": lambda sample: sample.server_cpu_us,
    "worker_cpu_us": lambda sample: sample.worker_cpu_us,
    "envoy_cpu_us": lambda sample: sample.envoy_cpu_us,
    "upstream_cpu_us": lambda sample: sample.upstream_cpu_us,
    "server_memory_mib": lambda sample: sample.server_memory_mib,
    "records_per_commit": lambda sample: sample.records_per_commit,
    "commit_ms": lambda sample: sample.commit_ms,
    "log_bytes": lambda sample: sample.check.bytes_per_decision if sample.check is not None else None,
    "offered_s": lambda sample: sample.offered_s,
    "late_p50_ms": lambda sample: sample.late_p50_ms,
    "late_p99_ms": lambda sample: sample.late_p99_ms,
    "foreign_cores": lambda sample: sample.foreign_cores,
    "load_average": lambda sample: sample.load_average,
}
"""What is summed up of each scenario, by its name in the JSON."""


def summary(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Return each figure that the samples have."""
    found = {}
    for name, figure in FIGURES.items():
        values = [value for value in map(figure, samples) if value is not None]
        if values:
            found[name] = Spread.of(values)
    return found


def ratios(samples: Mapping[str, Sequence[Sample]], scenario: Scenario) -> dict[str, Spread]:
    """Return what relates a scenario to others of the run, round against the same round; nothing to one not measured.

    First the server's CPU per answer (steward and workers together) and answers a second, each of the Go servers'
    asked in the same way; then answers a second of each baseline's.
    """
    wanted = [
        ("cpu_ratio_to_go_stub", scenario.stub, "server_cpu_us"),
        ("cpu_ratio_to_go_honest", scenario.honest, "server_cpu_us"),
        ("throughput_ratio_to_go_stub", scenario.stub, "requests_s"),
        ("cpu_ratio_to_opa", scenario.opa, "server_cpu_us"),
        ("throughput_ratio_to_opa", scenario.opa, "requests_s"),
        *((f"throughput_ratio_to_{kind_of(base)}", base, "requests_s") for base in scenario.baselines),
    ]
    found = {}
    for name, other, figure in wanted:
        pairs = zip(samples[scenario.name], samples.get(other or "", ()), strict=False)
        both = [(FIGURES[figure](own), FIGURES[figure](base)) for own, base in pairs]
        values = [round(own / base, 3) for own, base in both if own is not None and base]
        if values:
            found[name] = Spread.of(values)
    return found


def kind_of(baseline: str) -> str:
    """Return what a baseline is, however it is asked and on whatever engine: `plain` or `constant`."""
    return baseline.partition("@")[0].partition("-")[0]


def checks(samples: Sequence[Sample]) -> dict[str, int | bool] | None:
    """Return the checks of all runs together, None where nothing was decided."""
    made = [sample.check for sample in samples if sample.check is not None]
    if not made:
        return None
    names = ("decisions", "illegal", "unlogged", "over_refused", "refused_by_envoy", "repeated", "unheard")
    return {**{name: sum(getattr(check, name) for check in made) for name in names},
            "passed": all(check.passed for check in made)}  # fmt: skip


def judged(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return the judgements on the answers of all runs together, None where none was judged."""
    made = [sample.judgement for sample in samples if sample.judgement is not None]
    if not made:
        return None
    whole = together(made)
    return {**whole.as_dict(), "passed": whole.passed}


def result(
    taken: Taken,
    settings: Settings,
    *,
    command: str,
    when: str,
    machine: Mapping[str, Any],
    skipped: Mapping[str, str] | None = None,
    unasked: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the whole result as JSON-ready data. `skipped` is what was left out, each with its reason; `unasked` are
    names that nobody asked for and whose targets are to be told as not measured all the same, as those skipped are.
    """
    scenarios = [_scenario(taken.samples, find(name)) for name in taken.samples]
    trials = [_trial(find_trial(name), rounds) for name, rounds in taken.rounds.items()]
    held = [one for name, record in zip(taken.samples, scenarios, strict=True) for one in _held(find(name), record)]
    for name, record in zip(taken.rounds, trials, strict=True):
        trial = find_trial(name)
        held += verdicts(name, trial.engine, trial.experiment.targets, record["summary"])
    held += [one for name in (*(skipped or {}), *unasked) for one in _unmeasured(name)]
    return {
        "bench_version": SCHEMA_VERSION,
        "when": when,
        "command": command,
        "settings": settings.as_dict(),
        "machine": dict(machine),
        "passed": passed(taken),
        "targets": held,
        "skipped": dict(skipped or {}),
        "scenarios": scenarios,
        "experiments": trials,
    }


def _scenario(samples: Mapping[str, Sequence[Sample]], scenario: Scenario) -> dict[str, Any]:
    taken = samples[scenario.name]
    return {
        **{name: spread.as_dict() for name, spread in ratios(samples, scenario).items()},
        "name": scenario.name,
        "title": scenario.title,
        "engine": _engine(scenario),
        **({"note": scenario.note} if scenario.note else {}),
        "summary": {figure: spread.as_dict() for figure, spread in summary(taken).items()},
        "checks": checks(taken),
        "judgement": judged(taken),
        "too_late": sum(sample.too_late for sample in taken),
        "samples": [sample.as_dict() for sample in taken],
    }


def _held(scenario: Scenario, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return verdicts(scenario.name, scenario.engine, scenario.targets, {**record["summary"], **record})


def _unmeasured(name: str) -> list[dict[str, Any]]:
    """Return the verdicts on what was not measured."""
    if name.partition("@")[0] in BY_NAME:
        scenario = find(name)
        return verdicts(name, scenario.engine, scenario.targets, {})
    trial = find_trial(name)
    return verdicts(name, trial.engine, trial.experiment.targets, {})


def _trial(trial: Trial, rounds: Sequence[Round]) -> dict[str, Any]:
    named = list(dict.fromkeys(name for one in rounds for name in one.figures))
    return {
        "name": trial.name,
        "title": trial.title,
        "engine": trial.engine,
        "summary": {
            name: Spread.of([one.figures[name] for one in rounds if name in one.figures]).as_dict() for name in named
        },
        "curves": {name: _curve(name, rounds) for name in dict.fromkeys(name for one in rounds for name in one.curves)},
        "faults": list(dict.fromkeys(fault for one in rounds for fault in one.faults)),
        "rounds": [one.as_dict() for one in rounds],
    }


def _curve(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    """Sum up a curve over all rounds: at each place the spread of the values there."""
    curves = [one.curves[name] for one in rounds if name in one.curves]
    places: dict[float, list[float]] = {}
    for curve in curves:
        for x, y in curve.points:
            places.setdefault(x, []).append(y)
    return {
        "x": curves[0].x,
        "y": curves[0].y,
        "logarithmic": curves[0].logarithmic,
        "points": [{"x": x, **Spread.of(values).as_dict()} for x, values in sorted(places.items())],
    }


def _engine(scenario: Scenario) -> str | None:
    """Return what speaks gRPC on the server's side: `server.engine`, or grpc-go."""
    if scenario.server is Server.NONE:
        return None
    return scenario.engine if scenario.server.ours else "grpc-go"


def passed(taken: Taken) -> bool:
    """Return True if every request was answered, every check holds and no experiment found a fault."""
    samples = (sample for each in taken.samples.values() for sample in each)
    return all(one.passed for one in samples) and not any(one.faults for each in taken.rounds.values() for one in each)
