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
import ast
import collections
import gc
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import itertools
import json
import marshal
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest
import yaml
from mutation_operators import Site, header, sites

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "borderpost.policy"
FOLDER = ROOT / "extauthz" / "borderpost" / "policy"
RESULTS = ROOT / "build" / "mutants" / "results.jsonl"
REVIEWED = ROOT / "tests" / "mutants.yaml"
TESTS = (
    "test_policy_*.py", "test_packs_*.py", "test_events_config.py", "test_events_documents.py",
    "test_events_exposure.py", "test_events_book.py", "test_events_lines.py", "test_facts*.py", "test_shadow.py",
    "test_explain_grounds.py", "test_counters.py", "test_event_memory.py", "test_config_load.py",
    "test_published_schemas.py",
)  # fmt: skip
"""Test files of tests/unit that are asked; those marked `slow` or `full` are not."""
COLD_FIRST = ("test_policy_schema.py", "test_packs_load.py", "test_policy_bundle.py", "test_policy_decide.py")
"""Files that a mutant outside of functions meets first."""
LIBRARIES = (
    "hypothesis", "hypothesis.strategies", "jsonschema", "orjson", "pydantic", "rfc8785", "yaml", "cryptography.x509",
    "borderpost_base.strict", "borderpost_base.errors", "borderpost_base.limits", "prometheus_client", "structlog",
)  # fmt: skip
"""What a fork that imports the law anew need not import again."""
SURVIVING_SHARE_MAX = 0.05
CPU_LEAST_S, CPU_TIMES = 10, 6
"""CPU time that a mutant may take: so many times that of its tests, and no less than this."""
MEMORY_MAX_BYTES = 6 << 30
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
UNTESTED = "not covered"


class Mutant(NamedTuple):
    """One change, by which it is known from run to run."""

    key: str
    """Digest of module, unit and its source, and which change it is."""
    module: str
    number: int
    """Its place among all of its module."""
    unit: str
    in_function: bool
    line: int
    operator: str
    was: str
    becomes: str


class Baseline(NamedTuple):
    """What an unchanged run tells: by test, its CPU seconds and the functions of the law that it runs."""

    seconds: dict[str, float]
    units: dict[str, frozenset[tuple[str, str]]]


def read(module: str) -> ast.Module:
    """Parse a module of the law."""
    path = FOLDER / f"{module}.py"
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def compiled(module: str, tree: ast.Module) -> CodeType:
    """Compile a module's tree as the import would."""
    code = compile(ast.fix_missing_locations(tree), str(FOLDER / f"{module}.py"), "exec", dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def mutated(mutant: Mutant) -> CodeType:
    """Return the code of a mutant's module."""
    tree = read(mutant.module)
    site = next(site for number, site in enumerate(sites(tree)) if number == mutant.number)
    _apply(site)
    return compiled(mutant.module, tree)


def _apply(site: Site) -> ast.AST:
    old = site.change.make()
    for new in site.change.becomes if isinstance(site.change.becomes, list) else [site.change.becomes]:
        if "lineno" not in new.__dict__ and isinstance(new, (ast.expr, ast.stmt)):
            ast.copy_location(new, site.statement)
    return old


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that is other code than the module itself."""
    tree = read(module)
    plain = marshal.dumps(compiled(module, tree))
    seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
    texts = {name: ast.dump(node) for name, node in _definitions(tree)}
    for number, site in enumerate(sites(tree)):
        was = header(site.statement)
        old = _apply(site)
        same = marshal.dumps(compiled(module, tree)) == plain
        becomes = "pass" if site.operator == "statement removed" else header(site.statement)
        site.change.undo(old)
        if site.operator == "augmented":
            becomes = was.replace(was.split()[1], "=", 1)
        if same:
            continue
        seen[site.unit, was, becomes] += 1
        known_by = (texts.get(site.unit, ""), module, site.unit, was, becomes, str(seen[site.unit, was, becomes]))
        key = hashlib.sha256("\0".join(known_by).encode()).hexdigest()[:16]
        yield Mutant(
            key, module, number, site.unit, site.in_function, site.line, site.operator, was, becomes,
        )  # fmt: skip


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, f"{prefix}{node.name}.")


def codes_of(module: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Yield the code of each function and method that is in no other function."""
    for constant in module.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function and not the body of a class
                yield constant.co_qualname, constant
            else:
                yield from codes_of(constant)


def functions() -> dict[tuple[str, str, int], list[FunctionType]]:
    """Return every function of the law that is held anywhere, by file, name and line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(FOLDER)):
            code = one.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def install(mutant: Mutant, held: Mapping[tuple[str, str, int], list[FunctionType]]) -> None:
    """Replace the code of the mutant's function wherever it is held. Raises LookupError if it is held nowhere."""
    for name, code in codes_of(mutated(mutant)):
        if name == mutant.unit:
            for function in held[code.co_filename, name, code.co_firstlineno]:
                function.__code__ = code
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
            return importlib.machinery.ModuleSpec(fullname, self.loader, origin=self.loader.path)
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
        status = 70
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
            status = body(writing)
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else None), told, seconds


