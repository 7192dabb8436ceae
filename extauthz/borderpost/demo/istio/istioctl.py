"""What Istio's own command line says of files, without a cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from borderpost.demo.istio.tools import IstioTools

_OF_EVERY_FILTER = "exposes internal implementation details"
"""What is said of every EnvoyFilter, whatever it holds."""
_HEADINGS = ("is valid", "has warnings:")
"""Ends of the lines of `validate` that name a file and no finding."""
_TIMEOUT_S = 60.0


def validate(tools: IstioTools, file: Path) -> list[str]:
    """Return what `istioctl validate` finds, errors and warnings, but for what it says of every EnvoyFilter.

    A warning counts: an unknown field in a filter's configuration is one, and istiod drops such a field.
    """
    done = _run(tools, "validate", "-f", str(file))
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    found = [line for line in lines if line and _OF_EVERY_FILTER not in line and not line.endswith(_HEADINGS)]
    return found if found or done.returncode == 0 else lines


def analyze(tools: IstioTools, *files: Path) -> list[str]:
    """Return what `istioctl analyze` finds in files taken together, but for what it says of every EnvoyFilter."""
    done = _run(
        tools, "analyze", "--all-namespaces", "--use-kube=false", "--output", "json", *(str(file) for file in files)
    )
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("["))
    passed_over = [line for line in lines[:start] if line]  # files that it could not read
    found = [f"{one['code']} {one['origin']}: {one['message']}" for one in json.loads("\n".join(lines[start:]))]
    return passed_over + [line for line in found if _OF_EVERY_FILTER not in line]


def _run(tools: IstioTools, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools.istioctl), *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
