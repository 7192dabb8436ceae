"""`POST /look`: what is left of the limits that a question would meet. Nothing is charged, and nothing counted.

The body is a `RateLimitRequest` in protobuf's JSON form, as for `/json`. The answer tells, for each of its descriptors,
the rule in force that it meets and each limit of that rule: `amount`, `window_us`, and of the counter `used`,
`remaining`, `over` (one more hit would be), `reset_us` and `source`. It holds no value of any descriptor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from borderpost.admin.bodies import read_body
from borderpost.limiter.asked_in_json import UNREAD, problem, question
from borderpost_base import limits
from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Phase, Store, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.limits import Limit
from borderpost_ratelimit.questions import Asked, MalformedRequest, read
from borderpost_ratelimit.rules import Match

_DESCRIPTORS_MAX = 256
_ENTRIES_MAX = 256


async def looked_at(book: Book, store: Store, world: World, request: Request) -> Response:
    """Answer one HTTP request: 200, 400 not understood, 408 or 413 as `/json`, 503 where the store has no answer."""
    raw = await read_body(request, bytes_max=limits.LIMITER_JSON_BYTES_MAX, within_s=limits.LIMITER_JSON_S_MAX)
    if isinstance(raw, int):
        return problem(raw, UNREAD[raw])
    try:
        asked = read(question(raw).SerializeToString(), _DESCRIPTORS_MAX, _ENTRIES_MAX)
    except (ValueError, MalformedRequest) as error:
        return problem(400, str(error))
    matches = [_match(book, asked.domain, each) for each in asked.asked]
    charges = [Charge(limit, key, 0, Phase.LOOK) for match in matches for limit, key in _counters(match)]
    verdicts = await _looks(store, charges, world.now_us()) if charges else ()
    if isinstance(verdicts, Unanswered):
        return problem(503, f"the store of counters has no answer: {verdicts.reason}")
    told = {"digest": book.digest, "descriptors": _told(matches, verdicts)}
    return Response(orjson.dumps(told) + b"\n", media_type="application/json")


def _match(book: Book, domain: str, asked: Asked) -> Match | None:
    if asked.override is None:
        return book.match(domain, asked.entries)
    amount, unit, multiplier = asked.override
    return book.override(domain, asked.entries, amount, unit, multiplier)


def _counters(match: Match | None) -> list[tuple[Limit, str]]:
    return [] if match is None else list(zip(match.rule.limits, match.keys, strict=True))


async def _looks(store: Store, charges: list[Charge], now_us: int) -> Verdicts | Unanswered:
    """Return what the store says; an answer that comes too late is none."""
    answer: asyncio.Future[Verdicts | Unanswered] = asyncio.get_running_loop().create_future()

    def done(answers: Sequence[Verdicts | Unanswered]) -> None:
        if not answer.done():
            answer.set_result(answers[0])

    store.take([tuple(charges)], now_us, done)
    try:
        return await asyncio.wait_for(answer, limits.LIMITER_JSON_S_MAX)
    except TimeoutError:
        return Unanswered("timeout")


def _told(matches: list[Match | None], verdicts: Verdicts) -> list[dict[str, Any]]:
    told = []
    at = 0
    for match in matches:
        found = _counters(match)
        told.append(
            {
                "rule": None if match is None else match.rule.path,
                "unlimited": match is not None and match.rule.unlimited,
                "limits": [_limit(limit, verdict) for (limit, _), verdict in zip(found, verdicts[at:], strict=False)],
            }
        )
        at += len(found)
    return told


def _limit(limit: Limit, verdict: Verdict) -> dict[str, Any]:
    return {
        "algorithm": limit.algorithm.value,
        "amount": limit.amount,
        "window_us": limit.window_us,
        "over": verdict.over,
        "used": verdict.used,
        "remaining": verdict.remaining,
        "reset_us": verdict.reset_us,
        "source": verdict.source.value,
    }
