"""What is to become of a request, from its fields alone: a method to call, or a refusal. Made once for each block."""

from __future__ import annotations

import re
from collections.abc import Mapping

from borderpost_wire.h2 import Request
from borderpost_wire.service import Call, MethodKind, Service, StatusCode

_CONTENT_TYPE = re.compile(rb"application/grpc(?:[+;].*)?", re.IGNORECASE)
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Route:
    """A method and who answers it."""

    __slots__ = ("inbox", "kind", "method", "service")

    def __init__(self, method: str, kind: MethodKind, service: Service, inbox: Inbox) -> None:
        self.method = method
        self.kind = kind
        self.service = service
        self.inbox = inbox


class Inbox:
    """What has arrived for one service and was not delivered yet."""

    __slots__ = ("pairs", "service")

    def __init__(self, service: Service) -> None:
        self.service = service
        self.pairs: list[tuple[Call, bytes]] = []


class Plan:
    """A request's route and deadline, or how it is refused."""

    __slots__ = ("http_status", "refusal", "route", "timeout_s")

    def __init__(
        self,
        route: Route | None = None,
        timeout_s: float | None = None,
        refusal: tuple[StatusCode, str] | None = None,
        http_status: int | None = None,
    ) -> None:
        self.route = route
        """None for a request that is refused."""
        self.timeout_s = timeout_s
        """Seconds that the client gives us, None for as long as we like."""
        self.refusal = refusal
        """The status of a request that is gRPC, but not for us."""
        self.http_status = http_status
        """The HTTP status for what is not gRPC."""


def plan_of(request: Request, routes: Mapping[bytes, Route]) -> Plan:
    """Return what is to become of a request."""
    if not _CONTENT_TYPE.fullmatch(request.field(b"content-type") or b""):
        return Plan(http_status=415)
    if request.method != b"POST":
        return Plan(http_status=405)
    route = routes.get(request.path)
    if route is None:
        return Plan(refusal=(StatusCode.UNIMPLEMENTED, "no such method"))
    timeout = request.field(b"grpc-timeout")
    if timeout is None:
        return Plan(route)
    parts = _TIMEOUT.fullmatch(timeout)
    if parts is None:
        return Plan(refusal=(StatusCode.INVALID_ARGUMENT, "grpc-timeout cannot be read"))
    return Plan(route, int(parts[1]) * _UNIT_S[parts[2]])
