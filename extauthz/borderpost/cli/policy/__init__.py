"""Law as code: prove, compare, test, export and check a policy before any traffic meets it.

Each action reads a configuration (`--config`, as `serve` does) with its packs and events, and touches nothing that
runs. Exit 0: in order. Exit 1: findings. Exit 2: it could not be done.
"""

from __future__ import annotations

import argparse
import importlib
import inspect

from borderpost.cli.output import COULD_NOT_RUN, Output

ACTIONS: dict[str, tuple[str, str]] = {
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
"""Each action: the module of this package that holds `configure_NAME` and `run_NAME`, and its line in the overview."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    for name, (module_name, line) in ACTIONS.items():
        module = importlib.import_module(f"{__name__}.{module_name}")
        configured = getattr(module, f"configure_{name}")
        known = actions.add_parser(
            name,
            help=line,
            description=inspect.cleandoc(configured.__doc__ or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        configured(known)
        known.set_defaults(handler=getattr(module, f"run_{name}"))
    parser.set_defaults(overview=parser.format_help)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what was asked for."""
    if arguments.action is None:
        output.note(arguments.overview().rstrip())
        return COULD_NOT_RUN
    output.command = f"policy {arguments.action}"
    code: int = arguments.handler(arguments, output)
    return code
