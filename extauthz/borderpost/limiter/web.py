"""The limiter's HTTP endpoints, for people, probes and clients that cannot speak gRPC.

    POST /json                a rate-limit question (`asked_in_json`)
    POST /look                what is left for such a question, which charges nothing (`looked_at`)
    GET  /rlconfig            the limits in force, one rule a line
    GET  /healthcheck         `OK`, or 500: as envoyproxy/ratelimit says it
    GET  /livez /readyz /metrics, as the gateway's admin server has them

On loopback everybody may ask. Elsewhere, or where there is a token, everybody learns from the health endpoints yes or
no, and the rest takes the token (`limiter.admin.token_file`): a question charges limits, and limits are nobody else's
business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from borderpost.admin.app import AdminServer, make_app, token_needed
from borderpost.admin.token import AdminDoor, Opened
from borderpost.config.sections import AdminSpec
from borderpost.health import Check
from borderpost.limiter.asked_in_json import asked_in_json
from borderpost.limiter.told_limits import told_limits
from borderpost.listening import is_free
from borderpost_base.errors import BorderpostError, Place
from borderpost_ratelimit.files.book import Book
from borderpost_wire.options import TcpListen
from borderpost_wire.service import Service

_SECTION: Final = "limiter.admin"
_LOOK_S: Final = 0.05
"""How often it is looked whether the address is free."""


class LimiterWeb:
    """The server of the endpoints; `book` gives the limits in force, `look` answers `/look`."""

    def __init__(
        self, spec: AdminSpec, service: Service, *, checks: Callable[[], list[Check]], book: Callable[[], Book],
        metrics: Callable[[], Awaitable[bytes]], look: Callable[[Request], Awaitable[Response]],
    ) -> None:  # fmt: skip
        self._spec = spec
        self._service = service
        self._checks = checks
        self._book = book
        self._look_at = look
        self._open_to = AdminDoor(spec, _SECTION).open_to
        routes = [
            Route("/json", self._json, methods=["POST"]),
            Route("/look", self._look, methods=["POST"]),
            Route("/rlconfig", self._rlconfig),
            Route("/healthcheck", self._healthcheck),
        ]
        self.app = make_app(checks=checks, metrics=metrics, routes=routes, open_to=self._open_to, section=_SECTION)
        """What is served."""
        self._server = AdminServer(self.app, host=spec.host, port=spec.port)

    async def run(self, *, waits: bool) -> None:
        """Serve until `stop`; `waits`: for another limiter to let go of the address.

        Raises BorderpostError BP0605 where the address cannot be had.
        """
        address = TcpListen(self._spec.host, self._spec.port)
        while waits and self._spec.port:
            if is_free(address):
                break
            await asyncio.sleep(_LOOK_S)
        try:
            await self._server.serve()
        except (OSError, SystemExit) as error:  # uvicorn exits where it cannot bind
            detail = f"{address.address} cannot be bound"
            raise BorderpostError("BP0605", detail, place=Place(key=f"{_SECTION}.port")) from error

    def stop(self) -> None:
        """Have `run` end."""
        self._server.should_exit = True

    def _is_open(self, request: Request) -> bool:
        return self._open_to(request.headers.get("authorization", "")) is Opened.ALL

    async def _json(self, request: Request) -> Response:
        return await asked_in_json(self._service, request) if self._is_open(request) else token_needed(_SECTION)

    async def _look(self, request: Request) -> Response:
        return await self._look_at(request) if self._is_open(request) else token_needed(_SECTION)

    async def _rlconfig(self, request: Request) -> Response:
        if not self._is_open(request):
            return token_needed(_SECTION)
        return PlainTextResponse("".join(f"{line}\n" for line in told_limits(self._book())))

    async def _healthcheck(self, _request: Request) -> Response:
        holds = all(check.holds for check in self._checks())
        return PlainTextResponse("OK" if holds else "", status_code=200 if holds else 500)