class Warm:
    """A plugin of pytest that, where tests would be run, forks for each mutant."""

    def __init__(self, wanted: Sequence[Mutant], results: Results, seconds: float, say: Callable[[str], None]) -> None:
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
        self.results.add(
            mutant, {0: SURVIVED, 1: KILLED}.get(status or 0 if status is not None else -1, TIMED_OUT), test, seconds
        )

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


def judge_cold(mutant: Mutant, files: Sequence[Path], out: int) -> int:
    """Import the law with one mutant in it and run the tests."""
    sys.meta_path.insert(0, Finder(mutant))
    first = [file for file in files if file.name in COLD_FIRST]
    for some in (first, [file for file in files if file not in first]):
        seen = First()
        status = pytest.main([*PYTEST, "-x", "-p", "no:terminal", *map(str, some)], plugins=[seen])
        if status != 0:
            os.write(out, (seen.test or "import").encode())
            return 1
    return 0


PYTEST = (
    "-q",
    "-m",
    "not full and not slow",
    "--timeout",
    "0",
    "-p",
    "no:cacheprovider",
    "-o",
    "addopts=--import-mode=importlib",
)


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


def modules() -> list[str]:
    """Return the names of the law's modules."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


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
    for name in LIBRARIES:
        importlib.import_module(name)
    for mutant in (mutant for mutant in wanted if not mutant.in_function):
        status, told, seconds = forked(lambda out, mutant=mutant: judge_cold(mutant, files, out), 600)  # type: ignore[misc]
        results.add(
            mutant, TIMED_OUT if status is None else SURVIVED if status == 0 else KILLED, told.decode(), seconds
        )
    return 0


def _sayer(descriptor: int) -> Callable[[str], None]:
    return lambda text: void(os.write(descriptor, (text + "\n").encode()))


def void(_: object) -> None:
    """Return nothing."""


def report(arguments: argparse.Namespace) -> int:
    """Tell how many of each module's mutants were noticed, and which were not."""
    results, reviewed = Results(RESULTS), Reviewed(REVIEWED)
    total: collections.Counter[str] = collections.Counter()
    surviving, stale = [], dict(reviewed.why)
    print(f"{'module':<16}{'mutants':>8}{'killed':>8}{'timed out':>10}{'equivalent':>11}{'survived':>9}{'not run':>8}")
    for module in arguments.module or modules():
        found: collections.Counter[str] = collections.Counter()
        for mutant in mutants(module):
            known_by = (f"{mutant.module}.{mutant.unit}", mutant.was, mutant.becomes)
            stale.pop(known_by, None)
            status = results.kept.get(mutant.key, {}).get("status", "not run")
            if reviewed.holds(*known_by):
                status = "equivalent"
            elif status in (SURVIVED, UNTESTED):
                status = SURVIVED
                surviving.append(mutant)
            found[status] += 1
        total += found
        _tell(module, found)
    _tell("together", total)
    for mutant in surviving:
        print(f"\n{mutant.module}.{mutant.unit}, line {mutant.line}, {mutant.operator}")
        print(f"  - {mutant.was}\n  + {mutant.becomes}")
    for unit, was, becomes in stale if not arguments.module else ():
        print(f"\nlisted in {REVIEWED.name}, but there is no such mutant: {unit}\n  - {was}\n  + {becomes}")
    counted = total.total() - total["equivalent"] - total["not run"]
    share = total[SURVIVED] / counted if counted else 1.0
    print(f"\n{total[SURVIVED]} of {counted} survive: {share:.1%}")
    return int(share >= SURVIVING_SHARE_MAX or total["not run"] > 0 or bool(stale and not arguments.module))


def _tell(name: str, found: collections.Counter[str]) -> None:
    columns = [found.total(), found[KILLED], found[TIMED_OUT], found["equivalent"], found[SURVIVED], found["not run"]]
    widths = (8, 8, 10, 11, 9, 8)
    print(f"{name:<16}" + "".join(f"{value:>{width}}" for value, width in zip(columns, widths, strict=True)))


def main(words: Iterable[str] | None = None) -> int:
    """Run or report; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(required=True)
    for name, action in (("run", run), ("report", report)):
        one = actions.add_parser(name, help=(action.__doc__ or "").splitlines()[0])
        one.set_defaults(action=action)
        one.add_argument("--module", action="append", choices=modules(), help="only this one; may be repeated")
        if action is run:
            one.add_argument("--shard", default="1/1", help="which part of how many, as 1/4")
            one.add_argument("--seconds", type=float, default=1e9, help="stop asking a mutant's tests after so many")
            one.add_argument("--again", action="append", default=[], choices=[SURVIVED, UNTESTED, TIMED_OUT, KILLED])
    arguments = parser.parse_args(None if words is None else list(words))
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
