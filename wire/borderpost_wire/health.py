"""gRPC health checking (grpc.health.v1), as a service on our own interface.

Its two messages have one field each, so they are coded by hand here: this package depends on no generated
code. Source: grpc/doc/health-checking.md and grpc/health/v1/health.proto.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from borderpost_wire.protobuf import texts, varint_field
from borderpost_wire.service import Call, MethodKind, StatusCode

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
WATCHERS_MAX = 1000
"""Watches at a time; each holds a stream open for as long as its client likes."""


class ServingStatus(enum.IntEnum):
    """HealthCheckResponse.ServingStatus."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class HealthService:
    """Tells whoever asks whether a service is served. The empty name is the server as a whole."""

    def __init__(self, serving: Mapping[str, bool] | None = None) -> None:
        self._serving: dict[str, bool] = dict(serving or {})
        self._watchers: dict[str, set[Call]] = {}
        self._watcher_count = 0

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return Check and Watch."""
        return {CHECK: MethodKind.UNARY, WATCH: MethodKind.SERVER_STREAM}

    def set_status(self, service: str, serving: bool) -> None:
        """Set what is told of a service (its full gRPC name); on the engine's loop. Watchers hear changes."""
        if self._serving.get(service) == serving:
            return
        self._serving[service] = serving
        for call in list(self._watchers.get(service, ())):
            call.reply(_response(self._status(service)))

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Answer checks, begin watches."""
        for call, message in batch:
            try:
                service = _requested_service(message)
            except ValueError:
                call.fail(StatusCode.INVALID_ARGUMENT, "not a HealthCheckRequest")
                continue
            if call.method == WATCH:
                self._watch(call, service)
            elif service in self._serving:
                call.reply(_response(self._status(service)))
            else:
                call.fail(StatusCode.NOT_FOUND, "unknown service")

    def gone(self, call: Call) -> None:
        """Forget a watcher."""
        if call.state is not None and call in self._watchers.get(call.state, ()):
            watchers = self._watchers[call.state]
            watchers.discard(call)
            self._watcher_count -= 1
            if not watchers:
                del self._watchers[call.state]

    def _watch(self, call: Call, service: str) -> None:
        if self._watcher_count >= WATCHERS_MAX:
            call.fail(StatusCode.RESOURCE_EXHAUSTED, "too many watches")
            return
        call.state = service
        self._watchers.setdefault(service, set()).add(call)
        self._watcher_count += 1
        call.reply(_response(self._status(service)))

    def _status(self, service: str) -> ServingStatus:
        serving = self._serving.get(service)
        if serving is None:
            return ServingStatus.SERVICE_UNKNOWN
        return ServingStatus.SERVING if serving else ServingStatus.NOT_SERVING


def _response(status: ServingStatus) -> bytes:
    """Encode HealthCheckResponse."""
    return varint_field(1, status)


def _requested_service(message: bytes) -> str:
    """Decode HealthCheckRequest: field 1; other fields are skipped. ValueError if it is malformed."""
    return "".join(texts(message, 1)[-1:])
