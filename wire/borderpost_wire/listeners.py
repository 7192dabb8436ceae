"""Sockets that listen, and what their TLS is set up with; everything that can fail before anybody is served."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

from borderpost_wire.errors import AddressInUse, ListenError
from borderpost_wire.options import TcpListen, TlsOptions, UnixListen
from borderpost_wire.unix_socket import PublishedSocket, publish

BACKLOG = 1024
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""A name may stand for an address that this machine lacks, usually ::1."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites that HTTP/2 allows (RFC 9113 section 9.2.2 and appendix A); those of TLS 1.3 all are."""


def listen_unix(listen: UnixListen) -> tuple[socket.socket, PublishedSocket]:
    """Return a listening Unix socket under its public name. Raises ListenError or AddressInUse."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def bind(path: Path) -> None:
        path.unlink(missing_ok=True)  # a predecessor that was killed here left it behind, and we hold the lock
        listener.bind(str(path))
        listener.listen(BACKLOG)

    try:
        return listener, publish(listen, bind)
    except BaseException:
        listener.close()
        raise


def listen_tcp(listen: TcpListen) -> list[socket.socket]:
    """Return listening sockets, one for each address of the host, all on one port. Raises ListenError."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(listen.address, f"could not resolve it: {error.strerror or error}") from error
    listeners: list[socket.socket] = []
    port = listen.port
    absent: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                listeners.append(_bound(family, kind, protocol, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
                continue
            port = listeners[0].getsockname()[1]
        if not listeners and absent is not None:
            raise absent
    except OSError as error:
        for each in listeners:
            each.close()
        kind_of_error = AddressInUse if error.errno == errno.EADDRINUSE else ListenError
        raise kind_of_error(listen.address, f"could not bind it: {error.strerror or error}") from error
    return listeners


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def tls_context(listen: UnixListen | TcpListen) -> ssl.SSLContext | None:
    """Return the TLS of a listener, None for one without. Raises ListenError for files that cannot be used."""
    if isinstance(listen, UnixListen) or listen.tls is None:
        return None
    tls: TlsOptions = listen.tls
    for path in (tls.certificate, tls.key, tls.client_ca):
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            raise ListenError(listen.address, f"{path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9113 section 9.2.1
    context.set_alpn_protocols(["h2"])
    try:
        context.set_ciphers(_CIPHERS)
        context.load_cert_chain(tls.certificate, tls.key, password=b"")
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise ListenError(listen.address, f"the certificates cannot be used: {reason}") from error
    return context
