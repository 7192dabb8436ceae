"""Inference servers of several regions, in one thread: each answers a chat completion and names itself.

They are small on purpose: what matters is that each counts what reached it, can be taken away, and can be
told to answer badly.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

HEALTH_PATH = "/health"
_KEPT_REQUESTS_MAX = 10_000
_HEAD_BYTES_MAX = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a region answers inference requests. Health checks are answered 200 whatever this says."""

    status: int = 200
    delay_s: float = 0.0
    reset: bool = False
    """Close the connection without a response."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further response headers, such as a `location`."""
    events: bool = False
    """Stream the completion as server-sent events, with what was used in the last one."""
    healthy: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it reached a region."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in order, repeated ones apart."""
    body: bytes


@dataclass(slots=True)
class RegionServer:
    """One region's server. Its fields belong to the thread that runs the servers."""

    region: str
    port: int
    behaviour: Behaviour = field(default_factory=Behaviour)
    count: int = 0
    """Inference requests that reached it, health checks not counted."""
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=_KEPT_REQUESTS_MAX))
    listener: asyncio.Server | None = None
    connections: set[asyncio.Task[None]] = field(default_factory=set)


class RegionServers:
    """All regions' servers, used as a context."""

    def __init__(self, regions: Iterable[str]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="regions", daemon=True)
        self._thread.start()
        self._servers = {region: RegionServer(region, 0) for region in regions}
        for region in self._servers:
            self.revive(region)

    def __getitem__(self, region: str) -> RegionServer:
        return self._servers[region]

    def __enter__(self) -> RegionServers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ports(self) -> dict[str, int]:
        """Each region's TCP port on loopback; it stays the same over kill and revive."""
        return {region: server.port for region, server in self._servers.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Inference requests that reached each region so far."""
        return {region: server.count for region, server in self._servers.items()}

    def behave(self, region: str, behaviour: Behaviour) -> None:
        """Set how the region answers from now on."""
        self._servers[region].behaviour = behaviour

    def forget(self) -> None:
        """Set every count to 0 and drop what was seen."""

        def clear() -> None:
            for server in self._servers.values():
                server.count = 0
                server.seen.clear()

        self._call(clear)

    def kill(self, region: str) -> None:
        """Take the region away: it stops listening and its connections are cut."""
        self._run(self._kill(self._servers[region]))

    def revive(self, region: str) -> None:
        """Bring the region (back) to its port."""
        self._run(self._listen(self._servers[region]))

    def close(self) -> None:
        """End all servers and their thread."""
        for region in self._servers:
            self.kill(region)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self._run(call())

    async def _listen(self, server: RegionServer) -> None:
        if server.listener is not None:
            return

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = asyncio.get_running_loop().create_task(_serve(server, reader, writer))
            server.connections.add(connection)
            connection.add_done_callback(server.connections.discard)

        server.listener = await asyncio.start_server(
            accept, "127.0.0.1", server.port, family=socket.AF_INET, limit=_HEAD_BYTES_MAX, backlog=1024
        )
        server.port = server.listener.sockets[0].getsockname()[1]

    async def _kill(self, server: RegionServer) -> None:
        if server.listener is None:
            return
        server.listener.close()
        for connection in server.connections:
            connection.cancel()
        await asyncio.gather(*server.connections, return_exceptions=True)
        server.listener = None


async def _serve(server: RegionServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests of one connection until it ends."""
    try:
        while (request := await _read(reader)) is not None:
            behaviour = server.behaviour
            if request.path.split("?")[0] == HEALTH_PATH:
                writer.write(_response(200 if behaviour.healthy else 503, (), b"ok\n", "text/plain"))
                await writer.drain()
                continue
            server.count += 1
            server.seen.append(request)
            if behaviour.delay_s:
                await asyncio.sleep(behaviour.delay_s)
            if behaviour.reset:
                writer.transport.abort()
                return
            body, kind = _completion(server.region, server.count), "application/json"
            if behaviour.events:
                body, kind = _streamed(body), "text/event-stream"
            writer.write(_response(behaviour.status, behaviour.headers, body, kind))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        writer.transport.abort()  # the peer, or kill(), ended the connection
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    """Read one request, None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    by_name = dict(headers)
    if "chunked" in by_name.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(by_name.get("content-length", "0")))
    return Seen(method, path, headers, body)


def _completion(region: str, number: int) -> bytes:
    """Return a body in the shape of OpenAI's chat completions."""
    return json.dumps(
        {
            "id": f"chatcmpl-{region}-{number}",
            "object": "chat.completion",
            "created": 0,
            "model": "example-7b",
            "system_fingerprint": region,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": f"Served in {region}."},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
        }
    ).encode()


def _streamed(completion: bytes) -> bytes:
    """Return a completion as OpenAI's chat completions stream it with `include_usage`, in one piece of text."""
    whole = json.loads(completion)
    text = {"choices": [{"index": 0, "delta": whole["choices"][0]["message"]}], "usage": None}
    used = {"choices": [], "usage": whole["usage"]}
    events = [json.dumps({**whole, "object": "chat.completion.chunk", **part}) for part in (text, used)]
    return "".join(f"data: {event}\n\n" for event in (*events, "[DONE]")).encode()


def _response(status: int, headers: Iterable[tuple[str, str]], body: bytes, kind: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Status",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
