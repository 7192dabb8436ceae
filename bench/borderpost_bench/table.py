"""A result as Markdown: one row a scenario, the experiments' figures, the verdicts, and what run it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from borderpost_bench.compare import Difference
from borderpost_bench.features import FEATURES, Features
from borderpost_bench.spread import Spread

_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("req/s", "requests_s", 0),
    ("p50 ms", "p50_ms", 2),
    ("p90 ms", "p90_ms", 2),
    ("p99 ms", "p99_ms", 1),
    ("p99.9 ms", "p999_ms", 1),
    ("server CPU µs", "server_cpu_us", 1),
    ("Envoy CPU µs", "envoy_cpu_us", 0),
    ("log B", "log_bytes", 0),
    ("server MiB", "server_memory_mib", 0),
)
"""Heading, figure of the summary, decimals."""

_RATIO_COLUMNS: tuple[tuple[str, str], ...] = (
    ("CPU of Go stub", "cpu_ratio_to_go_stub"),
    ("CPU of honest Go", "cpu_ratio_to_go_honest"),
    ("req/s of Go stub", "throughput_ratio_to_go_stub"),
    ("of plain", "throughput_ratio_to_plain"),
    ("of constant", "throughput_ratio_to_constant"),
)
"""Heading, ratio."""

_CHECKS = ("illegal", "unlogged", "repeated")
_BRIEF = tuple(
    column for column in _COLUMNS if column[1] in {"requests_s", "p50_ms", "p99_ms", "server_cpu_us", "envoy_cpu_us"}
)
_MET = {True: "met", False: "not met", None: "not measured"}


def markdown(document: Mapping[str, Any]) -> str:
    """Return a result as Markdown."""
    parts = [
        _scenarios(document),
        _judged(document),
        _targets(document),
        *map(_experiment, document["experiments"]),
        _told(document),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(headings: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Return a table whose first `words` columns are text and all others figures."""
    ruler = "|---" * words + "|---:" * (len(headings) - words) + "|"
    return "\n".join([f"| {' | '.join(headings)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows)])


def _scenarios(document: Mapping[str, Any]) -> str:
    if not document["scenarios"]:
        return ""
    headings = ["scenario", *(column[0] for column in _COLUMNS), *(column[0] for column in _RATIO_COLUMNS), *_CHECKS]
    return _table(headings, [_row(one) for one in document["scenarios"]])


def _row(one: Mapping[str, Any]) -> list[str]:
    """Return the cells of one scenario; `–` where it has no such figure."""
    cells = [one["title"]]
    cells += [_cell(one["summary"].get(figure), decimals) for _, figure, decimals in _COLUMNS]
    cells += [_cell(one.get(name), 2) for _, name in _RATIO_COLUMNS]
    return [*cells, *_check_cells(one)]


def _check_cells(one: Mapping[str, Any]) -> list[str]:
    """Return the checks' counts; where each answer was judged by itself, the greater of both counts."""
    made, judged = one["checks"], one.get("judgement") or {}
    return [str(max(made[name], judged.get(name, 0))) if made is not None else "–" for name in _CHECKS]


def _judged(document: Mapping[str, Any]) -> str:
    """Return what became of the answers that were judged one by one, a line a scenario."""
    lines = []
    for one in document["scenarios"]:
        made = one.get("judgement")
        if made is not None:
            refused = ", ".join(f"{count} {reason}" for reason, count in sorted(made["refused_as_law_says"].items()))
            lines.append(
                f"{one['title']}: of {made['answers']:,} answers, {made['illegal']} illegal, {made['unlogged']} "
                f"without their record, {made['over_refused']} refused against the law; {made['routed']:,} routed; "
                f"refused as the law says: {refused or 'none'}; refused by Envoy without an answer in time: "
                f"{made['refused_by_envoy']}."
            )
            lines += [f"**{text}**" for text in made["wrong"]]
        if one.get("too_late"):
            lines.append(f"**{one['title']}: invalid in {one['too_late']} rounds, the generator was late itself.**")
    return "\n".join(lines)


def _cell(told: dict[str, float] | None, decimals: int) -> str:
    return "–" if told is None else Spread.read(told).told(decimals)


def _experiment(one: Mapping[str, Any]) -> str:
    rows = [[name, _cell(told, _decimals(told))] for name, told in one["summary"].items()]
    table = _table([one["title"], "figure"], rows)
    return "\n\n".join([table, *(f"**{fault}**" for fault in one["faults"])])


def _decimals(told: Mapping[str, float]) -> int:
    """Return how many decimals show about three digits of a figure."""
    size = abs(told["median"])
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3


def _targets(document: Mapping[str, Any]) -> str:
    headings, rows = verdicts(document)
    told = [[*row[:-1], f"**{row[-1]}**" if row[-1] == _MET[False] else row[-1]] for row in rows]
    return _table(headings, told, words=2) if rows else ""


def verdicts(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: what must be reached, and whether it was."""
    rows = [
        [one["what"], one["of"], one["bound"], _cell(one["value"], 2), _MET[one["met"]]] for one in document["targets"]
    ]
    return ["target", "measured by", "bound", "figure", "verdict"], rows


def brief(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the scenarios with medians alone, as many columns as fit into a terminal."""
    rows = []
    for one in document["scenarios"]:
        medians = [one["summary"].get(figure, {}).get("median") for _, figure, _ in _BRIEF]
        cells = ["–" if value is None else f"{value:,.{_BRIEF[at][2]}f}" for at, value in enumerate(medians)]
        rows.append([one["name"], *cells, *_check_cells(one)])
    return ["scenario", *(column[0] for column in _BRIEF), *_CHECKS], rows


def difference_rows(differences: Sequence[Difference]) -> list[list[str]]:
    """Return the rows of a comparison."""
    rows = []
    for one in differences:
        decimals = _decimals(one.before.as_dict())
        change = "–" if one.change_percent is None else f"{one.change_percent:+.1f} %"
        rows.append([
            one.of, one.figure, one.before.told(decimals), one.after.told(decimals), change, one.verdict.value
        ])  # fmt: skip
    return rows


def _told(document: Mapping[str, Any]) -> str:
    """Return what run and what machine the figures belong to."""
    machine, settings = document["machine"], document["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    commit = f"{(machine['commit'] or 'unknown')[:12]}{' with changes' if machine['changed'] else ''}"
    lines = [
        f"Medians of {settings['runs']} runs of {settings['seconds']:g} s, least–greatest in brackets.",
        f"{settings['connections']} connections. CPU is per answer.",
        "",
        f"- command: `{document['command']}`",
        f"- features: {_features(settings['features'])}",
        f"- when: {document['when']}, commit {commit}",
        f"- machine: {machine['cores']} cores, {machine['cpu']}, Linux {machine['kernel']}, {machine['file_system']}",
        *_others(document["scenarios"]),
        f"- versions: Python {machine['python']}, {packages}; {machine['wrk']}; {machine['h2load']}",
        f"- form: {f'compiled, {len(modules)} modules' if (modules := machine['compiled']) else 'plain'}",
        f"- without Envoy: {machine['pins']}; Go with GOMAXPROCS=1; {machine['go'] or 'no Go'}",
        f"- all checks: {'passed' if document['passed'] else 'FAILED'}",
    ]
    lines += [f"- {one['title']}: {one['note']}" for one in document["scenarios"] if "note" in one]
    lines += [f"- not measured: {name}: {reason}" for name, reason in document["skipped"].items()]
    return "\n".join(lines)


def _features(states: Mapping[str, bool]) -> str:
    return Features({name: on for name, on in states.items() if name in FEATURES}).told or "as by default"


def _others(scenarios: list[dict[str, Any]]) -> list[str]:
    """Return what else ran on the machine."""
    if not scenarios:
        return []
    averages = [one["summary"]["load_average"][end] for one in scenarios for end in ("min", "max")]
    foreign = [one["summary"]["foreign_cores"]["max"] for one in scenarios]
    return [
        f"- load average before a run: {min(averages):.2f} to {max(averages):.2f}",
        f"- processes of others during a run: at most {max(foreign):.2f} cores",
    ]
