"""Asking an ASGI application without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit


async def ask(
    app: Any, url: str, *, method: str = "GET", body: Iterable[bytes] = (), headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request, its body piece by piece, and return status and body of the answer."""
    parts = urlsplit(url)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 80),
    }
    pieces = list(body)
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0) if pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    status = next(message["status"] for message in told if message["type"] == "http.response.start")
    return status, b"".join(message.get("body", b"") for message in told if message["type"] == "http.response.body")


def asked(app: Any, url: str, **how: Any) -> tuple[int, bytes]:
    """Ask from outside of any loop."""
    return asyncio.run(ask(app, url, **how))


async def no_metrics() -> bytes:
    """Return a text of metrics, for applications of which something else is tried."""
    return b"metrics"
