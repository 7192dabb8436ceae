"""Change the law's code by one small step at a time, and see whether a test notices.

    python tools/mutate.py run [--module decide …] [--shard 1/4] [--again survived]
    python tools/mutate.py report

Results are kept in build/mutants/results.jsonl and a run goes on where the last one ended; a mutant whose function has
changed since counts as new. `tests/mutants.yaml` lists those that no test can notice, each with the reason. The report
ends with exit code 1 if one mutant in twenty or more survives, or if the list names a mutant that there is not.

One process has pytest and the tests loaded; each mutant is a fork of it in which the code of one function is replaced.
So a mutant costs what its tests cost, and no file of the checkout is ever changed. What stands outside of functions
(defaults, bounds, tables) is only read at import: those mutants are forks that import the law anew. A test is asked
only about functions that it runs; those that have noticed the most in the least time are asked first.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mutation_listing import ROOT, Mutant, modules, mutants
from mutation_runs import BROKEN, KILLED, PYTEST, SURVIVED, TIMED_OUT, UNTESTED, Warm, run_cold

RESULTS = ROOT / "build" / "mutants" / "results.jsonl"
REVIEWED = ROOT / "tests" / "mutants.yaml"
TESTS = (
    "test_policy_*.py", "test_packs_*.py", "test_events_config.py", "test_events_documents.py", "test_facts_law.py",
    "test_explain_grounds.py", "test_counters.py", "test_event_memory.py",
)  # fmt: skip
"""Test files of tests/unit that are asked; those marked `slow` or `full` are not."""
SURVIVING_SHARE_MAX = 0.05
EQUIVALENT, NOT_RUN = "equivalent", "not run"
COLUMNS = ("mutants", KILLED, TIMED_OUT, EQUIVALENT, SURVIVED, NOT_RUN)
"""What the report counts by module."""


class Results:
    """What is known of each mutant, in a file that grows by a line a mutant."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                result = json.loads(line)
                self.kept[result["key"]] = result

    def add(self, mutant: Mutant, status: str, test: str, seconds: float) -> None:
        """Keep what became of a mutant."""
        result = {
            "key": mutant.key, "unit": f"{mutant.module}.{mutant.unit}", "line": mutant.line,
            "operator": mutant.operator, "was": mutant.was, "becomes": mutant.becomes, "status": status, "test": test,
            "seconds": round(seconds, 2),
        }  # fmt: skip
        self.kept[mutant.key] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


class Reviewed:
    """The mutants that no test can notice, by what they change."""

    def __init__(self, path: Path) -> None:
        self.why: dict[tuple[str, str, str], str] = {}
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or () if path.exists() else ():
            for changed in entry["mutants"]:
                self.why[changed["unit"], changed["was"], changed["becomes"]] = entry["why"]

    def holds(self, unit: str, was: str, becomes: str) -> bool:
        """Say whether a mutant is listed."""
        return (unit, was, becomes) in self.why


def run(arguments: argparse.Namespace) -> int:
    """Run the mutants that have not been run, first those inside of functions."""
    os.environ["BORDERPOST_TEST_PROFILE"] = "mutants"
    os.environ.setdefault("BORDERPOST_TEST_SEED", "20261121")
    shard, shards = map(int, arguments.shard.split("/"))
    results, reviewed = Results(RESULTS), Reviewed(REVIEWED)
    wanted = []
    for mutant in (mutant for module in arguments.module or modules() for mutant in mutants(module)):
        result = results.kept.get(mutant.key)
        again = result is not None and result["status"] in arguments.again
        listed = reviewed.holds(f"{mutant.module}.{mutant.unit}", mutant.was, mutant.becomes)
        if (result is None or again) and not listed and int(mutant.key, 16) % shards == shard - 1:
            wanted.append(mutant)
    files = sorted({path for pattern in TESTS for path in (ROOT / "tests" / "unit").glob(pattern)})
    say = _sayer(os.dup(2))
    say(f"{len(wanted)} mutants to run")
    warm = [mutant for mutant in wanted if mutant.in_function]
    if warm:
        pid = os.fork()
        if pid == 0:
            plugin = Warm(warm, results, arguments.seconds, say)
            status = pytest.main([*PYTEST, *map(str, files)], plugins=[plugin])
            os._exit(int(status != 0))
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            return 2
    run_cold([mutant for mutant in wanted if not mutant.in_function], files, results)
    return 0


def _sayer(descriptor: int) -> Callable[[str], None]:
    def say(text: str) -> None:
        os.write(descriptor, f"{text}\n".encode())

    return say


def report(arguments: argparse.Namespace) -> int:
    """Tell how many of each module's mutants were noticed, and which were not."""
    results, reviewed = Results(RESULTS), Reviewed(REVIEWED)
    total: collections.Counter[str] = collections.Counter()
    surviving, wrongly_listed = [], dict(reviewed.why)
    print(f"{'module':<16}" + "".join(f"{name:>{len(name) + 2}}" for name in COLUMNS))
    for module in arguments.module or modules():
        found: collections.Counter[str] = collections.Counter()
        for mutant in mutants(module):
            known_by = (f"{mutant.module}.{mutant.unit}", mutant.was, mutant.becomes)
            status = results.kept.get(mutant.key, {}).get("status", NOT_RUN)
            if reviewed.holds(*known_by):
                if status not in (KILLED, TIMED_OUT):
                    wrongly_listed.pop(known_by, None)
                status = EQUIVALENT
            elif status not in (KILLED, TIMED_OUT, NOT_RUN):
                surviving.append((mutant, status))
                status = SURVIVED
            found[status] += 1
        total += found
        _tell(module, found)
    _tell("together", total)
    for mutant, status in surviving:
        print(f"\n{status}: {mutant.module}.{mutant.unit}, line {mutant.line}, {mutant.operator}")
        print(f"  - {mutant.was}\n  + {mutant.becomes}")
    for unit, was, becomes in wrongly_listed if not arguments.module else ():
        print(f"\nlisted in {REVIEWED.name}, but there is no such mutant or a test notices it: {unit}")
        print(f"  - {was}\n  + {becomes}")
    counted = total.total() - total[EQUIVALENT] - total[NOT_RUN]
    share = total[SURVIVED] / counted if counted else 1.0
    print(f"\n{total[SURVIVED]} of {counted} survive: {share:.1%}")
    return int(share >= SURVIVING_SHARE_MAX or total[NOT_RUN] > 0 or bool(wrongly_listed and not arguments.module))


def _tell(name: str, found: collections.Counter[str]) -> None:
    values = [found.total(), *(found[column] for column in COLUMNS[1:])]
    print(f"{name:<16}" + "".join(f"{value:>{len(column) + 2}}" for value, column in zip(values, COLUMNS, strict=True)))


def main(words: Iterable[str] | None = None) -> int:
    """Run or report; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(required=True)
    known: tuple[tuple[str, Callable[[argparse.Namespace], int]], ...] = (("run", run), ("report", report))
    for name, action in known:
        one = actions.add_parser(name, help=(action.__doc__ or "").splitlines()[0])
        one.set_defaults(action=action)
        one.add_argument("--module", action="append", choices=modules(), help="only this one; may be repeated")
        if action is run:
            one.add_argument("--shard", default="1/1", help="which part of how many, as 1/4")
            one.add_argument("--seconds", type=float, default=1e9, help="stop asking a mutant's tests after so many")
            one.add_argument("--again", action="append", default=[], choices=[SURVIVED, UNTESTED, TIMED_OUT, BROKEN])
    arguments = parser.parse_args(None if words is None else list(words))
    return int(arguments.action(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
