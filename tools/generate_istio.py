"""Golden renderings for Istio: what `borderpost render istio` writes for the configurations in istio/rendered/from."""

from __future__ import annotations

from pathlib import Path

from borderpost.cli.istio_plan import make_istio_plan
from borderpost.cli.main import build_command
from borderpost.config.load import load_config
from borderpost_istio import render_objects, to_stream

FOLDER = Path("istio/rendered")
SOURCES = FOLDER / "from"

RENDERINGS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "plain": ("plain", {}, ()),
    "plain-1.27": ("plain", {"istio.version": '"1.27"'}, ()),
    "plain-1.30": ("plain", {"istio.version": '"1.30"'}, ()),
    "plain-cluster_header": ("plain", {}, ("--route-style", "cluster_header")),
    "plain-ext_authz": ("plain", {}, ("--via", "ext_authz")),
    "full": ("full", {}, ()),
    "full-ext_authz-1.30": ("full", {"istio.version": '"1.30"'}, ("--via", "ext_authz")),
    "network": ("network", {}, ()),
}
"""Each golden file's name without its ending: the configuration, what is set over it, and words of the command line."""


def generate(root: Path) -> dict[Path, bytes]:
    """Return every golden file by its path below the repository's root."""
    return {FOLDER / f"{name}.yaml": rendered(root, name).encode() for name in RENDERINGS}


def rendered(root: Path, name: str) -> str:
    """Return one golden rendering."""
    source, overrides, words = RENDERINGS[name]
    parser, _ = build_command("render")
    arguments = parser.parse_args(["istio", *words])
    loaded = load_config(root / SOURCES / f"{source}.yaml", overrides, {})
    return to_stream(render_objects(make_istio_plan(loaded, arguments)))
