"""One connection of the wire engine: between a transport of the event loop and the sans-I/O core."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any

from borderpost_wire.callers import CertificateNames
from borderpost_wire.h2 import Connection, ErrorCode
from borderpost_wire.h2.events import BODY, ENDED, REQUEST
from borderpost_wire.options import TcpListen, UnixListen
from borderpost_wire.wire_call import WireCall

if TYPE_CHECKING:
    from borderpost_wire.wire_engine import WireEngine

WRITE_HIGH_BYTES, WRITE_LOW_BYTES = 1 << 20, 1 << 18
"""Output that the transport may hold before the connection is neither read nor filled any more, and until it is."""
UNREAD_WAIT_S = 120.0
"""How long a peer may leave our output unread before it is cut off."""
_CREDENTIALS = struct.Struct("=iII")
"""Process, user, group (struct ucred, unix(7))."""


class WireProtocol:
    """Takes what the transport reads, and writes once a turn what came up.

    An `asyncio.Protocol` by its methods; not by inheritance, so that a compiled class can be a native one.
    """

    def __init__(self, engine: WireEngine, listen: UnixListen | TcpListen) -> None:
        self.engine = engine
        self.turn = 0
        """How often output was written."""
        self.touched = False
        """The engine knows that there is output, or an end."""
        self.may_call = True
        """The peer has one of the names that may."""
        self.message_bytes_max = engine.message_bytes_max
        self._listen = listen
        self._transport: asyncio.Transport | None = None
        self._paused_at_s: float | None = None
        self._time = engine.time
        self.connection = Connection(
            engine.limits, now_s=engine.time(), new_stream=functools.partial(WireCall, self), memo=engine.memo
        )
        self.out = self.connection.out

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit a peer or cut it off."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        if not self.engine.connected(self) or not self._is_welcome(transport):
            self.abort()
            return
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)  # type: ignore[union-attr]
        self.touch()

    def data_received(self, data: bytes) -> None:
        """Pass on what has come."""
        now_s = self._time()
        for kind, call, payload in self.connection.receive(data, now_s):
            if kind == BODY:
                if call.alive:
                    call.take_body(payload)
            elif kind == REQUEST:
                self.engine.admit(self, call, now_s)
            elif kind == ENDED:
                call.take_end()
                if not call.answered and not call.alive:
                    self.engine.answer_plainly(self, call)
            else:
                call.take_reset()
        if self.out.pieces or self.connection.failed is not None or self.connection.draining:
            self.touch()

    def eof_received(self) -> bool:
        """Close: a peer that sends no more reads no more either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End every call."""
        self._transport = None
        for stream in list(self.connection.streams.open.values()):
            assert isinstance(stream, WireCall)
            stream.take_reset()
        self.connection.streams.open.clear()
        self.engine.disconnected(self)

    def pause_writing(self) -> None:
        """Neither read nor write for a peer that does not read."""
        self._paused_at_s = self._time()
        self.out.cork()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._paused_at_s = None
        self.out.uncork()
        if self._transport is not None:
            self._transport.resume_reading()
        self.touch()

    # What the engine and its calls use

    @property
    def is_full(self) -> bool:
        """Return whether too much output waits, for this peer or for all of them; asked where some waits for this."""
        engine, queued_bytes = self.engine, self.out.queued_bytes
        return queued_bytes > engine.limits.queued_bytes_max or engine.unsent_bytes > engine.unsent_bytes_max

    @property
    def unsent_bytes(self) -> int:
        """Return how much output waits for the peer, in its windows and in the transport."""
        held = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self.out.queued_bytes + held

    @property
    def is_encrypted(self) -> bool:
        """Return whether the peer came by a certificate of ours."""
        return isinstance(self._listen, TcpListen) and self._listen.tls is not None

    @property
    def calls(self) -> list[WireCall]:
        """Return the calls that are open."""
        streams = self.connection.streams.open.values()
        return [stream for stream in streams if isinstance(stream, WireCall) and stream.alive]

    def touch(self) -> None:
        """Have the output written at the end of this turn."""
        if not self.touched:
            self.touched = True
            self.engine.touch(self)

    def flush(self) -> None:
        """Write what has come up; close if that was all."""
        self.touched = False
        self.turn += 1
        transport = self._transport
        if transport is None:
            self.out.pieces.clear()
            return
        if self.out.pieces:
            transport.write(self.out.take())
        if self.connection.finished:
            transport.close()

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        self.connection.tick(now_s)
        if self._paused_at_s is not None and now_s - self._paused_at_s > UNREAD_WAIT_S:
            self.abort()
        elif self.out.pieces or self.connection.finished:
            self.touch()

    def close(self) -> None:
        """Say farewell and close once it is written."""
        self.connection.fail(ErrorCode.NO_ERROR, "the server stops")
        self.flush()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # Inside

    def _is_welcome(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether the peer is one that we talk to."""
        listen = self._listen
        if isinstance(listen, UnixListen):
            if not (listen.peer_uids or listen.peer_gids):
                return True
            raw = transport.get_extra_info("socket").getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            _, uid, gid = _CREDENTIALS.unpack(raw)
            if uid in listen.peer_uids or gid in listen.peer_gids:
                return True
            self.engine.counters.refused += 1
            return False
        if listen.tls is None:
            return True
        session: ssl.SSLObject = transport.get_extra_info("ssl_object")
        if listen.tls.callers:
            certificate: Any = session.getpeercert() or {}
            names = certificate.get("subjectAltName", ())
            uris = tuple(value for kind, value in names if kind == "URI")
            others = frozenset(value for kind, value in names if kind != "URI")
            self.may_call = listen.tls.callers.admit(CertificateNames(uris, others))
        return session.selected_alpn_protocol() == "h2"
