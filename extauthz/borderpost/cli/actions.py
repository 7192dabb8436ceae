"""Commands that are a folder of actions, such as `borderpost events sign`: each action is a module of the folder."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Mapping

from borderpost.cli.output import COULD_NOT_RUN, Output

Actions = Mapping[str, tuple[str, str]]
"""Each action: the module of the package that holds `configure_NAME` and `run_NAME` (with `_` for `-`), and its line
in the overview."""


def configure_actions(parser: argparse.ArgumentParser, package: str, actions: Actions) -> None:
    """Add the actions of a package with their arguments."""
    known = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    for name, (module_name, line) in actions.items():
        module = importlib.import_module(f"{package}.{module_name}")
        suffix = name.replace("-", "_")
        configured = getattr(module, f"configure_{suffix}")
        action = known.add_parser(
            name,
            help=line,
            description=inspect.cleandoc(configured.__doc__ or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        configured(action)
        action.set_defaults(handler=getattr(module, f"run_{suffix}"))
    parser.set_defaults(overview=parser.format_help)


def run_action(command: str, arguments: argparse.Namespace, output: Output) -> int:
    """Do what was asked for; without an action print the overview."""
    if arguments.action is None:
        output.note(arguments.overview().rstrip())
        return COULD_NOT_RUN
    output.command = f"{command} {arguments.action}"
    code: int = arguments.handler(arguments, output)
    return code
