"""From samples to a result: medians with the least and the greatest, ratios inside the run, JSON and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from borderpost_bench.measure import Sample, Settings
from borderpost_bench.scenarios import Scenario, Server, find

SCHEMA_VERSION = 1

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
    "foreign_cores": lambda sample: sample.foreign_cores,
    "load_average": lambda sample: sample.load_average,
}
"""What is summed up of each scenario, by its name in the JSON."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(round(statistics.median(values), 3), min(values), max(values))

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON-ready data."""
        return {"median": self.median, "min": self.least, "max": self.greatest}


def summary(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Return each figure that the samples have."""
    found = {}
    for name, figure in FIGURES.items():
        values = [value for value in map(figure, samples) if value is not None]
        if values:
            found[name] = Spread.of(values)
    return found


def rival_ratios(samples: Mapping[str, Sequence[Sample]], scenario: Scenario) -> dict[str, Spread]:
    """Return the server's CPU per answer, and answers a second, as ratios of the Go servers asked in the same way.

    Steward and workers together count as the server. Round against the same round; nothing where a rival was not
    measured.
    """
    found = {}
    for name, rival, figure in (
        ("cpu_ratio_to_go_stub", scenario.stub, "server_cpu_us"),
        ("cpu_ratio_to_go_honest", scenario.honest, "server_cpu_us"),
        ("throughput_ratio_to_go_stub", scenario.stub, "requests_s"),
    ):
        pairs = zip(samples[scenario.name], samples.get(rival or "", ()), strict=False)
        both = [(FIGURES[figure](own), FIGURES[figure](base)) for own, base in pairs]
        values = [round(own / base, 3) for own, base in both if own is not None and base]
        if values:
            found[name] = Spread.of(values)
    return found


def ratios(samples: Mapping[str, Sequence[Sample]], scenario: Scenario) -> dict[str, Spread]:
    """Return requests a second as a ratio of each baseline, round against the same round."""
    found = {}
    for baseline in scenario.baselines:
        pairs = zip(samples[scenario.name], samples.get(baseline, ()), strict=False)
        values = [round(own.requests_s / base.requests_s, 3) for own, base in pairs if base.requests_s]
        if values:
            found[baseline] = Spread.of(values)
    return found


def checks(samples: Sequence[Sample]) -> dict[str, int | bool] | None:
    """Return the checks of all runs together, None where nothing was decided."""
    made = [sample.check for sample in samples if sample.check is not None]
    if not made:
        return None
    names = ("decisions", "illegal", "unlogged", "over_refused", "refused_by_envoy", "repeated", "unheard")
    return {**{name: sum(getattr(check, name) for check in made) for name in names},
            "passed": all(check.passed for check in made)}  # fmt: skip


def result(
    samples: Mapping[str, Sequence[Sample]],
    settings: Settings,
    *,
    command: str,
    when: str,
    machine: Mapping[str, Any],
    skipped: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the whole result as JSON-ready data. `skipped` are scenarios that were left out, each with its reason."""
    return {
        "schema_version": SCHEMA_VERSION,
        "when": when,
        "command": command,
        "settings": {"runs": settings.runs, "seconds": settings.seconds, "connections": settings.connections},
        "machine": dict(machine),
        "passed": passed(samples),
        "skipped": dict(skipped or {}),
        "scenarios": [_scenario(samples, find(name)) for name in samples],
    }


def _scenario(samples: Mapping[str, Sequence[Sample]], scenario: Scenario) -> dict[str, Any]:
    taken = samples[scenario.name]
    return {
        **{name: spread.as_dict() for name, spread in rival_ratios(samples, scenario).items()},
        "name": scenario.name,
        "title": scenario.title,
        "engine": _engine(scenario),
        "summary": {figure: spread.as_dict() for figure, spread in summary(taken).items()},
        "ratios": {base: spread.as_dict() for base, spread in ratios(samples, scenario).items()},
        "checks": checks(taken),
        "samples": [sample.as_dict() for sample in taken],
    }


def _engine(scenario: Scenario) -> str | None:
    """Return what speaks gRPC on the server's side: `server.engine`, or grpc-go."""
    if scenario.server is Server.NONE:
        return None
    return scenario.engine if scenario.server.ours else "grpc-go"


def passed(samples: Mapping[str, Sequence[Sample]]) -> bool:
    """Return True if every request was answered and every check holds."""
    return all(
        not sample.failed and (sample.check is None or sample.check.passed)
        for taken in samples.values()
        for sample in taken
    )


_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("req/s", "requests_s", 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 1),
    ("server CPU µs", "server_cpu_us", 0),
    ("Envoy CPU µs", "envoy_cpu_us", 0),
    ("log B", "log_bytes", 0),
    ("server MiB", "server_memory_mib", 0),
)
"""Heading, figure, decimals."""


