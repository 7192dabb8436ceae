"""`POST /json`: a rate-limit question without gRPC, as envoyproxy/ratelimit takes it.

The body is a `RateLimitRequest` in protobuf's JSON form, and so is the answer, a `RateLimitResponse`:

200   within the limits              429   over one of them; the body is the same
400   not understood                 503   no answer: no limits are loaded, or the store is away
408   the body did not arrive        413   too long

The question goes the way of a question over gRPC, as one call of a batch of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, NamedTuple

import orjson
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from borderpost.admin.bodies import read_body
from borderpost_base import limits
from borderpost_proto.rate_limit_pb2 import RateLimitRequest, RateLimitResponse
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT
from borderpost_wire.service import Service, StatusCode

_STATUS = {RateLimitResponse.OK: 200, RateLimitResponse.OVER_LIMIT: 429}
UNREAD = {
    408: "the body did not arrive in time",
    413: f"a question has at most {limits.LIMITER_JSON_BYTES_MAX} bytes",
}


class Failed(NamedTuple):
    """A call that was not answered."""

    status: StatusCode
    text: str


class OneCall:
    """A unary call whose peer is this process."""

    method = SHOULD_RATE_LIMIT

    def __init__(self) -> None:
        self.state: Any = None
        self.answer: asyncio.Future[bytes | Failed] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        """Return False once it has an answer, or nobody waits for one."""
        return not self.answer.done()

    def reply(self, message: bytes) -> None:
        """Take the answer."""
        if self.alive:
            self.answer.set_result(message)

    def fail(self, status: StatusCode, text: str) -> None:
        """Take the failure."""
        if self.alive:
            self.answer.set_result(Failed(status, text))

    def ask(self, message: bytes) -> None:
        """Raise ValueError: a unary call has one message."""
        raise ValueError("a unary call takes one message")

    def finish(self) -> None:
        """Raise ValueError: a unary call ends with its answer."""
        raise ValueError("a unary call ends with its answer")


async def answered(service: Service, message: bytes, within_s: float) -> bytes | Failed:
    """Return what a service answers to one message; DEADLINE_EXCEEDED where it takes longer."""
    call = OneCall()
    service.messages([(call, message)])
    try:
        return await asyncio.wait_for(call.answer, within_s)
    except TimeoutError:
        service.gone(call)
        return Failed(StatusCode.DEADLINE_EXCEEDED, "the service did not answer in time")


async def asked_in_json(service: Service, request: Request) -> Response:
    """Answer one HTTP request."""
    raw = await read_body(request, bytes_max=limits.LIMITER_JSON_BYTES_MAX, within_s=limits.LIMITER_JSON_S_MAX)
    if isinstance(raw, int):
        return problem(raw, UNREAD[raw])
    try:
        message = question(raw).SerializeToString()
    except ValueError as error:
        return problem(400, str(error))
    answer = await answered(service, message, limits.LIMITER_JSON_S_MAX)
    if isinstance(answer, Failed):
        return problem(400 if answer.status is StatusCode.INVALID_ARGUMENT else 503, answer.text)
    response = RateLimitResponse.FromString(answer)
    status = _STATUS.get(response.overall_code, 503)
    return Response(in_json(response), status_code=status, media_type="application/json")


def question(raw: bytes) -> RateLimitRequest:
    """Return the question that a body asks. Raises ValueError, which says nothing of any value."""
    try:
        fields = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)
        orjson.dumps(fields)
    except orjson.JSONEncodeError as error:  # the library for messages breaks down over it
        raise ValueError("a text in it is not Unicode, or a number is too large") from error
    except RecursionError as error:
        raise ValueError("this is nested too deeply") from error
    except ValueError as error:
        raise ValueError("this is not JSON, or names a key twice") from error
    if not isinstance(fields, dict):
        raise ValueError("a question is a JSON object")
    try:
        return json_format.ParseDict(_with_bytes(fields), RateLimitRequest())
    except (json_format.ParseError, RecursionError) as error:
        raise ValueError("this is not a RateLimitRequest (envoy.service.ratelimit.v3)") from error


def in_json(response: RateLimitResponse) -> bytes:
    """Return an answer in protobuf's JSON form, under Envoy's names of the units."""
    told = json_format.MessageToDict(response)
    for status in told.get("statuses", ()):
        limit = status.get("currentLimit", {})
        if limit.get("unit") == "UNKNOWN_UNIT":
            del limit["unit"]
    return orjson.dumps(told) + b"\n"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_number(_word: str) -> float:
    raise ValueError("NaN and Infinity are no JSON")


def _with_bytes(fields: dict[str, Any]) -> dict[str, Any]:
    """Write the values of entries as JSON writes bytes: Envoy's message has strings there, ours bytes."""
    for descriptor in _objects(fields.get("descriptors")):
        for entry in _objects(descriptor.get("entries")):
            value = entry.get("value")
            if value is not None:
                entry["value"] = _coded(value)
    return fields


def _coded(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("the value of an entry is a string")
    return base64.b64encode(value.encode()).decode()


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def problem(status: int, detail: str) -> Response:
    """Return what went wrong as JSON, in its one field `detail`."""
    return Response(orjson.dumps({"detail": detail}) + b"\n", status_code=status, media_type="application/json")
