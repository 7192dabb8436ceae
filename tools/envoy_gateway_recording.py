"""Record what Envoy Gateway itself makes of our objects, so that tests can run it on a real Envoy without Go.

    python tools/envoy_gateway_recording.py            write istio/envoy-gateway/translated.json
    python tools/envoy_gateway_recording.py --check    change nothing; exit 1 if it would come out otherwise

`egctl experimental translate` is Envoy Gateway's own translator, patches included. It is built by Go from the module
that the Go module proxy has, once, into the user's cache; the first time that takes some minutes. Exit 2: no Go.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from borderpost.demo.user_cache import user_cache

ROOT = Path(__file__).resolve().parent.parent
VERSION: Final = "v1.9.1"
MODULE: Final = f"github.com/envoyproxy/gateway@{VERSION}"
FOLDER: Final = Path("istio/envoy-gateway")
RECORDING: Final = FOLDER / "translated.json"
_INPUTS = (FOLDER / "gateway.yaml", FOLDER / "rendered/sidecar.yaml")
_PATCHES = "EnvoyPatchPolicy"


def main() -> int:
    """Record or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if it would come out otherwise")
    arguments = parser.parse_args()
    egctl = built_egctl()
    if egctl is None:
        print("needs Go to build egctl", file=sys.stderr)
        return 2
    content = recording(egctl)
    if arguments.check:
        return int((ROOT / RECORDING).read_text(encoding="utf-8") != content)
    (ROOT / RECORDING).write_text(content, encoding="utf-8")
    return 0


def cached_egctl() -> Path | None:
    """Return egctl where it was built before."""
    path = user_cache("envoy-gateway") / VERSION / "egctl"
    return path if path.exists() else None


def module_source() -> Path | None:
    """Return the folder of Envoy Gateway's source in Go's cache of modules, fetched if need be; None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    told = subprocess.run([go, "mod", "download", "-json", MODULE], check=True, capture_output=True, cwd=Path("/"))
    return Path(json.loads(told.stdout)["Dir"])


def built_egctl() -> Path | None:
    """Return egctl, built if need be; None where it is not and there is no Go."""
    found = cached_egctl()
    source = module_source() if found is None else None
    if found is not None or source is None:
        return found
    target = user_cache("envoy-gateway") / VERSION / "egctl"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "egctl"
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made)]
        copy = Path(scratch) / "source"  # Go's cache is read-only, and a module there is not the main one
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
        subprocess.run([*command, "./cmd/egctl"], check=True, cwd=copy)
        shutil.move(made, target)
    target.chmod(0o755)
    return target


def recording(egctl: Path) -> str:
    """Return the recording as text: with our patches, and without them."""
    documents = [
        document for path in _INPUTS for document in yaml.safe_load_all((ROOT / path).read_text(encoding="utf-8"))
    ]
    unpatched = [document for document in documents if document["kind"] != _PATCHES]
    content = {
        "source": f"egctl experimental translate of {MODULE}, from {' and '.join(map(str, _INPUTS))}",
        "patched": translated(egctl, documents),
        "unpatched": translated(egctl, unpatched),
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def translated(egctl: Path, documents: list[dict[str, Any]]) -> Mapping[str, list[Any]]:
    """Return Envoy's listeners, routes, clusters and endpoints. Raises ValueError where an object was not accepted."""
    with tempfile.TemporaryDirectory() as scratch:
        given = Path(scratch) / "objects.yaml"
        given.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        command = [str(egctl), "experimental", "translate", "--from", "gateway-api", "--to", "gateway-api,xds"]
        done = subprocess.run(
            [*command, "--type", "all", "--output", "json", "--file", str(given)],
            check=True, capture_output=True, env={**os.environ, "HOME": scratch},
        )  # fmt: skip
    told = json.loads(done.stdout)
    refused = sorted(_refusals({key: value for key, value in told.items() if key != "xds"}))
    if refused:
        raise ValueError("; ".join(refused))
    (delivered,) = told["xds"].values()
    by_kind = {each["@type"].rpartition(".")[2].removesuffix("ConfigDump"): each for each in delivered["configs"]}
    found = {
        "Listeners": [each["activeState"]["listener"] for each in by_kind["Listeners"]["dynamicListeners"]],
        "Routes": [each["routeConfig"] for each in by_kind["Routes"]["dynamicRouteConfigs"]],
        "Clusters": [each["cluster"] for each in by_kind["Clusters"]["dynamicActiveClusters"]],
        "Endpoints": [each["endpointConfig"] for each in by_kind["Endpoints"]["dynamicEndpointConfigs"]],
    }
    for resources in found.values():
        for resource in resources:
            del resource["@type"]  # of the dump's wrapping, and no field of the resource
    return found


def _refusals(part: Any) -> set[str]:
    """Return the messages of conditions that are not true."""
    if isinstance(part, list):
        return set().union(*map(_refusals, part))
    if not isinstance(part, dict):
        return set()
    own = {part["message"]} if part.get("status") == "False" and "message" in part else set()
    return own.union(*map(_refusals, part.values()))


if __name__ == "__main__":
    sys.exit(main())
