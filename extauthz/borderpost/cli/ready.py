"""Ask a running gateway whether it is ready: the health check of a container, without curl.

Warnings, such as of a change that was refused, are told and do not make it unready. Exit 0: ready. Exit 1: it answers
that it is not. Exit 2: it does not answer.
"""

from __future__ import annotations

import argparse
import http.client
import json

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost.config.secrets import read_token
from borderpost_base.errors import BorderpostError, Place

_TIMEOUT_S = 3.0
_BODY_BYTES_MAX = 256 << 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--live", action="store_true", help="ask only whether the steward lives")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the admin server that the configuration names."""
    admin = load(arguments).config.admin
    path = "/livez" if arguments.live else "/readyz"
    token = read_token(admin.token_file, "BP0506") if admin.token_file is not None else None
    status, body = _ask(admin.host, admin.port, f"{path}?verbose" if output.as_json else path, token)
    if output.as_json:
        output.result({"path": path, "status": status, "ready": status == 200, "checks": _checks(body)})
    else:
        output.data(body.strip() or str(status))
    return CLEAN if status == 200 else FINDINGS


def _checks(body: str) -> list[dict[str, str]]:
    """Return the single checks, of an answer that has them."""
    try:
        told = json.loads(body)
    except ValueError:
        return []
    return list(told["checks"]) if isinstance(told, dict) else []


def _ask(host: str, port: int, path: str, token: bytes | None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Authorization": b"Bearer " + token} if token else {})
        response = connection.getresponse()
        return response.status, response.read(_BODY_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise BorderpostError("BP0005", str(error), place=Place(f"{host}:{port}{path}")) from error
    finally:
        connection.close()
