"""From a file or an admin address to a document: bounded in bytes and time, and plain about what is none."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from borderpost.manifests.tree import Document
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.json_source import load_json
from borderpost_base.yaml_source import load_yaml

DUMP_PATH = "/config_dump?include_eds"
"""What is asked of an admin address. Without `include_eds` Envoy leaves out the endpoints that were discovered."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A document, and whether it stands in a file that findings can point into."""

    document: Document
    file: str | None
    """The file's path as the reader named it; None for what came from an admin address."""


def read_file(path: Path) -> Source:
    """Read a bootstrap (YAML or JSON) or a config dump (JSON).

    `-` is the standard input. Raises BorderpostError BP0003 for a file that cannot be read, BP1501 for one that is too
    large, BP1502 for one that cannot be parsed.
    """
    bytes_max = limits.CONFIG_DUMP_BYTES_MAX + 1
    if str(path) == "-":
        return Source(_parsed(sys.stdin.buffer.read(bytes_max), "standard input"), None)
    try:
        with path.open("rb") as handle:
            raw = handle.read(bytes_max)
    except OSError as error:
        raise BorderpostError("BP0003", f"{path}: {error.strerror}", place=Place(str(path))) from error
    return Source(_parsed(raw, str(path)), str(path))


def read_admin(address: str) -> Source:
    """Ask an admin address for what Envoy runs with.

    `address` is `host:port` or a URL of this machine, or the absolute path of a Unix socket. Raises BorderpostError
    BP1504 for another form or another machine, BP1505 where nobody answers in time or in order, BP1501 and BP1502 as
    for a file.
    """
    return Source(_parsed(_asked(address), address), None)


def _parsed(raw: bytes, name: str) -> Document:
    if len(raw) > limits.CONFIG_DUMP_BYTES_MAX:
        raise BorderpostError("BP1501", f"more than {limits.CONFIG_DUMP_BYTES_MAX} bytes", place=Place(name))
    is_json = raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    try:
        return load_json(raw, name) if is_json else load_yaml(raw, name)
    except BorderpostError as error:
        raise BorderpostError("BP1502", error.detail, place=error.place) from error


def _asked(address: str) -> bytes:
    deadline = time.monotonic() + limits.CONFIG_DUMP_S_MAX
    connection = _connection(address)
    try:
        connection.request("GET", DUMP_PATH)
        response = connection.getresponse()
        if response.status != 200:
            raise BorderpostError("BP1505", f"it answers {response.status}, not 200", place=Place(address))
        pieces: list[bytes] = []
        size = 0
        while piece := response.read1(_CHUNK_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > limits.CONFIG_DUMP_BYTES_MAX:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end within {limits.CONFIG_DUMP_S_MAX} s")
        return b"".join(pieces)
    except (OSError, http.client.HTTPException) as error:
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BorderpostError("BP1505", detail, place=Place(address)) from error
    finally:
        connection.close()


def _connection(address: str) -> http.client.HTTPConnection:
    """Return a connection that is not open yet. Raises BorderpostError BP1504."""
    if address.startswith("/"):
        return _UnixConnection(address)
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BorderpostError("BP1504", str(error), place=Place(address)) from error
    if parts.scheme != "http" or host is None or port is None or parts.path not in ("", "/"):
        raise BorderpostError("BP1504", "it is neither host:port, http://host:port nor a path", place=Place(address))
    if not _is_loopback(host):
        raise BorderpostError("BP1504", f"`{host}` is another machine", place=Place(address))
    return http.client.HTTPConnection(host, port, timeout=limits.CONFIG_DUMP_S_MAX)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=limits.CONFIG_DUMP_S_MAX)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
