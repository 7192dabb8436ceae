"""Run the gateway's decision service: the steward, and under it the workers that Envoy asks.

It runs until SIGTERM or SIGINT, then drains: workers go on answering for `server.drain_s` seconds. Law, events and
GeoIP data older than what the audit log has seen are not taken; `--accept-older` is for going back on purpose.
"""

from __future__ import annotations

import argparse

from borderpost.cli.options import add_config, config_path, overrides_of
from borderpost.cli.output import Output


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--accept-older",
        action="store_true",
        help="begin with the packs, events and GeoIP database as configured, even if the audit log has seen newer ones",
    )
    add_config(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until told to stop."""
    from borderpost.steward import serve

    return serve(config_path(arguments), overrides_of(arguments), accept_older=arguments.accept_older)
