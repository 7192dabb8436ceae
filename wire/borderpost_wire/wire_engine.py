"""The engine on our own HTTP/2 core and the event loop's transports; made for uvloop, right on any loop.

Everything happens in turns of the loop. What connections read in one turn is put into inboxes, one for each
service; behind the reads, one callback (`_turn`) delivers each inbox as a batch, tells services of calls that are
gone, and writes what came up, once for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from borderpost_wire.deadlines import BUCKET_S, Deadlines
from borderpost_wire.engine import Counters
from borderpost_wire.errors import ListenError
from borderpost_wire.h2 import Limits, RequestMemo
from borderpost_wire.listeners import listen_tcp, listen_unix, tls_context
from borderpost_wire.options import ServerOptions, TcpListen, UnixListen
from borderpost_wire.rpc.plan import Inbox, Plan, Route, plan_of
from borderpost_wire.rpc.responses import PLAIN_BODY, plain_head, trailers_only
from borderpost_wire.service import MethodKind, Service, StatusCode
from borderpost_wire.service_faults import note_service_exception
from borderpost_wire.unix_socket import PublishedSocket
from borderpost_wire.wire_call import WireCall
from borderpost_wire.wire_protocol import WireProtocol

FLUSH_S = 0.2
"""How long the last statuses of a drain may take to leave, after the grace."""
HOUSEKEEPING_S = 1.0
"""How often connections are told the time."""
HANDSHAKE_S = 10.0
"""How long a TLS handshake may take."""
REQUESTS_REMEMBERED = 1024
"""Distinct blocks of request fields that are kept decoded."""


class WireEngine:
    """An `Engine` (borderpost_wire.engine) on `borderpost_wire.h2`."""

    name = "wire"

    def __init__(self, options: ServerOptions, methods: Mapping[str, tuple[MethodKind, Service]]) -> None:
        self.counters = Counters()
        self.replies_waiting_max = options.replies_waiting_max
        self.message_bytes_max = options.message_bytes_max
        self.held_bytes_max = max(options.unfinished_bytes_max, options.message_bytes_max)
        self.limits = Limits(streams_max=options.streams_per_connection_max)
        self.memo = RequestMemo(REQUESTS_REMEMBERED)
        self.time: Callable[[], float] = lambda: 0.0
        """The loop's clock, once it runs."""
        self.unanswered = 0
        """Messages of all calls that have no answer yet."""
        self.open_calls = 0
        self.held_bytes = 0
        """Pieces of unfinished messages."""
        self.unsent_bytes = 0
        """Output that waited for peers when it was last looked at."""
        self.unsent_bytes_max = options.unsent_bytes_max
        self.deadlines: Deadlines[WireCall] = Deadlines()
        self._options = options
        inboxes = {id(service): Inbox(service) for _, service in methods.values()}
        self._routes = {
            path.encode(): Route(path, kind, service, inboxes[id(service)]) for path, (kind, service) in methods.items()
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[asyncio.AbstractServer] = []
        self._network: list[tuple[TcpListen, socket.socket, asyncio.AbstractServer]] = []
        """The network listeners, each with a socket of which its server has a copy."""
        self._addresses: list[str] = []
        self._published: list[PublishedSocket] = []
        self._connections: set[WireProtocol] = set()
        self._arrived: list[Inbox] = []
        self._gone: list[WireCall] = []
        self._touched: list[WireProtocol] = []
        self._turn_due = False
        """`_turn` is scheduled, or running."""
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retiring = False
        self._draining = False
        self._changed: asyncio.Future[None] | None = None
        """What a drain waits for: fewer unanswered messages or open calls."""
        self._stop_begun = False
        self._stopped: asyncio.Event | None = None

    # Engine

    @property
    def addresses(self) -> Sequence[str]:
        """Return where the started engine listens."""
        return tuple(self._addresses)

    @property
    def calls_in_progress(self) -> int:
        """Return how many calls are open, those whose last bytes wait for their peer included."""
        return sum(len(each.connection.streams.open) for each in self._connections)

    async def start(self) -> None:
        """Listen and serve; raises ListenError."""
        if self._loop is not None:
            raise RuntimeError("an engine is started once")
        contexts = [tls_context(listen) for listen in self._options.listen]
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        self._stopped = asyncio.Event()
        listening: list[tuple[UnixListen | TcpListen, list[socket.socket]]] = []
        try:
            for listen in self._options.listen:
                listening.append((listen, self._listen(listen)))
        except ListenError:
            for _, sockets in listening:
                for each in sockets:
                    each.close()
            await self.stop()
            raise
        for (listen, sockets), context in zip(listening, contexts, strict=True):
            for each in sockets:
                if isinstance(listen, TcpListen):
                    self._network.append((listen, each, await self._serve_network(listen, each, context)))
                else:
                    protocol = cast("Callable[[], asyncio.Protocol]", functools.partial(WireProtocol, self, listen))
                    self._servers.append(await self._loop.create_unix_server(protocol, sock=each))
        self._timer = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)

    async def _serve_network(
        self, listen: TcpListen, listener: socket.socket, context: ssl.SSLContext | None
    ) -> asyncio.AbstractServer:
        """Accept on a copy of the socket: the socket itself outlives the server, and with it whoever waits in it."""
        assert self._loop is not None
        protocol = cast("Callable[[], asyncio.Protocol]", functools.partial(WireProtocol, self, listen))
        handshake_s = HANDSHAKE_S if context is not None else None
        return await self._loop.create_server(
            protocol, sock=listener.dup(), ssl=context, ssl_handshake_timeout=handshake_s
        )

    async def renew(self) -> None:
        """Accept by what the certificates' files hold now, and send away who came by what they held before.

        Sending away (GOAWAY in two steps) fails no call, and lets no peer stay by an authority that is not trusted any
        more. The sockets go on listening throughout. The files are read beside the loop: their disk may hang.
        """
        if self._loop is None:
            return
        listens = [listen for listen, _, _ in self._network]
        contexts = await asyncio.to_thread(lambda: [tls_context(listen) for listen in listens])
        if self._retiring or self._draining:
            return
        before = [each for each in self._connections if each.is_encrypted]
        renewed: list[tuple[TcpListen, socket.socket, asyncio.AbstractServer]] = []
        try:
            for (listen, listener, server), context in zip(self._network, contexts, strict=True):
                fresh = server if context is None else await self._serve_network(listen, listener, context)
                renewed.append((listen, listener, fresh))
        except OSError as error:
            for (_, _, server), (_, _, fresh) in zip(self._network, renewed, strict=False):
                if fresh is not server:
                    fresh.close()
            where = self._network[len(renewed)][0].address
            raise ListenError(where, f"it cannot be listened on anew: {error.strerror or error}") from error
        for (_, _, server), (_, _, fresh) in zip(self._network, renewed, strict=True):
            if fresh is not server:
                server.close()
        self._network = renewed
        for each in before:
            each.connection.shut_down()
            each.touch()

    async def retire(self, within_s: float) -> None:
        """Tell every peer to go (GOAWAY in two steps), and answer what it asks until it has gone.

        A Unix socket that another server has replaced goes on accepting: who connected just before is waiting there.
        """
        self._retiring = True
        self._close_network()
        self._send_away()
        until = asyncio.get_running_loop().time() + within_s
        while self._connections and await self._change_before(until):
            pass

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, wait for answers, end the rest."""
        self._draining = True
        self._send_away()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while self.unanswered and await self._change_before(until):
            pass
        # An answered call ends by its peer's reset; an end of ours that comes first would be taken for a failure.
        settled = min(until, loop.time() + FLUSH_S)
        while self.calls_in_progress and await self._change_before(settled):
            pass
        for each in list(self._connections):
            for call in each.calls:
                call.end(StatusCode.UNAVAILABLE, "draining")
        until = loop.time() + FLUSH_S
        while self.calls_in_progress and await self._change_before(until):
            pass

    async def stop(self) -> None:
        """End what is open and close the listeners."""
        if self._loop is None or self._stop_begun:
            return
        self._stop_begun = True
        await self.drain(0)
        for published in self._published:
            published.remove()
        self._close_network()
        for server in self._servers:
            server.close()
        for timer in (self._timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        for each in list(self._connections):
            each.close()
        until = self._loop.time() + FLUSH_S
        while self._connections and await self._change_before(until):
            pass
        for each in list(self._connections):
            each.abort()
        while self._connections:
            await self._change_before(self._loop.time() + FLUSH_S)
        assert self._stopped is not None
        self._stopped.set()

    async def wait(self) -> None:
        """Return once stopped. The listeners are the loop's own and do not end by themselves."""
        if self._stopped is None:
            raise RuntimeError("the engine has not been started")
        await self._stopped.wait()

    # What connections and calls tell

    def connected(self, connection: WireProtocol) -> bool:
        """Note a connection; return whether there is room for it."""
        self._connections.add(connection)
        if self._retiring:
            connection.connection.shut_down()
        return len(self._connections) <= self._options.connections_max

    def disconnected(self, connection: WireProtocol) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._schedule()

    def admit(self, connection: WireProtocol, call: WireCall, now_s: float) -> None:
        """Begin a call, or refuse it."""
        plan: Plan | None = call.request.plan
        if plan is None:
            plan = call.request.plan = plan_of(call.request, self._routes)
            call.request.slim()
        route = plan.route
        if route is None or self._draining or not connection.may_call or self.open_calls >= self._options.calls_max:
            self._refuse(connection, call, plan)
            return
        self.counters.calls += 1
        self.open_calls += 1
        if plan.timeout_s is None:
            call.admit(route, None)
        else:
            call.admit(route, self.deadlines.add(call, now_s + plan.timeout_s))
            if self._deadline_timer is None and self._loop is not None:
                self._deadline_timer = self._loop.call_later(BUCKET_S, self._end_overdue)

    def _refuse(self, connection: WireProtocol, call: WireCall, plan: Plan) -> None:
        if plan.http_status is not None:
            return  # answered once the request has ended: what answers it earlier cannot read the request
        if self._draining:
            refusal = (StatusCode.UNAVAILABLE, "draining")
            self.counters.refused += 1
        elif plan.refusal is not None:
            refusal = plan.refusal
        elif not connection.may_call:
            refusal = (StatusCode.PERMISSION_DENIED, "client certificate without an allowed name")
            self.counters.refused += 1
        else:
            refusal = (StatusCode.RESOURCE_EXHAUSTED, "too many calls")
        if connection.out.takes(call):
            connection.out.head_fields(call, trailers_only(*refusal), end=True)
            connection.touch()

    def answer_plainly(self, connection: WireProtocol, call: WireCall) -> None:
        """Answer what is not gRPC."""
        status = call.request.plan.http_status
        if status is not None and connection.out.takes(call):
            connection.out.head_fields(call, plain_head(status))
            connection.out.data(call, PLAIN_BODY, end=True)
            connection.touch()

    def wake_for(self, inbox: Inbox) -> None:
        """Have an inbox that is not empty any more delivered at the end of this turn."""
        self._arrived.append(inbox)
        if not self._turn_due:
            self._schedule()

    def touch(self, connection: WireProtocol) -> None:
        """Have a connection's output written at the end of this turn."""
        self._touched.append(connection)
        if not self._turn_due:
            self._schedule()

    def note_gone(self, call: WireCall) -> None:
        """Have a service told, at the end of this turn, that a call of its ended."""
        self._gone.append(call)
        if not self._turn_due:
            self._schedule()

    # Turns

    def _schedule(self) -> None:
        if not self._turn_due and self._loop is not None:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Tell services what this turn of the loop brought, then write what came up."""
        try:
            while self._gone or self._arrived:
                gone, self._gone = self._gone, []
                for call in gone:
                    self._tell_gone(call)
                arrived, self._arrived = self._arrived, []
                for inbox in arrived:
                    self._deliver(inbox)
        finally:
            self._turn_due = False
        touched, self._touched = self._touched, []
        for connection in touched:
            connection.flush()
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _deliver(self, inbox: Inbox) -> None:
        pairs, inbox.pairs = inbox.pairs, []
        batch = [pair for pair in pairs if pair[0].alive]
        if not batch:
            return
        for call, _ in batch:
            assert isinstance(call, WireCall)
            call.delivered = True
        self.counters.batches += 1
        self.counters.messages += len(batch)
        try:
            inbox.service.messages(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, unanswered calls must end non-OK
            note_service_exception(self.counters, "messages", error)
            for call, _ in batch:
                assert isinstance(call, WireCall)
                if call.unanswered:
                    call.end(StatusCode.INTERNAL, "the service failed")

    def _tell_gone(self, call: WireCall) -> None:
        try:
            call.route.service.gone(call)
        except Exception as error:  # noqa: BLE001 - a service's fault stays with the call it concerns
            note_service_exception(self.counters, "gone", error)

    # Time

    def _keep_house(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        now_s = self.time()
        self.unsent_bytes = sum(each.unsent_bytes for each in self._connections)
        for each in list(self._connections):
            each.tick(now_s)

    def _end_overdue(self) -> None:
        assert self._loop is not None
        for call in self.deadlines.due(self.time()):
            call.end(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
        self._deadline_timer = self._loop.call_later(BUCKET_S, self._end_overdue) if self.deadlines else None

    # Inside

    def _listen(self, listen: UnixListen | TcpListen) -> list[socket.socket]:
        if isinstance(listen, UnixListen):
            listener, published = listen_unix(listen)
            self._published.append(published)
            self._addresses.append(listen.address)
            return [listener]
        listeners = listen_tcp(listen)
        port = listeners[0].getsockname()[1]
        self._addresses.append(f"{listen.address.rpartition(':')[0]}:{port}")
        return listeners

    def _close_network(self) -> None:
        for _, listener, server in self._network:
            server.close()
            listener.close()

    def _send_away(self) -> None:
        for each in self._connections:
            each.connection.shut_down()
            each.touch()

    async def _change_before(self, until_s: float) -> bool:
        """Wait for the next change; return False if the loop's time `until_s` comes first."""
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._changed
                return True
        return False
