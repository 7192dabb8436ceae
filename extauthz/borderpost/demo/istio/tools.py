"""istiod and istioctl, built once from the Go module in `istio/lab` and kept in the user's cache.

No package registry has either as a program. A build is named after the module's files, so a machine without Go can
use what another has built; it appears in the cache whole or not at all, and of several processes that want it one
builds while the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from borderpost.demo.user_cache import user_cache
from borderpost_base.errors import BorderpostError, Place

MODULE = Path(__file__).resolve().parents[4] / "istio" / "lab"
"""The Go module that requires Istio; it is part of a checkout, not of the wheel."""
PROGRAMS = {
    "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
    "istioctl": "istio.io/istio/istioctl/cmd/istioctl",
}
"""Programs by name, each with its main package."""

_TAGS = "vtprotobuf,disable_pgv"
"""As Istio's own release build (`tools/build.sh`, `common/scripts/gobuild.sh`): quicker protobuf, no unused checks."""
_BUILD_S_MAX = 3600.0
_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class IstioTools:
    """The built programs."""

    version: str
    """Of Istio, such as `1.29.2`."""
    istiod: Path
    istioctl: Path


def cached_tools() -> IstioTools | None:
    """Return the programs if they have been built before. Raises BorderpostError BP1452 without a checkout."""
    place = _place()
    return _tools_in(place) if place.is_dir() else None


def istio_tools(say: Callable[[str], None]) -> IstioTools:
    """Return the programs, building them if they have not been built before; `say` is told what takes long.

    Raises BorderpostError BP1450 (no Go), BP1451 (the build fails) or BP1452 (no checkout).
    """
    found = cached_tools()
    if found is not None:
        return found
    go = shutil.which("go")
    if go is None:
        raise BorderpostError("BP1450", f"{_place()} is not there, and `go` is not on the path")
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock(place.with_suffix(".lock"), say):
        if not place.is_dir():
            _build(go, place, say)
    return _tools_in(place)


def istio_version() -> str:
    """Return the version of Istio that the module requires. Raises BorderpostError BP1452 without a checkout."""
    version = re.search(r"^\s*istio\.io/api v(\S+)", _module_file("go.mod").decode(), re.MULTILINE)
    assert version is not None, "go.mod requires istio.io/api by its release"
    return version[1]


def _module_file(name: str) -> bytes:
    path = MODULE / name
    if not path.is_file():
        raise BorderpostError("BP1452", "the Go module is not there", place=Place(str(path)))
    return path.read_bytes()


def _place() -> Path:
    """Return where the programs of this module's files are, or would be."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update(_module_file(name) + b"\0")
    return user_cache("istio") / digest.hexdigest()[:32]


def _tools_in(place: Path) -> IstioTools:
    return IstioTools(istio_version(), place / "pilot-discovery", place / "istioctl")


@contextlib.contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file. A process that dies lets go of it."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is building istiod; waiting for it …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, place: Path, say: Callable[[str], None]) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="build-", dir=place.parent))
    try:
        source, out = fresh / "module", fresh / "out"
        shutil.copytree(MODULE, source)  # `go build` may touch go.mod
        out.mkdir()
        for number, (name, package) in enumerate(PROGRAMS.items(), 1):
            say(f"Building {name} {istio_version()} from source ({number} of {len(PROGRAMS)}; minutes, once) …")
            started = time.monotonic()
            _go_build(go, source, out / name, package)
            say(f"  {(out / name).stat().st_size / 1e6:.0f} MB after {time.monotonic() - started:.0f} s")
        out.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _go_build(go: str, source: Path, target: Path, package: str) -> None:
    stamp = f"-X istio.io/istio/pkg/version.buildVersion={istio_version()}"
    command = [go, "build", "-trimpath", f"-tags={_TAGS}", f"-ldflags=-s -w {stamp}", "-o", str(target), package]
    environment = {**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}
    try:
        done = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, timeout=_BUILD_S_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BorderpostError("BP1451", f"`go build {package}` did not end within {_BUILD_S_MAX:g} s") from error
    if done.returncode != 0:
        raise BorderpostError(
            "BP1451", f"`go build {package}` ended with status {done.returncode}:\n{done.stderr[-_TAIL_CHARACTERS:]}"
        )
