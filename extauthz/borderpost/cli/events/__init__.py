"""Legal events: write, sign and apply them, and see what is in force.

A signed list is where the law of a gateway changes between two versions of a pack. What narrows takes one signature,
what widens two of different people. Which list and whose signatures: `events.file` (or `events.redis`) and
`events.signers` of the configuration, unless --list, --redis and --signer say otherwise.

Exit 0: done, or in order. Exit 1: the list has a fault, or `exposure` found decisions. Exit 3: law is withheld: the
list is shorter or other than its heartbeat says. Exit 4: the heartbeat is missing or older than --max-age. Exit 2: it
could not be done.
"""

from __future__ import annotations

import argparse

from borderpost.cli.actions import Actions, configure_actions, run_action
from borderpost.cli.output import Output

ACTIONS: Actions = {
    "keygen": ("keys", "make a signer's pair of keys"),
    "sign": ("signing", "sign an event or trigger, and say in words what it would do"),
    "apply": ("applying", "check signed files and append them to the list"),
    "approve": ("applying", "sign an event that is in the list: the second signature of what widens"),
    "drill": ("applying", "sign and append an event that is weighed in shadow only"),
    "list": ("reading", "show every event and what has become of it"),
    "verify": ("reading", "check the list: chain, signatures, heartbeat"),
    "heartbeat": ("applying", "sign that the list is whole as it is now"),
    "fired": ("fired", "show what triggers have fired on a gateway, and write it down for the list"),
    "exposure": ("exposure", "show what was decided without an event that held"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their arguments."""
    configure_actions(parser, __name__, ACTIONS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what was asked for."""
    return run_action("events", arguments, output)
