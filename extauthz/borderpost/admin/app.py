"""The admin endpoints: `/livez`, `/readyz` and `/metrics`, for probes and Prometheus; and webhooks.

`/livez` says that the steward's loop turns. `/readyz` says that every worker can decide and record now; it is
what takes an instance out of service, and lists beside it what somebody should look at. Both answer `text/plain` (or
JSON with `?verbose`), 200 or 503.

On loopback everybody may ask. Elsewhere, or where there is a token, everybody learns yes or no from the first two,
and the rest takes the token (`admin.token_file`): 401 without. Webhooks bring proof of their own, each feed's secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from borderpost.admin.token import Opened
from borderpost.health import Check, Outcome
from borderpost_base.metrics import CONTENT_TYPE


def token_needed(section: str) -> Response:
    """Return the answer to who may not ask; `section` is the one that names the token's file."""
    return PlainTextResponse(
        f"this takes the token of `{section}.token_file`\n", status_code=401, headers={"www-authenticate": "Bearer"}
    )


def make_app(
    *,
    checks: Callable[[], list[Check]],
    metrics: Callable[[], Awaitable[bytes]],
    routes: Sequence[Route] = (),
    open_to: Callable[[str], Opened] = lambda _authorization: Opened.ALL,
    section: str = "admin",
) -> Starlette:
    """Build the application over two questions (what came of every check, what are the metrics now) and further
    routes, which see to it themselves who may use them. `open_to` says what a request's `Authorization` opens, and
    `section` where that is configured."""

    def is_open(request: Request) -> bool:
        return open_to(request.headers.get("authorization", "")) is Opened.ALL

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        seen = checks()
        ready = all(check.holds for check in seen)
        status = 200 if ready else 503
        if not is_open(request):
            return PlainTextResponse("ok\n" if ready else "not ready\n", status_code=status)
        if "verbose" in request.query_params:
            body: dict[str, Any] = {
                "ready": ready,
                "checks": [{"name": c.name, "outcome": c.outcome, "detail": c.detail} for c in seen],
            }
            return Response(orjson.dumps(body) + b"\n", status_code=status, media_type="application/json")
        failed = [f"{check.name}: {check.detail}" for check in seen if not check.holds]
        warnings = [f"warning: {c.name}: {c.detail}" for c in seen if c.outcome is Outcome.WARNING]
        return PlainTextResponse("\n".join([*(failed or ["ok"]), *warnings]) + "\n", status_code=status)

    async def prometheus(request: Request) -> Response:
        if not is_open(request):
            return token_needed(section)
        return Response(await metrics(), media_type=CONTENT_TYPE)

    own = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", prometheus)]
    return Starlette(routes=[*own, *routes])


class AdminServer(uvicorn.Server):
    """uvicorn inside the steward's loop: it leaves signals to the steward."""

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off", ws="none")
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield

    @property
    def bound_port(self) -> int:
        """Return the port in use, once started (the configured one may be 0)."""
        return int(self.servers[0].sockets[0].getsockname()[1])
