"""Tools by others, built by Go where it is present; a test that wants one skips with the reason where it is not."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from render_chart import HELM

SOURCES = {
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7",
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible",
    "helm": HELM,
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1",
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
    "ghz": "github.com/bojand/ghz/cmd/ghz@v0.93.0",
    "opa": "github.com/open-policy-agent/opa@v1.22.0",
}
_BUILD_S = 900


def go_tool(name: str) -> Path:
    """Return the path of a tool, built once a run."""
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"needs Go to build {name}")
    return _built(go, name)


@functools.cache
def _built(go: str, name: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix=f"borderpost-{name}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    environment = os.environ | {"GOBIN": str(directory), "GOFLAGS": "-buildvcs=false"}
    subprocess.run([go, "install", SOURCES[name]], env=environment, check=True, capture_output=True, timeout=_BUILD_S)
    return directory / name
