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

from borderpost.cli.output import CLEAN, Output

KINDS = {
    "config": "Borderpost configuration",
    "pack": "Borderpost policy pack",
    "events": "Borderpost legal events",
    "event": "Borderpost legal event, to be signed",
    "trigger": "Borderpost trigger, to be signed",
}
"""What a schema can be printed of, and its title."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--of", choices=tuple(KINDS), default="config", help="which file (default: config)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the schema."""
    output.data(json.dumps(schema_of(arguments.of), indent=2, ensure_ascii=False))
    return CLEAN


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one kind of file."""
    from pydantic import BaseModel

    from borderpost.config.model import Config
    from borderpost.events.lines import without_ours
    from borderpost.events.triggers import Trigger
    from borderpost.policy.event_schema import EventsFile, LegalEvent
    from borderpost.policy.pack import PolicyPack

    models: dict[str, type[BaseModel]] = {
        "config": Config,
        "pack": PolicyPack,
        "events": EventsFile,
        "event": LegalEvent,
        "trigger": Trigger,
    }
    schema = models[kind].model_json_schema(by_alias=True)
    if kind == "event":
        schema = without_ours(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": KINDS[kind]}
