"""The action `istio`: the objects of Kubernetes that make an Istio ingress gateway ask Borderpost."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output, counted
from borderpost_base.errors import BorderpostError, Place

_RENDERED = re.compile(r"[0-9]{2}-[a-z-]+\.yaml")
"""Names of files that a rendering writes."""


def configure_istio(parser: argparse.ArgumentParser) -> None:
    """Write the objects that make an Istio ingress gateway ask Borderpost, with the reasons beside the settings.

    All of them are made from the section `istio` and what else the configuration knows. Look before you apply:

        borderpost render istio --config borderpost.yaml | kubectl diff --server-side -f -
        borderpost render istio --config borderpost.yaml | kubectl apply --server-side -f -
    """
    parser.add_argument("--via", choices=("ext_proc", "ext_authz"), default="ext_proc", help="the door Envoy asks by")
    parser.add_argument(
        "--route-style", choices=("matcher", "cluster_header"), default="matcher",
        help="how Envoy turns our header into a cluster (default: matcher, an allow-list; before Istio 1.30 one route "
        "for each region)",
    )  # fmt: skip
    parser.add_argument(
        "--observe", action="store_true",
        help="only what has Envoy tell us of requests on the routes under `observe.routes`, and changes no route",
    )  # fmt: skip
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="write one file a kind there, in place of those of earlier times"
    )
    add_config(parser)
    add_json(parser)


def run_istio(arguments: argparse.Namespace, output: Output) -> int:
    """Print the objects as one YAML stream, with --json as a list; or write files."""
    loaded = load(arguments)
    from borderpost.cli.istio_plan import make_istio_plan
    from borderpost_istio import render_objects, to_files, to_stream
    from borderpost_istio.kinds import as_data

    objects = render_objects(make_istio_plan(loaded, arguments))
    if arguments.output_dir is not None:
        files = to_files(objects)
        write_files(arguments.output_dir, files)
        output.note(f"{counted(len(objects), 'object')} in {counted(len(files), 'file')} in {arguments.output_dir}")
    if output.as_json:
        output.result({"objects": [as_data(each) for each in objects]})
    elif arguments.output_dir is None:
        output.data(to_stream(objects).rstrip())
    return CLEAN


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write rendered files, and remove those of an earlier rendering that are no longer made; others stay as they are.

    Raises BorderpostError BP1410 where a file of one of these names is somebody else's, or nothing can be written.
    """
    from borderpost_istio.reasons import MADE

    try:
        directory.mkdir(parents=True, exist_ok=True)
        named = sorted(path for path in directory.iterdir() if path.name in files or _RENDERED.fullmatch(path.name))
        ours = {path.name for path in named if path.is_file() and MADE in path.read_text("utf-8", "replace")}
        taken = [path.name for path in named if path.name in files and path.name not in ours]
        if taken:
            raise BorderpostError("BP1410", f"`{taken[0]}` is there, and was not rendered", place=Place(str(directory)))
        for name in sorted(ours - set(files)):
            (directory / name).unlink()
        for name, content in files.items():
            (directory / name).write_text(content, "utf-8")
    except OSError as error:
        raise BorderpostError("BP1410", f"{error.strerror or error}", place=Place(str(directory))) from error
