"""TLS in front of a plain server: it ends here, asks for a client certificate, and bytes go on as they are."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path

_READ_BYTES = 65_536


class TlsDoor:
    """The door, used as a context; `port` is where it listens on loopback."""

    def __init__(self, behind: int, *, certificate: tuple[Path, Path], client_ca: Path) -> None:
        self._behind = behind
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="tls-door")]

    def __enter__(self) -> TlsDoor:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *tuple(self._open)):
            with contextlib.suppress(OSError):  # the other side may have ended it
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # which is how shutdown ends it
            while True:
                plain, _ = self._listener.accept()
                self._open.add(plain)
                self._threads.append(threading.Thread(target=self._serve, args=(plain,), name="tls-door"))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        """Serve one connection. One that fails its handshake, or is cut, just ends."""
        with plain, contextlib.suppress(OSError):
            inner = socket.create_connection(("127.0.0.1", self._behind))
            with inner, self._tls.wrap_socket(plain, server_side=True) as outer:
                self._open.add(outer)
                while _passed(outer, inner):
                    pass


def _passed(outer: ssl.SSLSocket, inner: socket.socket) -> bool:
    """Pass on what has come from either side; return False once one has ended."""
    ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
    for source in ready:
        data = source.recv(_READ_BYTES)
        if not data:
            return False
        (inner if source is outer else outer).sendall(data)
    return True
