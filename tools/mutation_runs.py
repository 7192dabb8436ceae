"""One mutant, some tests: forks of a process that has everything loaded, in which one function's code is another.

Mutants outside of functions (defaults, bounds, tables) show only at import: their forks import the law anew.
"""

from __future__ import annotations

import collections
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple, Protocol

import pytest
from mutation_listing import FOLDER, PACKAGE, Mutant, codes_of, inner_codes, mutated

COLD_FIRST = (
    "test_policy_schema.py", "test_policy_mutants_schema.py", "test_policy_mutants_pack.py", "test_packs_load.py",
    "test_policy_bundle.py", "test_policy_decide.py",
)  # fmt: skip
"""Files that a mutant outside of functions meets first."""
LIBRARIES = (
    "jsonschema", "orjson", "pydantic", "rfc8785", "yaml", "cryptography.x509",
    "borderpost_base.strict", "borderpost_base.errors", "borderpost_base.limits", "prometheus_client", "structlog",
)  # fmt: skip
"""What a fork that imports the law anew need not import again; no plugin of pytest, which would warn."""
CPU_LEAST_S, CPU_TIMES = 5, 1.5
"""CPU time that a mutant may take: so many times that of its tests, and no less than this."""
MEMORY_MAX_BYTES = 6 << 30
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
UNTESTED = "not covered"
"""No test runs the function."""
BROKEN = "broken"
"""The fork ended otherwise than by a test's word: a mistake of this tool."""
BROKEN_STATUS = 70

PYTEST = (
    *("-q", "-m", "not full and not slow", "--timeout", "0", "-p", "no:cacheprovider"),
    *("-o", "addopts=--import-mode=importlib"),
)


class Outcomes(Protocol):
    """Where what becomes of mutants is kept."""

    @property
    def kept(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what became of each, by its key."""

    def add(self, mutant: Mutant, status: str, test: str, seconds: float) -> None:
        """Keep what became of a mutant."""


class Baseline(NamedTuple):
    """What an unchanged run tells: by test, its CPU seconds and the functions of the law that it runs."""

    seconds: dict[str, float]
    units: dict[str, frozenset[tuple[str, str]]]


def functions() -> dict[tuple[str, str, int], list[FunctionType]]:
    """Return every function of the law that is held anywhere, by file, name and line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(FOLDER)):
            code = one.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def install(mutant: Mutant, held: Mapping[tuple[str, str, int], list[FunctionType]]) -> None:
    """Replace the code of the mutant's function, and of those that it has made, wherever they are held.

    Raises LookupError if it is held nowhere.
    """
    for name, code in codes_of(mutated(mutant)):
        if name == mutant.unit:
            for each in (code, *inner_codes(code)):
                for function in held.get((each.co_filename, each.co_qualname, each.co_firstlineno), ()):
                    function.__code__ = each
            if (code.co_filename, name, code.co_firstlineno) in held:
                return
    raise LookupError(mutant.unit)


class Loader(importlib.machinery.SourceFileLoader):
    """Imports one module of the law as its mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        super().__init__(f"{PACKAGE}.{mutant.module}", str(FOLDER / f"{mutant.module}.py"))

    def get_code(self, fullname: str) -> CodeType:
        """Return the mutant's code."""
        return mutated(self.mutant)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the one module that is a mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self.loader = Loader(mutant)

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        """Return how the mutant is loaded, None for any other module."""
        if fullname == self.loader.name:
            return importlib.util.spec_from_file_location(fullname, self.loader.path, loader=self.loader)
        return None


def forked(body: Callable[[int], int], cpu_s: float) -> tuple[int | None, bytes, float]:
    """Run `body` in a fork, bounded in time and memory, with nothing to be seen of it.

    It is given a descriptor to write to. Returns its exit code, None if it was stopped, what it wrote, and the CPU
    seconds that it took.
    """
    reading, writing = os.pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.fork()
    if pid == 0:
        told_by = BROKEN_STATUS
        try:
            os.close(reading)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(cpu_s * 20) + 60)  # for one that waits and takes no time
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            told_by = body(writing)
        finally:
            os._exit(told_by)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else None), told, seconds


def outcome(status: int | None) -> str:
    """Return what a fork's exit code says."""
    return TIMED_OUT if status is None else {0: SURVIVED, 1: KILLED}.get(status, BROKEN)


