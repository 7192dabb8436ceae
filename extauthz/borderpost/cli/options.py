"""Options that several commands share, and the configuration loaded by them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded

CONFIG_DEFAULT = "borderpost.yaml"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document with a schema_version")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--set`."""
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE",
        help=f"the configuration file (default: $BORDERPOST_CONFIG, else {CONFIG_DEFAULT})",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="set one key over file and variables, such as server.workers=2; may be repeated",
    )  # fmt: skip


def config_path(arguments: argparse.Namespace) -> Path:
    """Return the path of the configuration file."""
    given: Path | None = arguments.config
    return given if given is not None else Path(os.environ.get("BORDERPOST_CONFIG") or CONFIG_DEFAULT)


def overrides_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what `--set` gave as key to value. Raises BorderpostError BP0004."""
    return dict(pairs("--set", arguments.overrides))


def pairs(option: str, given: Iterable[str]) -> list[tuple[str, str]]:
    """Return the parts of each `NAME=VALUE` given to an option. Raises BorderpostError BP0004 for another form."""
    found = []
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BorderpostError("BP0004", f"`{text}` is not NAME=VALUE", place=Place(option))
        found.append((name, value))
    return found


def load(arguments: argparse.Namespace) -> Loaded:
    """Load the configuration that the arguments name. Raises BorderpostError or Problems."""
    from borderpost.config.load import load_config

    return load_config(config_path(arguments), overrides_of(arguments))
