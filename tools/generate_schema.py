"""Make the JSON Schemas of every kind of file, for editors."""

from __future__ import annotations

from pathlib import Path

from borderpost.cli.file_kinds import KINDS
from borderpost.cli.schema import schema_text

FOLDER = Path("docs/reference/schema")


def generate(root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}; `root` is not looked at."""
    return {FOLDER / f"{kind}.schema.json": schema_text(kind).encode() for kind in KINDS}
