"""What clients do: one request with exact bytes, and many at once with a tally of what came back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from borderpost.demo.http_client import CHAT_BODY, CHAT_PATH, Header, Reply, request_bytes, send

__all__ = ["CHAT_BODY", "CHAT_PATH", "Header", "Observed", "Reply", "region_of", "run_load", "send"]


def region_of(reply: Reply) -> str | None:
    """Return the region that names itself in the body, None if no region answered."""
    try:
        body = json.loads(reply.body)
    except ValueError:
        return None
    return body.get("system_fingerprint") if isinstance(body, dict) else None


@dataclass
class Observed:
    """What a load brought back."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Responses by status; 0 stands for a connection that ended without one."""
    regions: Counter[str] = field(default_factory=Counter)
    """Responses by the region that served them, as the body says."""
    decisions: list[tuple[str, str | None, int]] = field(default_factory=list)
    """Decision id, region and status of each response that carries a decision id."""

    def add(self, status: int, region: str | None, decision: str | None) -> None:
        """Count one response."""
        self.statuses[status] += 1
        if region is not None:
            self.regions[region] += 1
        if decision is not None:
            self.decisions.append((decision, region, status))


def run_load(
    port: int,
    *,
    concurrency: int,
    count: int = 0,
    seconds: float = 0.0,
    headers: Callable[[int], Iterable[Header]] = lambda _number: (),
    during: Callable[[], None] | None = None,
    timeout_s: float = 10.0,
    pause_s: float = 0.0,
) -> Observed:
    """Send `count` requests, or for `seconds`, over that many kept connections; `during` runs meanwhile in a thread.

    `headers(number)` gives the headers of each request. Without a count or seconds the load ends with `during`. Each
    connection waits `pause_s` between an answer and its next request.
    """
    assert count or seconds or during is not None, "an unbounded load"
    return asyncio.run(_load(port, concurrency, count, seconds, headers, during, timeout_s, pause_s))


async def _load(
    port: int,
    concurrency: int,
    count: int,
    seconds: float,
    headers: Callable[[int], Iterable[Header]],
    during: Callable[[], None] | None,
    timeout_s: float,
    pause_s: float,
) -> Observed:
    observed = Observed()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds if seconds else None
    numbers = iter(range(count)) if count else iter(range(1 << 62))
    acting = asyncio.ensure_future(asyncio.to_thread(during)) if during is not None else None
    lasts_as_long = not count and not seconds

    async def connection() -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        try:
            for number in numbers:
                if end is not None and loop.time() > end:
                    break
                if lasts_as_long and acting is not None and acting.done():
                    break
                try:
                    async with asyncio.timeout(timeout_s):
                        if writer is None:
                            reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        assert reader is not None
                        writer.write(request_bytes("POST", CHAT_PATH, headers(number), CHAT_BODY))
                        if not await _read_one(reader, observed):
                            writer.close()
                            writer = None
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    observed.add(0, None, None)
                    if writer is not None:
                        writer.transport.abort()
                    writer = None
                if pause_s:
                    await asyncio.sleep(pause_s)
        finally:
            if writer is not None:
                writer.transport.abort()

    work: list[asyncio.Future[None] | asyncio.Task[None]] = [
        asyncio.ensure_future(connection()) for _ in range(concurrency)
    ]
    if acting is not None:
        work.append(acting)
    try:
        await asyncio.gather(*work)
    finally:
        for unfinished in work:
            unfinished.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    return observed


async def _read_one(reader: asyncio.StreamReader, observed: Observed) -> bool:
    """Count one response; return whether the connection may carry another."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split(" ", 2)[1])
    body = await _read_body(reader, headers)
    reply = Reply(status, tuple(headers.items()), body, 0)
    observed.add(status, region_of(reply), headers.get("x-borderpost-decision"))
    return headers.get("connection", "").lower() != "close"


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces: Sequence[bytes] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces = [*pieces, (await reader.readexactly(size + 2))[:-2]]
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)