class Warm:
    """A plugin of pytest that, where tests would be run, forks for each mutant."""

    def __init__(self, wanted: Sequence[Mutant], results: Outcomes, seconds: float, say: Callable[[str], None]) -> None:
        self.wanted, self.results, self.seconds, self.say = wanted, results, seconds, say
        self.failed = False
        self.alone_s: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.noticed: collections.Counter[str] = collections.Counter()
        self.noticed_in: collections.Counter[tuple[str, str]] = collections.Counter()
        for result in results.kept.values():
            if result["status"] == KILLED:
                self._count(result["test"], result["unit"])

    def _count(self, test: str, unit: str, alone_s: float | None = None) -> None:
        """Count a failure; `alone_s` is what the test took, where it was the first asked and had all to prepare."""
        if alone_s is not None:
            self.alone_s[test] = max(alone_s, self.alone_s[test])
        self.noticed[test] += 1
        self.noticed_in[test, unit] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a failure."""
        self.failed = self.failed or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the mutants in place of the tests."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        session.config.pluginmanager.unregister(reporter)
        if session.testsfailed:
            raise session.Failed("the tests cannot be collected")
        items = {item.nodeid: item for item in session.items}
        self.held = functions()
        gc.freeze()  # a fork then copies little
        baseline = self._baseline(items)
        for mutant in self.wanted:
            self._try(mutant, items, baseline)
        return True

    def _baseline(self, items: dict[str, pytest.Item]) -> Baseline:
        """Run every test once with nothing changed."""
        with tempfile.NamedTemporaryFile() as file:
            status, _, seconds = forked(lambda _: self._watch(items, Path(file.name)), 3600)
            if status != 0:
                raise RuntimeError(f"{len(items)} tests do not pass as they are: {Path(file.name).read_text()}")
            found = Baseline(*pickle.loads(Path(file.name).read_bytes()))
        self.say(f"{len(items)} tests pass in {seconds:.0f} s of CPU")
        return found

    def _watch(self, items: dict[str, pytest.Item], into: Path) -> int:
        folder = str(FOLDER)
        ran: set[tuple[str, str]] = set()

        def call(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(folder):
                unit = frame.f_code.co_qualname.partition(".<locals>")[0]
                ran.add((frame.f_code.co_filename[len(folder) + 1 : -3], unit))

        seconds, units = {}, {}
        listed = list(items.values())
        for item, following in zip(listed, [*listed[1:], None], strict=True):
            ran.clear()
            started = time.process_time()
            sys.setprofile(call)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.setprofile(None)
            seconds[item.nodeid], units[item.nodeid] = time.process_time() - started, frozenset(ran)
            if self.failed:
                into.write_text(item.nodeid)
                return 1
        into.write_bytes(pickle.dumps((seconds, units)))
        return 0

    def _try(self, mutant: Mutant, items: dict[str, pytest.Item], baseline: Baseline) -> None:
        unit = f"{mutant.module}.{mutant.unit}"
        concerned = [test for test, units in baseline.units.items() if (mutant.module, mutant.unit) in units]
        if not concerned:
            self.results.add(mutant, UNTESTED, "", 0.0)
            return

        def worth(test: str) -> float:
            noticed = 1 + self.noticed[test] + 20 * self.noticed_in[test, unit]
            return max(baseline.seconds[test], self.alone_s[test]) / noticed

        concerned.sort(key=worth)
        so_far = [0.0, *itertools.accumulate(baseline.seconds[test] for test in concerned)]
        concerned = [test for test, before in zip(concerned, so_far, strict=False) if before < self.seconds]
        allowed = CPU_LEAST_S + CPU_TIMES * sum(baseline.seconds[test] for test in concerned)
        status, told, seconds = forked(
            lambda out: self._judge(mutant, [items[test] for test in concerned], out), allowed
        )
        test = told.decode()
        if status == 1:
            self._count(test, unit, seconds if test == concerned[0] else None)
        self.results.add(mutant, outcome(status), test, seconds)

    def _judge(self, mutant: Mutant, items: Sequence[pytest.Item], out: int) -> int:
        install(mutant, self.held)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                os.write(out, item.nodeid.encode())
                return 1
        return 0


class First:
    """A plugin that remembers which test failed first."""

    def __init__(self) -> None:
        self.test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first failure."""
        if report.failed and not self.test:
            self.test = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a file that cannot even be imported."""
        if report.failed and not self.test:
            self.test = report.nodeid


def run_cold(wanted: Sequence[Mutant], files: Sequence[Path], results: Outcomes) -> None:
    """Run mutants that show only when the law is imported."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for mutant in wanted:
        status, told, seconds = forked(lambda out, mutant=mutant: judge_cold(mutant, files, out), 600)  # type: ignore[misc]
        results.add(mutant, outcome(status), told.decode(), seconds)


def judge_cold(mutant: Mutant, files: Sequence[Path], out: int) -> int:
    """Import the law with one mutant in it and run the tests."""
    sys.meta_path.insert(0, Finder(mutant))
    first = [file for file in files if file.name in COLD_FIRST]
    for some in (first, [file for file in files if file not in first]):
        seen = First()
        status = pytest.main([*PYTEST, "-x", *map(str, some)], plugins=[seen])
        if status in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED) and seen.test:
            os.write(out, seen.test.encode())
            return 1
        if status != pytest.ExitCode.OK:
            return BROKEN_STATUS
    return 0
