"""An ext_proc and ext_authz server whose answers a test programs, to try the rendered wiring by itself.

It runs grpcio's asyncio server in a thread, without anything of the product but its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from borderpost_base.names import CLUSTER_HEADER
from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc

PROCESS = "envoy.service.ext_proc.v3.ExternalProcessor"
CHECK = "envoy.service.auth.v3.Authorization"
LIMIT = "envoy.service.ratelimit.v3.RateLimitService"
WITHIN_LIMIT, OVER_LIMIT = b"\x08\x01", b"\x08\x02"
"""A RateLimitResponse whose `overall_code` (field 1) is OK or OVER_LIMIT."""


@dataclass(frozen=True)
class Say:
    """Answer with these messages, in order."""

    messages: tuple[Any, ...]


@dataclass(frozen=True)
class EndCleanly:
    """End the call with status OK and without an answer (a unary call cannot: it gets an empty message)."""


@dataclass(frozen=True)
class Fail:
    """End the call with this status."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL


@dataclass(frozen=True)
class Hang:
    """Never answer."""


@dataclass(frozen=True)
class Crash:
    """Raise in the handler."""


Act = Say | EndCleanly | Fail | Hang | Crash


def route_to(
    cluster: str, *, metadata: dict[str, str] | None = None, clear: bool = False, header: str = CLUSTER_HEADER
) -> Say:
    """Return the ext_proc answer that routes to a cluster."""
    response = proc.ProcessingResponse()
    answer = response.request_headers.response
    option = answer.header_mutation.set_headers.add()
    option.header.key = header
    option.header.raw_value = cluster.encode()
    answer.clear_route_cache = clear
    if metadata is not None:
        response.dynamic_metadata.update({"borderpost": metadata})
    return Say((response,))


def refuse(status: int, *, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Say:
    """Return the ext_proc answer that refuses with a status."""
    response = proc.ProcessingResponse()
    response.immediate_response.status.code = status
    response.immediate_response.body = body
    response.immediate_response.details = "borderpost BP0000 test"
    for name, value in (headers or {}).items():
        option = response.immediate_response.headers.set_headers.add()
        option.header.key = name
        option.header.raw_value = value.encode()
    return Say((response,))


def allow_to(cluster: str, *, metadata: dict[str, str] | None = None, header: str = CLUSTER_HEADER) -> Say:
    """Return the ext_authz answer that routes to a cluster."""
    response = authz.CheckResponse()
    option = response.ok_response.headers.add()
    option.header.key = header
    option.header.value = cluster
    option.append_action = common.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    if metadata is not None:
        response.dynamic_metadata.update(metadata)
    return Say((response,))


def deny(status: int, *, headers: dict[str, str] | None = None, body: str = "{}") -> Say:
    """Return the ext_authz answer that refuses with a status."""
    response = authz.CheckResponse()
    response.status.code = 7
    response.denied_response.status.code = status
    response.denied_response.body = body
    for name, value in (headers or {}).items():
        option = response.denied_response.headers.add()
        option.header.key = name
        option.header.value = value
    return Say((response,))


class StubProcessor:
    """The server, used as a context. `decide(request)` is called on its thread for each request."""

    def __init__(self, socket: Path, decide: Callable[[Any], Act], *, tls: tuple[Path, Path] | None = None) -> None:
        self.socket = socket
        self.tls = tls
        """Certificate and key: it listens on `tls_port` of loopback, too."""
        self.tls_port = 0
        self.decide = decide
        self.requests: list[Any] = []
        """Every ProcessingRequest and CheckRequest, in order of arrival."""
        self.limits: list[bytes] = []
        """Every RateLimitRequest, as it came."""
        self.limit_answer: bytes | None = WITHIN_LIMIT
        """What rate-limit questions are answered; None fails them."""
        self._server: grpc.aio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub-processor", daemon=True)
        self._thread.start()
        self.start()

    def start(self) -> None:
        """Listen (again) on the socket."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=10)

    def stop(self) -> None:
        """Stop without grace: calls in progress are cut, the socket goes away."""
        if self._server is not None:
            asyncio.run_coroutine_threadsafe(self._server.stop(None), self._loop).result(timeout=10)
            self._server = None
            self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop and end the thread."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> StubProcessor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _start(self) -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    PROCESS,
                    {
                        "Process": grpc.stream_stream_rpc_method_handler(
                            self._process,
                            proc.ProcessingRequest.FromString,
                            lambda message: message.SerializeToString(),
                        )
                    },
                ),
                grpc.method_handlers_generic_handler(
                    LIMIT, {"ShouldRateLimit": grpc.unary_unary_rpc_method_handler(self._limit)}
                ),
                grpc.method_handlers_generic_handler(
                    CHECK,
                    {
                        "Check": grpc.unary_unary_rpc_method_handler(
                            self._check, authz.CheckRequest.FromString, lambda message: message.SerializeToString()
                        )
                    },
                ),
            )
        )
        server.add_insecure_port(f"unix:{self.socket}")
        if self.tls is not None:
            certificate, key = (path.read_bytes() for path in self.tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            self.tls_port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self._server = server

    async def _process(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            self.requests.append(request)
            act = self.decide(request)
            if isinstance(act, EndCleanly):
                return
            if isinstance(act, Say):
                for message in act.messages:
                    yield message
            else:
                await self._misbehave(act, context)

    async def _check(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        act = self.decide(request)
        if isinstance(act, EndCleanly):
            return authz.CheckResponse()
        if isinstance(act, Say):
            return act.messages[0]
        await self._misbehave(act, context)
        return None

    async def _limit(self, request: bytes, context: Any) -> bytes:
        self.limits.append(request)
        if self.limit_answer is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "programmed failure")
        return self.limit_answer or b""

    async def _misbehave(self, act: Act, context: Any) -> None:
        if isinstance(act, Fail):
            await context.abort(act.code, "programmed failure")
        if isinstance(act, Hang):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        if isinstance(act, Crash):
            raise RuntimeError("programmed crash")
