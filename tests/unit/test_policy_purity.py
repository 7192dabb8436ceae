"""`borderpost.policy` is a function: no I/O, no clock, no chance; the same bytes wherever it is asked."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import borderpost.policy
import borderpost_base

POLICY = Path(borderpost.policy.__file__).parent
BASE = Path(borderpost_base.__file__).parent
TESTS = Path(__file__).parents[1]

PURE = {
    "__future__", "ast", "bisect", "collections", "dataclasses", "datetime", "difflib", "enum", "functools", "graphlib",
    "hashlib", "importlib", "itertools", "operator", "orjson", "pydantic", "pydantic_core", "re", "typing",
    "unicodedata",
}  # fmt: skip
"""Modules of others that compute and do nothing else; `importlib` tells where a built-in pack is, not what is in it."""
BASE_MODULES = {"borderpost_base", "borderpost_base.errors", "borderpost_base.limits", "borderpost_base.strict"}
"""What policy may import of the base."""
READERS = {"borderpost_base.yaml_source": {"pathlib", "yaml"}}
"""Modules that it reaches by way of these and that could read files, with what they import for it."""
IMPURE_NAMES = {
    "open", "exec", "eval", "__import__", "input", "print", "breakpoint", "now", "utcnow", "today", "time", "time_ns",
    "monotonic", "perf_counter", "read_text", "read_bytes", "write_text", "write_bytes", "urandom", "getenv", "environ",
    "random", "uuid4", "id", "hash", "load_yaml_file",
}  # fmt: skip
"""What policy may neither call nor name: clocks, files, the environment, chance, and what differs by process."""


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported, `a.b` for `from a import b` too where b is a module of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if is_ours(f"{node.module}.{alias.name}"))


def is_ours(module: str) -> bool:
    return source_of(module) is not None


def source_of(module: str) -> Path | None:
    """Return the file of one of our modules, None for others."""
    for root in (POLICY.parent.parent, BASE.parent):
        path = root / module.replace(".", "/")
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file() and module.startswith("borderpost"):
                return candidate
    return None


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def reached() -> dict[str, Path]:
    """Return every module of ours that importing the policy brings along."""
    found: dict[str, Path] = {}
    left = [f"borderpost.policy.{path.stem}" for path in POLICY.glob("*.py")]
    while left:
        module = left.pop()
        path = source_of(module)
        if module in found or path is None:
            continue
        found[module] = path
        left += imports(parsed(path))
    return found


def test_policy_imports_only_what_computes() -> None:
    files = sorted(POLICY.glob("**/*.py"))
    assert len(files) > 15
    for path in files:
        for module in imports(parsed(path)):
            ours = module.startswith("borderpost.policy") or module in BASE_MODULES
            assert ours or module.split(".")[0] in PURE, f"{path.name} imports {module}"


def test_what_policy_imports_imports_only_what_computes() -> None:
    modules = reached()
    assert {"borderpost_base.limits", "borderpost_base.yaml_source"} <= set(modules)
    for module, path in modules.items():
        for imported in imports(parsed(path)):
            known = imported in modules or imported.split(".")[0] in PURE | READERS.get(module, set())
            assert known, f"{module}, which policy imports, imports {imported}"


def test_policy_names_no_clock_no_file_and_no_chance() -> None:
    for path in sorted(POLICY.glob("**/*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                assert node.id not in IMPURE_NAMES, f"{path.name}:{node.lineno} names {node.id}"
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Store):
                of_self = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
                if not of_self and node.attr in IMPURE_NAMES - {"id"}:
                    pytest.fail(f"{path.name}:{node.lineno} names .{node.attr}")


DECISIONS = """
import dataclasses, hashlib, sys
from random import Random
import orjson
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList
from borderpost.policy.fields import to_us
from borderpost_bench.cold import KINDS, distinct_facts, sized_view
from borderpost_bench.sizes import Size
from support import policy_cases
from support.agreement import compiled

def told(law):
    fields = {one.name: getattr(law, one.name) for one in dataclasses.fields(law)}
    fields |= {"bases": dict(law.bases), "refused": dict(law.refused)}
    return orjson.dumps([list(fields), fields, list(law.bases.items()), list(law.refused.items())])

random = Random(11)
asked = []
for _ in range(20):
    world = policy_cases.world(random)
    asked.append((world, [(policy_cases.facts(random), to_us(policy_cases.instant(random))) for _ in range(15)]))
view = sized_view(Size(10, 100))
forbid()
digest = hashlib.sha256()
for world, questions in asked:
    digest.update(f"{world.bundle.digest} {EventList(world.events).digest}".encode())
    policy, events = compiled(world)
    for facts, now in questions:
        digest.update(told(decide(facts, policy, events, now)))
for kind in KINDS:
    for facts in distinct_facts(kind, 40):
        digest.update(orjson.dumps(view.decide(facts, 1_800_000_000_000_000).record, option=orjson.OPT_SORT_KEYS))
allow()
print(digest.hexdigest())
"""

FORBIDDING = """
import sys
watched = False
def audit(event, arguments):
    if watched and event.split(".")[0] in {"open", "os", "socket", "subprocess", "shutil", "tempfile", "ctypes"}:
        raise AssertionError(f"the policy caused {event} {arguments}")
sys.addaudithook(audit)
def forbid():
    import builtins, random, time
    global watched
    def refuse(*arguments, **more):
        raise AssertionError("the policy asked a clock or for chance")
    for module, names in ((time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")),
                          (random, ("random", "randint", "choice"))):
        for name in names:
            setattr(module, name, refuse)
    watched = True
def allow():
    global watched
    watched = False
"""


def digest_in(**environment: str) -> str:
    """Return the digest of 500 decisions, 200 of them as records, made by a process in which nothing can be opened or
    asked."""
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDING + DECISIONS],
        env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_same_bytes_whatever_the_hash_seed_the_locale_and_the_time_zone() -> None:
    digests = {
        digest_in(PYTHONHASHSEED="0", LC_ALL="C", TZ="UTC"),
        digest_in(PYTHONHASHSEED="1", LC_ALL="C.UTF-8", TZ="Asia/Kolkata"),
        digest_in(PYTHONHASHSEED="4242", LC_ALL="POSIX", TZ="America/St_Johns", PYTHONUTF8="0"),
        digest_in(PYTHONHASHSEED="77", LC_ALL="tr_TR.UTF-8", TZ="Pacific/Kiritimati", PYTHONOPTIMIZE="1"),
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 64
