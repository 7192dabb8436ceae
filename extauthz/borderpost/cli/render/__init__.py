"""Write configuration that cannot leak: of a plain Envoy, an Istio ingress gateway, or a Gateway of Envoy
Gateway.

What the configuration knows is taken from it, so that what is rendered and Borderpost cannot disagree.
"""

from __future__ import annotations

import argparse

from borderpost.cli.actions import Actions, configure_actions, run_action
from borderpost.cli.output import Output

ACTIONS: Actions = {
    "envoy": ("envoy", "the whole bootstrap of an Envoy"),
    "envoy-gateway": ("envoy_gateway", "the objects of Kubernetes that make a Gateway of Envoy Gateway ask Borderpost"),
    "istio": ("istio", "the objects of Kubernetes that make an Istio ingress gateway ask Borderpost"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what can be rendered, with its arguments."""
    configure_actions(parser, __name__, ACTIONS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Render what was asked for."""
    return run_action("render", arguments, output)
