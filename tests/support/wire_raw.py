"""The wire engine asked by bare HTTP/2, through another implementation's client."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import MethodKind
from support.wire_server import EngineThread, ScriptedService, answer_all

UNARY, STREAM = "/test.Echo/Unary", "/test.Echo/Stream"
METHODS = {UNARY: MethodKind.UNARY, STREAM: MethodKind.STREAM}


class Raw:
    """A client of bare HTTP/2."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(address.removeprefix("unix:"))
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        self.h2.initiate_connection()
        self.events: list[object] = []

    def ask(self, *pieces: bytes, path: str = UNARY, method: str = "POST", end: bool = True, **more: str) -> int:
        """Send a request; return its stream."""
        stream_id = self.say(*pieces, path=path, method=method, end=end, **more)
        self.socket.sendall(self.h2.data_to_send())
        return stream_id

    def say(self, *pieces: bytes, path: str, method: str = "POST", end: bool, **more: str) -> int:
        """Put a request together, to be sent with what follows."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = {
            ":method": method,
            ":scheme": "http",
            ":path": path,
            ":authority": "a",
            "content-type": "application/grpc",
        }
        self.h2.send_headers(stream_id, [*(fields | {k.replace("_", "-"): v for k, v in more.items()}).items()])
        for piece in pieces:
            self.h2.send_data(stream_id, piece)
        if end:
            self.h2.end_stream(stream_id)
        return stream_id

    def response(self, stream_id: int) -> tuple[dict[bytes, bytes], bytes]:
        """Return all fields and the body of a response, once it has ended."""
        while True:
            mine = [e for e in self.events if getattr(e, "stream_id", None) == stream_id]
            if any(isinstance(e, h2.events.StreamEnded | h2.events.StreamReset) for e in mine):
                break
            received = self.socket.recv(65_536)
            assert received, "the connection was closed"
            self.events += self.h2.receive_data(received)
            self.socket.sendall(self.h2.data_to_send())
        fields: dict[bytes, bytes] = {}
        for event in mine:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                fields |= dict(event.headers)
        return fields, b"".join(e.data for e in mine if isinstance(e, h2.events.DataReceived))


@contextlib.contextmanager
def asked(directory: Path, service: ScriptedService | None = None, **bounds: int) -> Iterator[tuple[Raw, EngineThread]]:
    options = ServerOptions(listen=(UnixListen(directory / "s.sock"),), **bounds)
    thread = EngineThread(options, [service or ScriptedService(METHODS, answer_all)], "wire").start()
    client = Raw(thread.engine.addresses[0])
    try:
        yield client, thread
    finally:
        client.socket.close()
        thread.close()
