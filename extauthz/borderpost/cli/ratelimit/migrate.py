"""`borderpost ratelimit migrate`: from envoyproxy/ratelimit's settings to our section `limiter`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost_base.errors import BorderpostError, Place, Problems

if TYPE_CHECKING:
    from borderpost.cli.ratelimit.counterparts import Migration
    from borderpost.cli.ratelimit.their_settings import Settings

_HEADER = "From envoyproxy/ratelimit's settings, by `borderpost ratelimit migrate`."


def configure_migrate(parser: argparse.ArgumentParser) -> None:
    """Write the section `limiter` that does what envoyproxy/ratelimit's settings say, and tell what has no counterpart.

    Settings are read from environment files, Compose files and Kubernetes manifests, or with `--environment` from the
    environment. The configuration goes to standard output, what became of each setting to standard error. Limits files
    are used as they are. Passwords are never printed: with `--secrets` they are written into files of that folder.
    Exit 0: all settings have a counterpart. Exit 1: some have none. Exit 2: something could not be read.
    """
    parser.add_argument(
        "sources", nargs="*", type=Path, metavar="FILE", help="environment files, Compose files, Kubernetes manifests"
    )
    parser.add_argument("--environment", action="store_true", help="read this command's environment too")
    parser.add_argument("--container", metavar="NAME", help="the Compose service or container, where there are several")
    parser.add_argument("--limits", metavar="DIR", help="the folder of the limits files, where it is another here")
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="write passwords into files of this folder (0600)")
    add_json(parser)


def run_migrate(arguments: argparse.Namespace, output: Output) -> int:
    """Migrate the settings."""
    from borderpost.cli.ratelimit.counterparts import Fate, migrate

    settings = _settings(arguments)
    folder = "secrets" if arguments.secrets is None else str(arguments.secrets)
    migration = migrate(settings, limits=arguments.limits, secrets_folder=folder)
    if migration.errors:
        raise Problems(migration.errors)
    _check(migration)
    if arguments.secrets is not None:
        for path, password in migration.passwords.items():
            if password is not None:
                _write_password(Path(path), password)
    _print(migration, arguments.secrets is not None, output)
    return FINDINGS if any(told.fate is Fate.NONE for told in migration.told) else CLEAN


def _settings(arguments: argparse.Namespace) -> Settings:
    from borderpost.cli.ratelimit.counterparts import known_settings
    from borderpost.cli.ratelimit.their_settings import Given, read_settings

    if not arguments.sources and not arguments.environment:
        raise BorderpostError("BP0004", "name a file, or say `--environment`", place=Place("FILE"))
    settings = read_settings(arguments.sources, arguments.container)
    if arguments.environment:
        known = known_settings()
        settings |= {name: Given(text, Place(name)) for name, text in os.environ.items() if name in known}
    return settings


def _check(migration: Migration) -> None:
    """Hold the result against the schema. Raises Problems: a value that envoyproxy/ratelimit takes may be none here."""
    from borderpost.config.limiter import LimiterConfig
    from borderpost_base.strict import validate
    from borderpost_base.yaml_source import YamlDocument

    validate(LimiterConfig, YamlDocument("what it comes to", migration.config))


def _write_password(path: Path, password: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(password)
    except OSError as error:
        raise BorderpostError("BP1619", f"{path}: {error.strerror}", place=Place(str(path))) from error


def _print(migration: Migration, written: bool, output: Output) -> None:
    from borderpost_envoy.text import yaml_text

    passwords = {path: written and password is not None for path, password in migration.passwords.items()}
    if output.as_json:
        told = [{"setting": each.setting, "fate": each.fate.value, "note": each.note} for each in migration.told]
        output.result({"config": migration.config, "settings": told, "password_files": passwords})
        return
    output.data(yaml_text(migration.config, header=_HEADER, reasons=migration.comments).rstrip())
    width = max((len(each.setting) for each in migration.told), default=0)
    colours = {"taken": "green", "so anyway": "green", "otherwise": "yellow", "none": "red"}
    for each in migration.told:
        fate = output.paint(f"{each.fate.value:9}", colours[each.fate.value])
        output.note(f"{each.setting:{width}}  {fate}  {each.note}")
    for path, done in passwords.items():
        output.note(f"{path}: {'written' if done else 'put the password here, readable by the limiter alone'}")
