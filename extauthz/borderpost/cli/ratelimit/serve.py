"""`borderpost ratelimit serve`: the rate-limit service by itself."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from borderpost.cli.options import overrides_of
from borderpost.cli.output import Output
from borderpost_base.errors import BorderpostError, Place


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Run the rate-limit service by itself: it needs limits files, and no law.

    Envoy asks it on port 8081 of loopback, people and probes on port 8080, as they ask envoyproxy/ratelimit; with
    `--listen` or the section `limiter` of a configuration file somewhere else. Changed limits files are taken as soon
    as they lie there, or at SIGHUP. It runs until SIGTERM or SIGINT, and answers on for `limiter.server.drain_s`
    seconds while health checks say that it ends.
    """
    parser.add_argument(
        "--limits", action="append", default=[], type=Path, metavar="DIR",
        help="limits files, or a folder of them; may be repeated (default: `limiter.limits` of the configuration)",
    )  # fmt: skip
    parser.add_argument(
        "--listen", metavar="ADDRESS", help="where Envoy asks: HOST:PORT, or unix:/PATH (default: 127.0.0.1:8081)"
    )
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE",
        help="a configuration file, of which the sections `limiter`, `audit` and `logs` are read"
        " (default: $BORDERPOST_CONFIG, else defaults)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="set one key over file and variables, such as limiter.shadow=true; may be repeated",
    )  # fmt: skip


def run_serve(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until told to stop."""
    from borderpost.config.limiter_file import read_limiter
    from borderpost.limiter.running import run_limiter
    from borderpost_base.metrics import limiter_metrics

    named = arguments.config or os.environ.get("BORDERPOST_CONFIG")
    overrides = {**_short(arguments.limits, arguments.listen), **overrides_of(arguments)}
    config = read_limiter(Path(named) if named else None, overrides)
    config.logs.apply("limiter")
    return run_limiter(config, limiter_metrics())


def _short(limits: list[Path], listen: str | None) -> dict[str, str]:
    """Return what the short options stand for: keys and YAML texts, as `--set` gives them."""
    said = {}
    if limits:
        said["limiter.limits"] = orjson.dumps([str(path.absolute()) for path in limits]).decode()
    if listen is not None and listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:")).absolute()
        said |= {"limiter.server.listen": "unix", "limiter.server.socket": orjson.dumps(str(path)).decode()}
    elif listen is not None:
        host, port = _address(listen)
        said |= {"limiter.server.listen": "tcp", "limiter.server.host": orjson.dumps(host).decode()}
        said["limiter.server.port"] = str(port)
    return said


def _address(listen: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path or parts.query:
        raise BorderpostError("BP0004", f"`{listen}` is neither HOST:PORT nor unix:/PATH", place=Place("--listen"))
    return host, port
