"""Reading the part of a configuration file that a limiter needs which runs alone.

The file may be a gateway's whole configuration: sections that are not the limiter's are passed over, as are their
variables. What is no section at all is refused, with the nearest name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost.config.limiter import LimiterConfig
from borderpost.config.reading import read_model
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.variables import PREFIX
from borderpost_base.yaml_source import YamlDocument, load_yaml_file


def read_limiter(
    path: Path | None, overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> LimiterConfig:
    """Return the configuration of a limiter that runs alone; without a path, its defaults and what lies over them.

    Relative paths are resolved against the file's folder, or this process's. Raises BorderpostError where the file
    cannot be read or parsed, else Problems.
    """
    given = dict(os.environ if environ is None else environ)
    document = YamlDocument("defaults", {}) if path is None else load_yaml_file(path)
    own = set(LimiterConfig.model_fields)
    others = {str(key) for key in document.data or {}} if isinstance(document.data, dict) else set()
    named = {name.removeprefix(PREFIX).split("__")[0].lower() for name in given if name.startswith(PREFIX)}
    if (others | named) - own:
        passed_over = _sections() - own
        if isinstance(document.data, dict):
            document.data = {key: value for key, value in document.data.items() if key not in passed_over}
        given = {name: value for name, value in given.items() if _section_of(name) not in passed_over}
    base = Path.cwd() if path is None else path.absolute().parent
    try:
        config, problems = read_model(LimiterConfig, document, base, overrides, given, fill=_stand_alone)
    except Problems as found:
        raise Problems([_plain(error) for error in found.errors]) from found
    if problems:
        raise Problems(problems)
    return config


def _stand_alone(data: Any) -> None:
    """Put in the defaults of a limiter that runs alone: on the network, with endpoints of its own."""
    limiter = data.get("limiter") if isinstance(data, dict) else None
    if not isinstance(limiter, dict):
        return
    if limiter.get("admin") is None:
        limiter["admin"] = {}
    server = limiter.get("server")
    if server is None:
        server = limiter["server"] = {}
    if isinstance(server, dict):
        server.setdefault("listen", "tcp")


def _plain(error: BorderpostError) -> BorderpostError:
    """Say that limits are missing in words that do not suppose a file."""
    if error.code == "BP0103" and error.place.key in (None, "limiter", "limiter.limits"):
        return BorderpostError("BP1650", error.detail, place=error.place)
    return error


def _sections() -> set[str]:
    """Return the names of a gateway's sections; its model is loaded only where a file or a variable calls for it."""
    from borderpost.config.model import Config

    return set(Config.model_fields)


def _section_of(variable: str) -> str:
    return variable.removeprefix(PREFIX).split("__")[0].lower() if variable.startswith(PREFIX) else ""
