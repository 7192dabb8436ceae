"""The rivals: programs in Go, built on demand from `bench/rivals` and kept in the user's cache.

Where there is no Go, no checkout, or no way to fetch the modules, a scenario that needs them is left out, and the
reason stands in the result.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from borderpost.demo.scenery import REGIONS, configuration
from borderpost.demo.user_cache import user_cache
from borderpost_bench.traffic import REFUSED, ROUTED
from borderpost_bench.unavailable import Unavailable

SOURCE = Path(__file__).resolve().parents[1] / "rivals" / "go"
"""The Go module; it is part of a checkout, not of the wheel."""
OPA_SOURCE = SOURCE.parent / "opa"
"""A module of its own: OPA brings a hundred others, which nothing else here needs."""
RATELIMIT_SOURCE = SOURCE.parent / "ratelimit"
"""envoyproxy/ratelimit, at the version that its go.mod names."""
PROGRAMS = ("stub", "honest", "drive")
RATELIMIT_PROGRAMS = ("server", "clocked", "check")
"""As it is, with the caller's clock, and what says whether it loads a file."""
ONE_CORE = {"GOMAXPROCS": "1"}
"""Environment of a Go program that is compared with one worker."""

_BUILD_S_MAX = 900.0
_GO_ENVIRONMENT = {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


class RivalUnavailable(Unavailable):
    """A rival cannot be built here; the text says why, in one line."""


@functools.cache
def programs() -> Mapping[str, Path]:
    """Return the built programs by name, building them if these sources have not been built before.

    Raises RivalUnavailable.
    """
    place = _built(SOURCE, PROGRAMS)
    return {name: place / name for name in PROGRAMS}


@functools.cache
def opa_program() -> Path:
    """Return OPA-Envoy, built as the others are; the first time takes minutes. Raises RivalUnavailable."""
    return _built(OPA_SOURCE, ("opa",)) / "opa"


@functools.cache
def ratelimit_programs() -> Mapping[str, Path]:
    """Return envoyproxy/ratelimit's programs by name, built as the others are; the first time takes a minute.

    Raises RivalUnavailable.
    """
    place = _built(RATELIMIT_SOURCE, RATELIMIT_PROGRAMS)
    return {name: place / name for name in RATELIMIT_PROGRAMS}


def ratelimit_version() -> str:
    """Return the version of envoyproxy/ratelimit that is built, as Go names it."""
    found = re.search(r"^\s*github\.com/envoyproxy/ratelimit (v\S+)$", (RATELIMIT_SOURCE / "go.mod").read_text(), re.M)
    assert found is not None, "go.mod requires it"
    return found[1]


def _built(source: Path, names: Sequence[str]) -> Path:
    """Return the directory with what the main packages of these names, or of the module itself, become."""
    go = shutil.which("go")
    if go is None:
        raise RivalUnavailable("Go is not installed")
    if not (source / "go.mod").exists():
        raise RivalUnavailable("the rivals' sources are only in a checkout")
    version = _go(go, source, "version").strip()
    place = cache_directory() / fingerprint(source, version)
    if not place.is_dir():
        _build(go, source, names, place)
    return place


def cache_directory() -> Path:
    """Return where built programs are kept."""
    return user_cache("rivals")


def fingerprint(source: Path, version: str) -> str:
    """Return a name for what these sources become by this version of Go."""
    digest = hashlib.sha256(version.encode())
    for path in sorted(source.rglob("*")):
        if path.suffix == ".go" or path.name in {"go.mod", "go.sum"}:
            content = path.read_bytes()
            digest.update(f"\0{path.relative_to(source).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def law_table(here: str) -> dict[str, Any]:
    """Return the honest rival's table: what traffic.py expects of the law, and the demo's latencies.

    A client that asserts a residency is left to the intersection of both countries.
    """
    countries: dict[str, dict[str, Any]] = {}
    for client in ROUTED + REFUSED:
        one = countries.setdefault(client.country, {"allowed": sorted(client.legal), "classes": {}, "basis": "bench"})
        if client.data_class is not None:
            one["classes"][client.data_class] = sorted(client.legal)
        elif client.residency is None:
            one["allowed"] = sorted(client.legal)
    return {
        "here": here,
        "regions": {region: {"cluster": region, "country": spec["country"]} for region, spec in REGIONS.items()},
        "countries": countries,
        "latency_ms": configuration({}, admin_port=0)["ranking"]["latency_ms"],
    }


def _build(go: str, source: Path, names: Sequence[str], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="build-", dir=place.parent))
    try:
        packages = [f"./{name}" if (source / name).is_dir() else "." for name in names]
        _go(go, source, "build", "-trimpath", "-o", f"{fresh}{os.sep}", *packages)
        try:
            fresh.rename(place)
        except OSError:
            if not place.is_dir():  # else somebody else has built the same meanwhile
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _go(go: str, source: Path, *words: str) -> str:
    """Run the go command in the sources. Raises RivalUnavailable; what went wrong goes to stderr, not into a result,
    because it may name the places that modules are fetched from."""
    try:
        done = subprocess.run(
            [go, *words], cwd=source, env={**os.environ, **_GO_ENVIRONMENT}, capture_output=True, text=True,
            timeout=_BUILD_S_MAX, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise RivalUnavailable(f"`go {words[0]}` did not end in time") from error
    if done.returncode != 0:
        print(done.stderr or done.stdout, file=sys.stderr)
        raise RivalUnavailable(f"`go {words[0]}` failed with status {done.returncode}")
    return done.stdout
