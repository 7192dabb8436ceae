"""Explain an error code, or list what this version knows: errors, limits, metrics, environment variables."""

from __future__ import annotations

import argparse
import difflib
from typing import Any

from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import ERRORS, BorderpostError

_LISTS = ("errors", "limits", "metrics", "variables")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", nargs="?", metavar="CODE", help="an error code, such as BP0102")
    chosen = parser.add_mutually_exclusive_group()
    for name in _LISTS:
        chosen.add_argument(
            f"--{name}", dest="listed", action="store_const", const=name, help=f"list every {_singular(name)}"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print what was asked for; without an argument, the overview of commands."""
    if arguments.code:
        _explain_code(arguments.code.upper(), output)
    elif arguments.listed:
        headings, rows = listing(arguments.listed)
        if output.as_json:
            output.result({arguments.listed: [dict(zip(headings, row, strict=True)) for row in rows]})
        else:
            output.table(headings, [[str(cell) for cell in row] for row in rows])
    else:
        from borderpost.cli.main import overview_parser

        output.data(overview_parser().format_help().rstrip())
    return CLEAN


def _singular(name: str) -> str:
    return name.removesuffix("s")


def _explain_code(code: str, output: Output) -> None:
    spec = ERRORS.get(code)
    if spec is None:
        near = difflib.get_close_matches(code, ERRORS, n=1)
        mend = f"did you mean `{near[0]}`? `borderpost help --errors` lists all" if near else None
        raise BorderpostError("BP0002", f"`{code}` is not registered", mend=mend)
    if output.as_json:
        output.result({"code": spec.code, "title": spec.title, "cause": spec.cause, "mend": spec.mend})
        return
    output.data(f"{spec.code}: {spec.title}\n\n{spec.cause}\n\nhint: {spec.mend}")


def listing(name: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the headings and rows of one registry: `errors`, `limits`, `metrics` or `variables`."""
    if name == "errors":
        return ("code", "title", "mend"), [(spec.code, spec.title, spec.mend) for spec in ERRORS.values()]
    if name == "limits":
        from borderpost_base.limits import LIMITS

        return ("name", "value", "unit", "reason"), [(x.name, x.value, x.unit, x.reason) for x in LIMITS.values()]
    if name == "metrics":
        from borderpost_base.metrics import METRICS

        return ("name", "kind", "labels", "owner", "help"), [
            (spec.name, spec.kind, ",".join(spec.labels), spec.owner, spec.help) for spec in METRICS.values()
        ]
    from borderpost.config.model import variables

    return ("variable", "meaning"), list(variables())
