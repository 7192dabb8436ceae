"""Istio's own charts, out of the Go module that the lab builds istiod from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_LAB = Path(__file__).resolve().parents[2] / "istio/lab"
_TIMEOUT_S = 600


def istio_charts(folder: Path) -> Path:
    """Return the folder of the charts. `folder` is for a copy of the lab's go.mod, which Go may touch."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go for Istio's charts")
    for name in ("go.mod", "go.sum"):
        shutil.copy(_LAB / name, folder)
    words = [go, "list", "-f", "{{.Module.Dir}}", "istio.io/istio/pkg/version"]
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    told = subprocess.run(
        words, capture_output=True, check=True, text=True, env=environment, cwd=folder, timeout=_TIMEOUT_S
    )
    return Path(told.stdout.strip()) / "manifests/charts"
