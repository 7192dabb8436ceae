"""Print the JSON Schema of the configuration, of a policy pack, of an events file, or of what is signed, for editors.

For editors that speak the YAML language server:

    borderpost schema > borderpost.schema.json
    # first line of borderpost.yaml:
    # yaml-language-server: $schema=borderpost.schema.json
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from borderpost.cli.file_kinds import KINDS
from borderpost.cli.output import CLEAN, Output


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--of", choices=tuple(KINDS), default="config", help="which file (default: config)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the schema."""
    output.data(json.dumps(schema_of(arguments.of), indent=2, ensure_ascii=False))
    return CLEAN


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one kind of file."""
    return KINDS[kind].schema()
