"""The compiled form: a wheel with extensions beside the sources, held to the suites of the plain form."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = (
    "tests/unit/test_wire_*.py", "tests/unit/test_audit_*.py", "tests/unit/test_recognition.py",
    "tests/unit/test_processor.py", "tests/unit/test_record_keeper.py", "tests/unit/test_memo.py",
    "tests/unit/test_ratelimit_*.py",
)  # fmt: skip
THROUGH_ENVOY = ("tests/blackbox/test_product_counts.py", "tests/faults/test_product_kill.py")

pytestmark = pytest.mark.timeout(1300)  # the compiler takes a minute, on a busy machine several
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled wheel, unpacked."""
    folder = tmp_path_factory.mktemp("compiled")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {**os.environ, "BORDERPOST_COMPILE": "1"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment, timeout=600)
    (wheel,) = folder.glob("*.whl")
    assert "-none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def run(unpacked: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)


@pytest.mark.full
@needs_compiler
def test_a_compiled_wheel_is_what_runs_and_has_names_of_ours_only(unpacked: Path) -> None:
    assert all(path.name.startswith("borderpost") for path in unpacked.iterdir())
    code = "import borderpost_wire.h2.connection as c, borderpost.processor as p; print(c.__file__, p.__file__)"
    files = run(unpacked, "-c", code).stdout.split()
    assert len(files) == 2
    assert all(file.startswith(str(unpacked)) and file.endswith(".so") for file in files), files


@pytest.mark.full
@needs_compiler
def test_the_compiled_form_passes_the_suites_of_the_plain_form(unpacked: Path) -> None:
    paths = [str(path.relative_to(ROOT)) for pattern in SUITES for path in sorted(ROOT.glob(pattern))]
    done = run(unpacked, "-m", "pytest", "-q", "-n", "2", "-m", "not full and not plain", *paths)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.full
@pytest.mark.blackbox
@needs_compiler
def test_the_compiled_form_serves_envoy(unpacked: Path) -> None:
    done = run(unpacked, "-m", "pytest", "-q", "-m", "not full", *THROUGH_ENVOY)
    assert done.returncode == 0, done.stdout[-4000:]
