"""An HTTP/2 client on hyper-h2 that sends exactly the pieces that it is given, with pauses and trailers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from support.client import CHAT_BODY, CHAT_PATH, Header, Reply

_FRAME_BYTES = 16_384


def send_h2(
    port: int,
    *,
    method: str = "POST",
    path: str = CHAT_PATH,
    headers: Iterable[Header] = (),
    body: bytes | Iterable[bytes | float] = CHAT_BODY,
    trailers: Iterable[tuple[str, str]] = (),
    timeout_s: float = 10.0,
) -> Reply:
    """Send one request to loopback on a connection of its own; return the whole response.

    Of a `body` in pieces a number is a pause in seconds, and the end of the stream comes in a frame of its own; that of
    one piece comes with its last bytes. It is sent without content-length. Raises OSError (ConnectionError,
    TimeoutError) where there is no response.
    """
    started_ns = time.monotonic_ns()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as plain:
        exchange = _Exchange(plain)
        exchange.begin([(":method", method), (":path", path), (":scheme", "http"), (":authority", "inference.example"),
                        *((_text(name), _text(value)) for name, value in headers)])  # fmt: skip
        after = list(trailers)
        try:
            at_once = isinstance(body, bytes) and bool(body) and not after
            for piece in [body] if isinstance(body, bytes) else body:
                if isinstance(piece, bytes):
                    exchange.data(piece, end=at_once)
                else:
                    time.sleep(piece)
            if not at_once:
                exchange.end(after)
        except h2.exceptions.StreamClosedError:
            pass  # answered before all was sent
        while not exchange.over:
            exchange.listen()
    return Reply(exchange.status, tuple(exchange.headers), exchange.body, (time.monotonic_ns() - started_ns) // 1000)


class _Exchange:
    """One stream of a connection, the first."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.over = False

    def begin(self, fields: list[tuple[str, str]]) -> None:
        self._h2.initiate_connection()
        self._h2.send_headers(1, fields)
        self._flush()

    def data(self, piece: bytes, *, end: bool) -> None:
        while piece and not self.over:
            room = min(self._h2.local_flow_control_window(1), _FRAME_BYTES)
            if not room:
                self.listen()
                continue
            self._h2.send_data(1, piece[:room], end_stream=end and room >= len(piece))
            piece = piece[room:]
            self._flush()

    def end(self, trailers: list[tuple[str, str]]) -> None:
        if self.over:
            return
        if trailers:
            self._h2.send_headers(1, trailers, end_stream=True)
        else:
            self._h2.end_stream(1)
        self._flush()

    def listen(self) -> None:
        """Take what comes next."""
        received = self._plain.recv(65_536)
        if not received:
            raise ConnectionError("the connection ended inside a response")
        for event in self._h2.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                found = [(_text(name), _text(value)) for name, value in event.headers]
                self.status = int(dict(found)[":status"])
                self.headers = [(name, value) for name, value in found if not name.startswith(":")]
            elif isinstance(event, h2.events.DataReceived):
                self.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                if not self.status:
                    raise ConnectionError("the stream ended without a response")
                self.over = True
        self._flush()

    def _flush(self) -> None:
        self._plain.sendall(self._h2.data_to_send())


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
