"""An HTTP/1.1 client that sends exactly the header bytes it is given: odd case, duplicates, invalid UTF-8.

Ordinary clients refuse to send what an attacker sends.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass

Header = tuple[str | bytes, str | bytes]
"""Name and value as they go on the wire; text is sent as UTF-8."""

_READ_BYTES = 65_536
CHAT_PATH = "/v1/chat/completions"
CHAT_BODY = b'{"model":"example-7b","messages":[{"role":"user","content":"Where am I?"}]}'


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in order, repeated ones apart."""
    body: bytes
    took_us: int

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name.lower()]


def request_bytes(method: str, path: str, headers: Iterable[Header], body: bytes) -> bytes:
    """Return the request as it goes on the wire; Host and Content-Length are added where the caller gave none."""
    given = [(_raw(name), _raw(value)) for name, value in headers]
    names = {name.lower() for name, _ in given}
    if b"host" not in names:
        given.insert(0, (b"Host", b"inference.example"))
    if b"content-length" not in names and b"transfer-encoding" not in names and (body or method == "POST"):
        given.append((b"Content-Length", str(len(body)).encode()))
    lines = [f"{method} {path} HTTP/1.1".encode(), *(name + b": " + value for name, value in given)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def send(
    port: int,
    *,
    method: str = "POST",
    path: str = CHAT_PATH,
    headers: Iterable[Header] = (),
    body: bytes = CHAT_BODY,
    timeout_s: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """Send one request to loopback on a connection of its own; return the whole response.

    Raises OSError (ConnectionError, TimeoutError) where there is none.
    """
    started_ns = time.monotonic_ns()
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    with tls.wrap_socket(plain, server_hostname="localhost") if tls else plain as connection:
        connection.sendall(request_bytes(method, path, headers, body))
        status, found, rest = read_response(connection, has_body=method != "HEAD")
    return Reply(status, found, rest, (time.monotonic_ns() - started_ns) // 1000)


def read_response(
    connection: socket.socket, *, has_body: bool = True
) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Read one response: status, headers, body by Content-Length, chunks or end of connection."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        if status >= 200:
            break  # 1xx is followed by the real one
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    by_name = dict(headers)
    if not has_body or status in (204, 304):
        return status, headers, b""
    if "chunked" in by_name.get("transfer-encoding", ""):
        return status, headers, _chunks(connection, data)
    if "content-length" in by_name:
        length = int(by_name["content-length"])
        while len(data) < length:
            data += _more(connection)
        return status, headers, data[:length]
    while chunk := connection.recv(_READ_BYTES):
        data += chunk
    return status, headers, data


def _chunks(connection: socket.socket, data: bytes) -> bytes:
    body = b""
    while True:
        while b"\r\n" not in data:
            data += _more(connection)
        size_text, _, data = data.partition(b"\r\n")
        size = int(size_text.split(b";")[0], 16)
        while len(data) < size + 2:
            data += _more(connection)
        if size == 0:
            return body
        body, data = body + data[:size], data[size + 2 :]


def _more(connection: socket.socket) -> bytes:
    chunk = connection.recv(_READ_BYTES)
    if not chunk:
        raise ConnectionError("the connection ended inside a response")
    return chunk


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
