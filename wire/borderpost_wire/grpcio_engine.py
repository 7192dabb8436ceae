"""The engine on grpcio's asyncio server.

grpcio gives each call a coroutine; what they read within one turn of the loop is gathered here and delivered
to the services at once. Run it under uvloop: grpcio's asyncio server costs about a third less there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from borderpost_wire.callers import ANYBODY, Callers, CertificateNames
from borderpost_wire.engine import Counters
from borderpost_wire.errors import EngineFailed, ListenError, OptionsError
from borderpost_wire.grpcio_call import GRPC_STATUS, GrpcioCall
from borderpost_wire.listeners import tls_context
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions, UnixListen
from borderpost_wire.service import Call, MethodKind, Service, StatusCode
from borderpost_wire.service_faults import note_service_exception
from borderpost_wire.unix_socket import PublishedSocket, publish

FLUSH_S = 0.2
"""How long the last statuses of a drain may take to leave, after the grace."""
_SAN_KEYS = (("peer_uri",), ("peer_dns", "peer_email", "peer_ip"))
"""Where grpc-core puts the alternative names of a peer's certificate, URIs and others (grpc_security_constants.h)."""
_BOUND_FAILED = "grpcio could not bind it; the address may be in use, absent from this machine or not permitted"


class GrpcioEngine:
    """An `Engine` (borderpost_wire.engine) on `grpc.aio`."""

    name = "grpcio"

    def __init__(self, options: ServerOptions, methods: Mapping[str, tuple[MethodKind, Service]]) -> None:
        self.counters = Counters()
        self.replies_waiting_max = options.replies_waiting_max
        self._options = options
        self._callers = _callers(options)
        _refuse_peer_lists(options)
        self._handlers = {path: self._handler(path, kind, service) for path, (kind, service) in methods.items()}
        self._refusal = grpc.stream_stream_rpc_method_handler(self._refuse)
        self._server: Any = None
        self._addresses: list[str] = []
        self._sockets: list[PublishedSocket] = []
        self._calls: set[GrpcioCall] = set()
        self._inbox: list[tuple[GrpcioCall, bytes]] = []
        self._unanswered = 0
        self._certificates: list[_Certificates] = []
        self._draining = False
        self._stopped = False
        self._changed: asyncio.Future[None] | None = None
        """What a drain waits for: fewer unanswered messages or open calls."""

    # Engine

    @property
    def addresses(self) -> Sequence[str]:
        """Return where the started engine listens."""
        return tuple(self._addresses)

    @property
    def calls_in_progress(self) -> int:
        """Return how many calls are open."""
        return len(self._calls)

    async def start(self) -> None:
        """Listen and serve; raises ListenError."""
        if self._server is not None:
            raise RuntimeError("an engine is started once")
        certificates = [_certificates(listen) for listen in self._options.listen]
        self._certificates = [each for each in certificates if each is not None]
        self._server = aio.server(
            options=_core_arguments(self._options), maximum_concurrent_rpcs=self._options.calls_max
        )
        self._server.add_generic_rpc_handlers((_Router(self),))
        try:
            for listen, each in zip(self._options.listen, certificates, strict=True):
                self._listen(listen, each.credentials() if each is not None else None)
        except ListenError:
            await self._server.start()  # only a started server lets go of the sockets it has bound
            await self.stop()
            raise
        await self._server.start()

    async def renew(self) -> None:
        """Show and trust what the files hold now at each handshake from here on; who is connected stays so.

        The files are read beside the loop: their disk may hang.
        """
        for each in self._certificates:
            await asyncio.to_thread(each.renew)

    async def retire(self, within_s: float) -> None:
        """Close the listeners and let every connection go when its calls have ended.

        grpcio itself refuses calls that cross its GOAWAY, which a client may repeat elsewhere.
        """
        await asyncio.wait({asyncio.ensure_future(self._server.stop(within_s))}, timeout=within_s)

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, wait for answers, end the rest."""
        self._draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while self._unanswered and await self._change_before(until):
            pass
        # An answered call ends by its peer's reset; an end of ours that comes first would be taken for a failure.
        settled = min(until, loop.time() + FLUSH_S)
        while self._calls and await self._change_before(settled):
            pass
        for call in list(self._calls):
            call.end(StatusCode.UNAVAILABLE, "draining")
        until = loop.time() + FLUSH_S
        while self._calls and await self._change_before(until):
            pass

    async def stop(self) -> None:
        """End what is open and close the listeners."""
        if self._server is None or self._stopped:
            return
        self._stopped = True
        await self.drain(0)
        for published in self._sockets:
            published.remove()
        await self._server.stop(None)

    async def wait(self) -> None:
        """Return once stopped; raises EngineFailed if the server ended by itself."""
        if self._server is None:
            raise RuntimeError("the engine has not been started")
        try:
            # Shielded: a waiter that is cancelled would cancel the future that the shutdown itself waits for.
            await asyncio.shield(asyncio.ensure_future(self._server.wait_for_termination()))
        except Exception as error:
            raise EngineFailed(f"grpcio's server ended by itself: {type(error).__name__}") from error
        if not self._stopped:
            raise EngineFailed("grpcio's server ended by itself")

    # CallRegister

    def opened(self, call: GrpcioCall) -> None:
        """Note a new call."""
        self.counters.calls += 1
        self._calls.add(call)

    def arrived(self, call: GrpcioCall, message: bytes) -> None:
        """Queue a message; the first one of a turn schedules the delivery behind the others' arrivals."""
        call.unanswered += 1
        self._unanswered += 1
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._inbox.append((call, message))

    def answered(self, count: int) -> None:
        """Note that so many messages wait for an answer no more."""
        self._unanswered -= count
        self._signal_change()

    def closed(self, call: GrpcioCall, unanswered: int) -> None:
        """Note the end of a call and tell its service unless that ended it itself."""
        self._calls.discard(call)
        if unanswered:
            self.counters.gone_unanswered += 1
        if call.delivered and not call.ended_by_service:
            try:
                call.service.gone(call)
            except Exception as error:  # noqa: BLE001 - a service's fault stays with the call it concerns
                note_service_exception(self.counters, "gone", error)
        self._signal_change()

    # Inside

    def _deliver(self) -> None:
        """Hand each service what arrived for it in this turn."""
        inbox, self._inbox = self._inbox, []
        batches: dict[int, tuple[Service, list[tuple[Call, bytes]]]] = {}
        for call, message in inbox:
            if call.alive:
                call.delivered = True
                batches.setdefault(id(call.service), (call.service, []))[1].append((call, message))
        for service, batch in batches.values():
            self.counters.batches += 1
            self.counters.messages += len(batch)
            try:
                service.messages(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, unanswered calls must end non-OK
                note_service_exception(self.counters, "messages", error)
                for call, _ in inbox:
                    if call.service is service and call.unanswered:
                        call.end(StatusCode.INTERNAL, "the service failed")

    def _handler(self, path: str, kind: MethodKind, service: Service) -> Any:
        async def unary(request: bytes, context: Any) -> bytes:
            await self._admit(context)
            return await GrpcioCall(self, path, kind, service, context).run_unary(request)

        async def stream(_requests: object, context: Any) -> None:
            await self._admit(context)
            await GrpcioCall(self, path, kind, service, context).run_stream()

        if kind is MethodKind.UNARY:
            return grpc.unary_unary_rpc_method_handler(unary)
        return grpc.stream_stream_rpc_method_handler(stream)

    def route(self, path: str) -> Any:
        """Return grpcio's handler for a new call, None for a method nobody answers."""
        return self._refusal if self._draining else self._handlers.get(path)

    async def _refuse(self, _requests: object, context: Any) -> None:
        self.counters.refused += 1
        await context.abort(GRPC_STATUS[StatusCode.UNAVAILABLE], "draining")

    async def _admit(self, context: Any) -> None:
        """End a call over TLS whose client certificate has none of the allowed names."""
        if not self._callers:
            return
        peer = context.auth_context()
        if b"ssl" not in peer.get("transport_security_type", ()):
            return
        uris, others = (
            tuple(name.decode("utf-8", "replace") for key in keys for name in peer.get(key, ())) for keys in _SAN_KEYS
        )
        if not self._callers.admit(CertificateNames(uris, frozenset(others))):
            self.counters.refused += 1
            await context.abort(GRPC_STATUS[StatusCode.PERMISSION_DENIED], "client certificate without an allowed name")

    def _listen(self, listen: UnixListen | TcpListen, credentials: Any) -> None:
        if isinstance(listen, UnixListen):
            self._sockets.append(publish(listen, lambda path: self._bind(listen, f"unix:{path}", None)))
            self._addresses.append(listen.address)
            return
        port = self._bind(listen, listen.address, credentials)
        self._addresses.append(f"{listen.address.rpartition(':')[0]}:{port}")

    def _bind(self, listen: UnixListen | TcpListen, address: str, credentials: Any) -> int:
        try:
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ListenError(listen.address, _BOUND_FAILED) from error
        if not port:
            raise ListenError(listen.address, _BOUND_FAILED)
        return int(port)

    def _signal_change(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _change_before(self, until_s: float) -> bool:
        """Wait for the next change; return False if the loop's time `until_s` comes first."""
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        done, _ = await asyncio.wait((self._changed,), timeout=max(0.0, until_s - loop.time()))
        return bool(done)


class _Router(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """grpcio's question which handler takes a call."""

    def __init__(self, engine: GrpcioEngine) -> None:
        self._engine = engine

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler for a new call."""
        return self._engine.route(handler_call_details.method)


def _core_arguments(options: ServerOptions) -> list[tuple[str, int]]:
    """Return grpc-core's channel arguments (include/grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.max_receive_message_length", options.message_bytes_max),
        ("grpc.max_concurrent_streams", options.streams_per_connection_max),
        # Two servers that share a port would split Envoy's calls between old and new without a word.
        ("grpc.so_reuseport", 0),
        # A ping behind each read, to size windows for bulk data, of which there is none.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", options.ping_interval_min_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        # Identity alone (bit 0): Envoy does not compress, and a compressed message could swell past its bound.
        ("grpc.compression_enabled_algorithms_bitset", 1),
    ]


def _callers(options: ServerOptions) -> Callers:
    """Return who may call; grpcio does not tell a call's listener, so all TLS listeners share them."""
    tls = [listen.tls for listen in options.listen if isinstance(listen, TcpListen) and listen.tls is not None]
    if len({each.callers for each in tls}) > 1:
        raise OptionsError("the grpcio engine needs the same callers on every TLS listener")
    return tls[0].callers if tls else ANYBODY


def _refuse_peer_lists(options: ServerOptions) -> None:
    """Raise OptionsError for an allow-list that grpcio would not keep to."""
    if any(isinstance(listen, UnixListen) and (listen.peer_uids or listen.peer_gids) for listen in options.listen):
        raise OptionsError("peer_uids and peer_gids need the engine `wire`: grpcio does not tell who connects")


class _Certificates:
    """What a TLS listener shows and trusts now; grpcio asks for it at each handshake."""

    def __init__(self, listen: TcpListen, tls: TlsOptions) -> None:
        self._listen = listen
        self._tls = tls
        self._current: Any = None
        self.renew()

    def renew(self) -> None:
        """Read the files. Raises ListenError if they cannot be used, and keeps what it has."""
        tls_context(self._listen)  # grpcio itself finds out at handshakes, one failure each
        try:
            pair = (self._tls.key.read_bytes(), self._tls.certificate.read_bytes())
            authority = self._tls.client_ca.read_bytes() if self._tls.client_ca is not None else None
        except OSError as error:
            raise ListenError(self._listen.address, f"{error.filename}: {error.strerror}") from error
        self._current = grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)

    def credentials(self) -> Any:
        """Return grpcio's credentials of the listener."""
        return grpc.dynamic_ssl_server_credentials(
            self._current, lambda: self._current, require_client_authentication=self._tls.client_ca is not None
        )


def _certificates(listen: UnixListen | TcpListen) -> _Certificates | None:
    """Return the certificates of a TLS listener, None for others."""
    return None if isinstance(listen, UnixListen) or listen.tls is None else _Certificates(listen, listen.tls)
