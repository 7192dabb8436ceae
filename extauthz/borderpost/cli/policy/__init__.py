"""Law as code: prove, compare, test, export and check a policy before any traffic meets it.

Each action reads a configuration (`--config`, as `serve` does) with its packs and events, and touches nothing that
runs. Exit 0: in order. Exit 1: findings. Exit 2: it could not be done.
"""

from __future__ import annotations

import argparse

from borderpost.cli.actions import Actions, configure_actions, run_action
from borderpost.cli.output import Output

ACTIONS: Actions = {
    "prove": ("prove", "hold assertions against everything that the policy tells apart"),
    "diff": ("diff", "say whose data may go where it might not, or no longer, between two versions"),
    "test": ("test", "hold answers against YAML cases, with coverage of rules"),
    "init": ("init", "write a repository for law as code: pack, tests, assertions, checks"),
    "sign": ("sign", "sign a release of a pack, so that gateways take it"),
    "verify": ("sign", "check who signed packs, and that nothing in them was changed since"),
    "fmt": ("fmt", "lay files out in one form, with their comments and their meaning"),
    "check": ("check", "find labelled data in places that the policy forbids, in manifests and plans"),
    "export": ("export", "write the law as a Rego module with tests, for OPA and Conftest"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their arguments."""
    configure_actions(parser, __name__, ACTIONS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what was asked for."""
    return run_action("policy", arguments, output)
