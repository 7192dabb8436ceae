"""Say what is wrong with a configuration: the file, its packs, its events, and how they fit together.

Every mistake is told at once, with its line. Exit 0: it can be served. Exit 1: mistakes were found.
Exit 2: the file could not be read.
"""

from __future__ import annotations

import argparse

from borderpost.cli.options import add_config, add_json, config_path, load
from borderpost.cli.output import CLEAN, COULD_NOT_RUN, FINDINGS, Output, errors_of
from borderpost_base.errors import BorderpostError, Problems


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Load the configuration as `serve` would; print what it amounts to, or what is wrong."""
    try:
        loaded = load(arguments)
    except (BorderpostError, Problems) as error:
        errors = errors_of(error)
        output.errors(errors)
        return COULD_NOT_RUN if any(found.code in {"BP0003", "BP0004"} for found in errors) else FINDINGS
    summary = {
        "file": str(config_path(arguments)),
        "regions": sorted(loaded.regions),
        "regimes": len(loaded.bundle.regimes),
        "events": len(loaded.events.events),
        "policy_digest": loaded.bundle.digest,
        "events_digest": loaded.events.digest,
    }
    if output.as_json:
        output.result({"errors": [], **summary})
    else:
        regions = ", ".join(sorted(loaded.regions))
        output.data(f"{summary['file']}: {output.paint('in order', 'green', stream=output.stdout)}")
        output.data(f"  regions  {regions}")
        output.data(f"  policy   {summary['regimes']} regimes, digest {loaded.bundle.digest}")
        output.data(f"  events   {summary['events']}")
    return CLEAN
