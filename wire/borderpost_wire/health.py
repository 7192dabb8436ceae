"""gRPC health checking (grpc.health.v1), as a service on our own interface.

Its two messages have one field each, so they are coded by hand here: this package depends on no generated
code. Source: grpc/doc/health-checking.md and grpc/health/v1/health.proto.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

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
    """Encode HealthCheckResponse: field 1, varint."""
    return bytes((0x08, status))


def _requested_service(message: bytes) -> str:
    """Decode HealthCheckRequest: field 1, string; other fields are skipped. ValueError if it is malformed."""
    service = ""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 2:
            length, position = _varint(message, position)
            end = position + length
        elif tag & 7 == 0:
            length, end = 0, _varint(message, position)[1]
        elif tag & 7 in (1, 5):
            end = position + (8 if tag & 7 == 1 else 4)
        else:
            raise ValueError("wire type")
        if end > len(message) or tag >> 3 == 0:
            raise ValueError("field")
        if tag == 0x0A:
            service = message[position:end].decode("utf-8")
        position = end
    return service


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("truncated")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("varint")
