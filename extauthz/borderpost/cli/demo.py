"""Show it all on a real Envoy: five regions, requests from many countries, failover, spoofs, a log tampered with.

Ends by itself; exit 0 only if everything came true. With --live the stage is left running, with the curl lines to try.
With --istio the real istiod configures Envoy as an ingress gateway, from what `borderpost render istio` writes.
"""

from __future__ import annotations

import argparse

from borderpost.cli.options import add_json
from borderpost.cli.output import Output


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--live", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument(
        "--istio", action="store_true", help="have Istio's control plane configure Envoy (needs Go the first time)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the demo."""
    from borderpost.demo import run as run_demo

    return run_demo(output, live=arguments.live, istio=arguments.istio)