_RIVAL_COLUMNS: tuple[tuple[str, str], ...] = (
    ("CPU of Go stub", "cpu_ratio_to_go_stub"),
    ("CPU of honest Go", "cpu_ratio_to_go_honest"),
    ("req/s of Go stub", "throughput_ratio_to_go_stub"),
)
"""Heading, ratio."""


def markdown(document: Mapping[str, Any]) -> str:
    """Return a result as Markdown: one row a scenario, then what machine and run it belongs to."""
    headings = [
        "scenario",
        *(heading for heading, _, _ in _COLUMNS),
        *(heading for heading, _ in _RIVAL_COLUMNS),
        "of plain",
        "of constant",
        "illegal",
        "unlogged",
        "repeated",
    ]
    lines = [f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]
    for one in document["scenarios"]:
        lines.append(f"| {' | '.join(_row(one))} |")
    machine, settings = document["machine"], document["settings"]
    averages = [one["summary"]["load_average"][end] for one in document["scenarios"] for end in ("min", "max")]
    foreign = [one["summary"]["foreign_cores"]["max"] for one in document["scenarios"]]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    commit = f"{(machine['commit'] or 'unknown')[:12]}{' with changes' if machine['changed'] else ''}"
    lines += [
        "",
        f"Medians of {settings['runs']} runs of {settings['seconds']:g} s, least–greatest in brackets.",
        f"{settings['connections']} connections. CPU is per answer.",
        "",
        f"- command: `{document['command']}`",
        f"- when: {document['when']}, commit {commit}",
        f"- machine: {machine['cores']} cores, {machine['cpu']}, Linux {machine['kernel']}, {machine['file_system']}",
        f"- load average before a run: {min(averages):.2f} to {max(averages):.2f}",
        f"- processes of others during a run: at most {max(foreign):.2f} cores",
        f"- versions: Python {machine['python']}, {packages}; {machine['wrk']}; {machine['h2load']}",
        f"- without Envoy: {machine['pins']}; Go with GOMAXPROCS=1; {machine['go'] or 'no Go'}",
        f"- all checks: {'passed' if document['passed'] else 'FAILED'}",
    ]
    lines += [f"- not measured: {name}: {reason}" for name, reason in document["skipped"].items()]
    return "\n".join([*lines, ""])


def _row(one: Mapping[str, Any]) -> list[str]:
    """Return the cells of one scenario; `–` where it has no such figure."""
    cells = [one["title"]]
    cells += [_cell(one["summary"].get(figure), decimals) for _, figure, decimals in _COLUMNS]
    cells += [_cell(one.get(name), 2) for _, name in _RIVAL_COLUMNS]
    ratio = one["ratios"]
    constant = next((spread for base, spread in ratio.items() if base.startswith("constant")), None)
    cells += [_cell(ratio.get("plain"), 2), _cell(constant, 2)]
    made = one["checks"]
    return [*cells, *(str(made[name]) if made is not None else "–" for name in ("illegal", "unlogged", "repeated"))]


def _cell(spread: Mapping[str, float] | None, decimals: int) -> str:
    if spread is None:
        return "–"
    low, mid, high = (f"{spread[key]:,.{decimals}f}" for key in ("min", "median", "max"))
    return mid if low == high else f"{mid} ({low}–{high})"
