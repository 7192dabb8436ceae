"""Tests of processes are tried once more where they fail: told each time, and only a few of a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SECOND_TRIES_MAX

FAILS_ONCE = """
import pathlib
import pytest

@pytest.mark.parametrize("number", range(NUMBER))
def test_fails_once(number):
    seen = pathlib.Path(__file__).with_name(f"seen-{number}")
    if not seen.exists():
        seen.touch()
        raise AssertionError("the machine was busy")
"""


def run(folder: Path, source: str, *options: str) -> tuple[int, str]:
    """Run a test file under the rules of all tests; return the exit code and what was printed."""
    shutil.copy(Path(__file__).parents[1] / "conftest.py", folder)
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    words = ["-p", "no:cacheprovider", "--rootdir", str(folder), "--reruns", "1", *options, str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


WAYS = pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="one process"),
        pytest.param(("--numprocesses", "2"), id="two processes", marks=pytest.mark.full),
    ],
)


@pytest.mark.slow
@WAYS
def test_a_few_that_pass_the_second_time_pass_and_are_shown(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, printed = run(tmp_path, FAILS_ONCE.replace("NUMBER", str(SECOND_TRIES_MAX)), *options)
    assert code == 0
    assert printed.count("tried again: ") == SECOND_TRIES_MAX and "the machine was busy" in printed


@pytest.mark.slow
@WAYS
def test_many_of_them_fail_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, _ = run(tmp_path, FAILS_ONCE.replace("NUMBER", str(SECOND_TRIES_MAX + 1)), *options)
    assert code == 1


@pytest.mark.slow
def test_one_that_fails_twice_fails(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "def test_fails():\n    raise AssertionError('always')\n")
    assert code == 1 and "1 failed" in printed
