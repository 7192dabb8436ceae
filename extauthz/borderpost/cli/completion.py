"""Print a completion script for bash, zsh or tcsh.

For bash, once:

    borderpost completion bash > ~/.local/share/bash-completion/completions/borderpost
"""

from __future__ import annotations

import argparse

from borderpost.cli.output import CLEAN, Output

SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete in")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the script."""
    import shtab

    output.data(shtab.complete(whole_parser(), shell=arguments.shell))
    return CLEAN


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser that knows every command with all its options."""
    from borderpost.cli.main import COMMANDS, PROGRAM, build_command

    parser = argparse.ArgumentParser(prog=PROGRAM)
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers()
    for name, (_module, line) in COMMANDS.items():
        known, _command = build_command(name)
        commands.add_parser(name, help=line, parents=[known], add_help=False, conflict_handler="resolve")
    return parser
