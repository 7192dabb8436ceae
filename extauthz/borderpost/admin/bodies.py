"""Reading a request's body whole, in bounds of length and time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request


async def read_body(request: Request, *, bytes_max: int, within_s: float) -> bytes | int:
    """Return the body, or the status that says why not: 408 where it did not arrive in time, 413 as soon as it is
    longer than it may be."""
    try:
        raw = await asyncio.wait_for(_gather(request, bytes_max), within_s)
    except (TimeoutError, ClientDisconnect):
        return 408
    return 413 if raw is None else raw


async def _gather(request: Request, bytes_max: int) -> bytes | None:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > bytes_max:
            return None
    return bytes(raw)
