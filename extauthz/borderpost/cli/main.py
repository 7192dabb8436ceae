"""The console script `borderpost`: finds the command, runs it, and turns whatever happens into an exit code.

A command is a module of this package, named in `COMMANDS`, with `configure(parser)` and `run(arguments, output)`.
Only the module of the command that was asked for is imported, so that `borderpost --version` is instant and
nothing drags in what it does not need.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn, Protocol

from borderpost.cli.output import COULD_NOT_RUN, Output, errors_of
from borderpost.version import __version__
from borderpost_base.errors import BorderpostError, Problems

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("borderpost.cli.serve", "run the gateway's decision service"),
    "check-config": ("borderpost.cli.check_config", "say what is wrong with a configuration"),
    "explain": ("borderpost.cli.explain", "say what would be, or was, decided and why"),
    "events": ("borderpost.cli.events", "sign legal events, apply them, see what is in force"),
    "policy": ("borderpost.cli.policy", "prove, compare, test, export and check law before traffic"),
    "whatif": ("borderpost.cli.whatif", "say what traffic would lose without a region, an operator or a law"),
    "risk": ("borderpost.cli.risk", "rank workloads by what one single loss would take from them"),
    "shadow-summary": (
        "borderpost.cli.shadow_summary",
        "sum up what observed routes and shadows would have changed",
    ),
    "packs": ("borderpost.cli.packs", "list packs of law with their dates, or show what one says"),
    "counters": ("borderpost.cli.counters", "show what has been counted for laws with a threshold"),
    "verify": ("borderpost.cli.verify", "check an audit log: chain, sequence, completeness"),
    "doctor": ("borderpost.cli.doctor", "find what leaks in Envoy's, Istio's and Kubernetes' configuration"),
    "render": ("borderpost.cli.render", "write the configuration of Envoy or Istio"),
    "ratelimit": ("borderpost.cli.ratelimit", "check and explain limits files, take over from envoyproxy/ratelimit"),
    "demo": ("borderpost.cli.demo", "show it all on a real Envoy"),
    "bench": ("borderpost.cli.bench", "measure it on a real Envoy"),
    "reload": ("borderpost.cli.reload", "have a running gateway take its changed configuration"),
    "ready": ("borderpost.cli.ready", "ask a running gateway whether it is ready"),
    "schema": ("borderpost.cli.schema", "print the JSON Schema of a file, for editors"),
    "completion": ("borderpost.cli.completion", "print a completion script for a shell"),
    "help": ("borderpost.cli.help", "explain an error code, or list errors, limits, metrics, variables"),
}
"""Each command: the module that holds it, and its line in the overview."""

PROGRAM = "borderpost"


class Command(Protocol):
    """What the module of a command offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments; the parser's description is the module's docstring."""
        ...

    def run(self, arguments: argparse.Namespace, output: Output) -> int:
        """Do it; return the exit code. May raise BorderpostError or Problems."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code: 0 clean, 1 findings, 2 could not run."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output(command=PROGRAM, as_json="--json" in words)
    try:
        code = _dispatch(words, output)
        sys.stdout.flush()
        return code
    except (BorderpostError, Problems) as error:
        output.errors(errors_of(error))
        return COULD_NOT_RUN
    except BrokenPipeError:
        return _pipe_closed()
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, a crash must end with exit code 2 and its traceback
        traceback.print_exc(file=sys.stderr)
        output.errors([BorderpostError("BP0001", "an unexpected exception ended the command")])
        return COULD_NOT_RUN


def _dispatch(words: list[str], output: Output) -> int:
    name = next((word for word in words if not word.startswith("-")), None)
    if name in COMMANDS:
        parser, command = build_command(name)
        arguments = parser.parse_args([*words[: words.index(name)], *words[words.index(name) + 1 :]])
        output.command = name
        return command.run(arguments, output)
    overview_parser().parse_args(words)
    overview_parser().print_help()
    return COULD_NOT_RUN if not words else 0


def _pipe_closed() -> int:
    """End quietly when the reader has gone (`| head`); keep the interpreter from complaining at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def overview_parser() -> argparse.ArgumentParser:
    """Return the parser of `borderpost` itself: knows the commands by name and imports none."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name.ljust(width)}  {line}" for name, (_module, line) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [options]",
        description="A border post for AI inference traffic: law first, latency second, every decision on the record.",
        epilog=f"commands:\n{listing}\n\n`{PROGRAM} COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def build_command(name: str) -> tuple[argparse.ArgumentParser, Command]:
    """Import the module of one command; return its parser and itself."""
    module_name, line = COMMANDS[name]
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {name}",
        description=(module.__doc__ or line).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command: Command = module
    command.configure(parser)
    return parser, command


def console() -> NoReturn:
    """Run as the console script."""
    sys.exit(main())
