"""Make the JSON Schemas of the configuration, of policy packs and of events files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

from borderpost.cli.schema import KINDS, schema_of

FOLDER = Path("docs/reference/schema")


def generate(root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}; `root` is not looked at."""
    return {
        FOLDER / f"{kind}.schema.json": (json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n").encode()
        for kind in KINDS
    }
