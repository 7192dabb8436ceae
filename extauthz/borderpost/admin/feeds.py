"""`POST /feeds/NAME`: where the senders of webhooks say what fires triggers.

200   heard; the body names the events that are in force because of it. They are published, and the fleet knows
400   not readable (BP1030)            403   not the sender's, or not of now (BP1032)
404   no such webhook                  408   the body did not arrive in time
413   too long                         503   heard, but not taken everywhere: send it again (BP1031, BP1033)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from borderpost.admin.bodies import read_body
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.names import FEED_SIGNATURE_HEADER

Deliver = Callable[[str, bytes, str], Awaitable[list[str]]]
"""Takes a feed's name, a message and its signature, and returns ids of events; see `borderpost.feeds.Feeds.deliver`."""

_STATUS = {"BP1030": 400, "BP1032": 403}
_UNREAD = {
    408: "the body did not arrive in time",
    413: f"a message has at most {limits.FEED_MESSAGE_BYTES_MAX} bytes",
}


def feeds_route(deliver: Deliver) -> Route:
    """Return the route."""

    async def post(request: Request) -> Response:
        raw = await read_body(request, bytes_max=limits.FEED_MESSAGE_BYTES_MAX, within_s=limits.FEED_READ_S_MAX)
        if isinstance(raw, int):
            return _answer(raw, detail=_UNREAD[raw])
        name, signature = request.path_params["name"], request.headers.get(FEED_SIGNATURE_HEADER, "")
        try:
            fired = await deliver(name, raw, signature)
        except KeyError:
            return _answer(404, detail="no such webhook")
        except BorderpostError as error:
            status = _STATUS.get(error.code, 503)
            detail = error.detail if status < 500 else "not taken; the gateway's log says why"
            return _answer(status, code=error.code, detail=detail)
        return _answer(200, feed=name, in_force=fired)

    return Route("/feeds/{name}", post, methods=["POST"])


def _answer(status: int, **told: object) -> Response:
    return Response(orjson.dumps(told) + b"\n", status_code=status, media_type="application/json")
