"""Render the chart for every case below istio/chart/rendered, by helm.

    python tools/render_chart.py                  by `helm` on the path, or else by Go, which builds it (two minutes)
    python tools/render_chart.py --helm PATH      by this helm

A case is a folder with values.yaml and borderpost.yaml, the two files that a user has; manifests.yaml is what becomes
of them. helm is no Python, so this is not part of `make generate`; what is made from the plain case is.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("istio/chart/borderpost")
CASES = Path("istio/chart/rendered")
MANIFESTS = "manifests.yaml"
KUBERNETES = "1.31.0"
"""The version that helm takes the cluster for; templates do not look at it."""
HELM = "helm.sh/helm/v3/cmd/helm@v3.18.6"

_TIMEOUT_S = 900


def cases(root: Path) -> list[str]:
    """Return the names of all cases."""
    return sorted(path.parent.name for path in (root / CASES).glob("*/values.yaml"))


def arguments_of(root: Path, case: str) -> list[str]:
    """Return helm's arguments for a case, for `template` and for `lint`."""
    folder = root / CASES / case
    return [
        str(root / CHART), "--namespace", "istio-ingress", "--kube-version", KUBERNETES,
        "--values", str(folder / "values.yaml"), "--set-file", f"config={folder / 'borderpost.yaml'}",
    ]  # fmt: skip


def render(helm: list[str], root: Path, case: str, *further: str) -> str:
    """Return what the chart becomes. Raises CalledProcessError with helm's words."""
    words = [*helm, "template", "borderpost", *arguments_of(root, case), *further]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S).stdout


def main() -> int:
    """Write every case; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--helm", help="helm's path")
    given = parser.parse_args().helm or shutil.which("helm")
    helm = [given] if given else ["go", "run", HELM]
    for case in cases(ROOT):
        try:
            text = render(helm, ROOT, case)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr)
            return 1
        path = ROOT / CASES / case / MANIFESTS
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
