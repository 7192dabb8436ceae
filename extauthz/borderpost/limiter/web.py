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

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from borderpost.admin.app import AdminServer, make_app, token_needed
from borderpost.admin.token import AdminDoor, Opened
from borderpost.config.sections import AdminSpec
from borderpost.health import Check
from borderpost.limiter.asked_in_json import asked_in_json
from borderpost.limiter.told_limits import told_limits
from borderpost_ratelimit.files.book import Book
from borderpost_wire.service import Service


def make_web(
    spec: AdminSpec, service: Service, *, checks: Callable[[], list[Check]], book: Callable[[], Book],
    look: Callable[[Request], Awaitable[Response]], metrics: Callable[[], bytes],
) -> AdminServer:  # fmt: skip
    """Build the server of the endpoints; `book` gives the limits in force, `look` answers `/look`."""
    open_to = AdminDoor(spec, "limiter.admin").open_to

    def is_open(request: Request) -> bool:
        return open_to(request.headers.get("authorization", "")) is Opened.ALL

    async def json(request: Request) -> Response:
        return await asked_in_json(service, request) if is_open(request) else token_needed("limiter.admin")

    async def look_at(request: Request) -> Response:
        return await look(request) if is_open(request) else token_needed("limiter.admin")

    async def rlconfig(request: Request) -> Response:
        if not is_open(request):
            return token_needed("limiter.admin")
        return PlainTextResponse("".join(f"{line}\n" for line in told_limits(book())))

    async def healthcheck(_request: Request) -> Response:
        holds = all(check.holds for check in checks())
        return PlainTextResponse("OK" if holds else "", status_code=200 if holds else 500)

    routes = [
        Route("/json", json, methods=["POST"]),
        Route("/look", look_at, methods=["POST"]),
        Route("/rlconfig", rlconfig),
        Route("/healthcheck", healthcheck),
    ]
    app = make_app(checks=checks, metrics=metrics, routes=routes, open_to=open_to, section="limiter.admin")
    return AdminServer(app, host=spec.host, port=spec.port)
