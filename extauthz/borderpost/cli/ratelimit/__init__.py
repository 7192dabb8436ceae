"""The rate-limit service: check limits files, explain what a descriptor meets, take over from envoyproxy/ratelimit.

Exit 0: in order. Exit 1: findings. Exit 2: it could not be done.
"""

from __future__ import annotations

import argparse

from borderpost.cli.actions import Actions, configure_actions, run_action
from borderpost.cli.output import Output

ACTIONS: Actions = {
    "serve": ("serve", "run the rate-limit service by itself"),
    "check": ("check", "say what is wrong with limits files, and what will never be met"),
    "migrate": ("migrate", "write the configuration that envoyproxy/ratelimit's settings come to"),
    "explain": ("explain", "say which rule a descriptor meets and why, and what is left of its limits"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their arguments."""
    configure_actions(parser, __name__, ACTIONS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what was asked for."""
    return run_action("ratelimit", arguments, output)
