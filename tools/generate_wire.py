"""Fill the parts of wire/README.md that are made from the source: its state table, its limits, its options.

A part stands between `<!-- made from NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

from borderpost_wire.h2.states import as_markdown

PAGE = Path("wire/README.md")
PACKAGE = Path("wire/borderpost_wire")
_PART = re.compile(r"(<!-- made from ([\w/.: ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generate(root: Path) -> dict[Path, bytes]:
    """Return the page with its parts brought up to date: {path relative to the repository: content}.

    Raises KeyError for a part that nothing makes.
    """
    parts: dict[str, Callable[[], str]] = {
        "h2/states.py": as_markdown,
        "h2/limits.py": lambda: _fields(root / PACKAGE / "h2/limits.py", "Limits"),
        "options.py": lambda: _fields(root / PACKAGE / "options.py", "ServerOptions"),
    }
    page = (root / PAGE).read_text(encoding="utf-8")
    return {PAGE: _PART.sub(lambda found: f"{found[1]}{parts[found[2]]()}{found[3]}", page).encode()}


def _fields(source: Path, name: str) -> str:
    """Return a table of a dataclass's fields that have a default, with their docstrings."""
    (found,) = (
        node for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )  # fmt: skip
    rows = ["| name | default | what it bounds, and why |", "|---|---|---|"]
    for field, told in zip(found.body, found.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and field.value is not None and isinstance(told, ast.Expr):
            value = eval(ast.unparse(field.value), {})  # a number
            assert isinstance(told.value, ast.Constant)
            rows.append(f"| `{ast.unparse(field.target)}` | {value:,} | {' '.join(str(told.value.value).split())} |")
    return "\n".join(rows) + "\n"
