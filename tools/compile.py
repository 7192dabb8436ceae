"""Compile the hot modules with mypyc, in a copy of the packages: the same sources, for less CPU a decision.

    python tools/compile.py build/compiled
    PYTHONPATH=build/compiled borderpost serve --config …

The plain form is the reference: it always works, needs no C compiler, and is what the checkout runs. A compiled
module is an extension beside its source, which Python prefers; so the copy is made anew each time, and never mixed
with the checkout. Both forms run the same test suites.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "extauthz/borderpost", "extauthz/borderpost_base", "wire/borderpost_wire", "proto/borderpost_proto",
    "ratelimit/borderpost_ratelimit",
)  # fmt: skip
"""What is copied: all that serves, so that no import finds one package in another form than the next."""
MODULES = (
    "borderpost/audit/batch.py", "borderpost/audit/committer.py", "borderpost/audit/pace.py",
    "borderpost/audit/prepared.py", "borderpost/audit/record.py", "borderpost/audit/writer.py",
    "borderpost/entrance.py", "borderpost/processor.py", "borderpost/recognition.py", "borderpost/record_keeper.py",
    "borderpost_base/memo.py",
    "borderpost_ratelimit/answers.py", "borderpost_ratelimit/files/book.py",
    "borderpost_ratelimit/files/keys.py", "borderpost_ratelimit/files/wildcards.py", "borderpost_ratelimit/grants.py",
    "borderpost_ratelimit/headers.py", "borderpost_ratelimit/plans.py", "borderpost_ratelimit/questions.py",
    "borderpost_ratelimit/service.py", "borderpost_ratelimit/statistics.py", "borderpost_ratelimit/away/breaker.py",
    "borderpost_ratelimit/away/by_server.py", "borderpost_ratelimit/away/estimate.py",
    "borderpost_ratelimit/away/guarded.py", "borderpost_ratelimit/away/owed.py", "borderpost_ratelimit/away/told.py",
    "borderpost_ratelimit/stores/divided.py", "borderpost_ratelimit/stores/scoped.py",
    "borderpost_ratelimit/stores/expiry.py", "borderpost_ratelimit/stores/joining.py",
    "borderpost_ratelimit/stores/memory.py", "borderpost_ratelimit/stores/redis/batch.py",
    "borderpost_ratelimit/stores/redis/link.py", "borderpost_ratelimit/stores/redis/names.py",
    "borderpost_ratelimit/stores/redis/near_cache.py", "borderpost_ratelimit/stores/redis/plain.py",
    "borderpost_ratelimit/stores/redis/sending.py",
    "borderpost_ratelimit/stores/redis/single.py", "borderpost_ratelimit/stores/redis/store.py",
    "borderpost_ratelimit/stores/redis/turn.py",
    "borderpost_wire/deadlines.py", "borderpost_wire/protobuf.py", "borderpost_wire/wire_call.py",
    "borderpost_wire/wire_engine.py", "borderpost_wire/wire_protocol.py",
)  # fmt: skip
"""What every decision goes through, beside the folders below."""
FOLDERS = (
    "borderpost_ratelimit/algorithms", "borderpost_wire/h2", "borderpost_wire/hpack", "borderpost_wire/rpc",
)  # fmt: skip
GROUP = "borderpost"
"""Name of the library that the modules share, `borderpost__mypyc`: a top-level name, so it says whose it is."""


def compile_into(out: Path) -> list[Path]:
    """Copy the packages and compile; return the extensions, relative to `out`. Raises CalledProcessError.

    `out` is replaced; it must not exist, be empty, or be such a copy.
    """
    mark = out / ".compiled"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise FileExistsError(f"{out} is not empty and is none of this tool's")
    shutil.rmtree(out, ignore_errors=True)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / package, out / Path(package).name, ignore=ignored)
    mark.touch()
    done = subprocess.run([sys.executable, __file__, "--here"], cwd=out, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    shutil.rmtree(out / "build")
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return sorted(path.relative_to(out) for path in out.rglob(f"*{suffix}"))


def sources(base: Path) -> list[str]:
    """Return the paths of the modules to compile, relative to a folder of packages."""
    found = [path for folder in FOLDERS for path in (base / folder).glob("*.py") if path.name != "__init__.py"]
    return sorted([*MODULES, *(path.relative_to(base).as_posix() for path in found)])


def _compile_here() -> None:
    """Compile in the current folder, which holds the packages."""
    from mypyc.build import mypycify
    from setuptools import setup

    os.environ.setdefault("MYPYPATH", str(Path.cwd()))
    arguments = ["--explicit-package-bases", "--strict", *sources(Path.cwd())]
    extensions = mypycify(arguments, opt_level="3", debug_level="0", group_name=GROUP)
    setup(
        name=GROUP, packages=[], ext_modules=extensions, script_name="compile", script_args=["build_ext", "--inplace"]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; return its exit code."""
    parser = argparse.ArgumentParser(description="Compile the hot modules with mypyc, in a copy of the packages.")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "compiled")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        _compile_here()
        return 0
    extensions = compile_into(options.out)
    print(f"compiled: {len(extensions) - 1} modules in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
