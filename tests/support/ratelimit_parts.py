"""Parts of a rate-limit service for tests: a store that really counts fixed windows, a book of a few rules, a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from borderpost_base.world import World
from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse, RateLimitUnit
from borderpost_ratelimit.charges import Charge, Done, Phase, Unanswered, Verdict
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.rules import Entries, Match, Rule
from borderpost_ratelimit.service import RateLimitService
from borderpost_wire.service import StatusCode

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
NOW_US = 1_795_000_000_250_000
"""A quarter of a second into a second."""


class StillClock:
    """A clock that a test sets."""

    def __init__(self, now_us: int = NOW_US) -> None:
        self.now_us = now_us

    def wall_us(self) -> int:
        return self.now_us

    def mono_us(self) -> int:
        return self.now_us


def still_world(now_us: int = NOW_US) -> World:
    return World(clock=StillClock(now_us))


def limit_of(amount: int, unit: Unit = Unit.MINUTE, *, domain: str = "shop", **more: Any) -> Limit:
    return Limit(domain, more.pop("algorithm", Algorithm.FIXED_WINDOW), amount, unit,
                 more.pop("window_us", 0) or unit.length_us, **more)  # fmt: skip


class WindowStore:
    """Counts every limit in fixed windows of its own clock, in one dict; answers at once unless told to hold."""

    name = "windows"

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}
        self.taken: list[tuple[Charge, ...]] = []
        self.unanswered: Unanswered | None = None
        self.held: list[tuple[Sequence[tuple[Charge, ...]], int, Done]] | None = None

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        if self.held is not None:
            self.held.append((requests, now_us, done))
            return
        self.taken += requests
        unanswered = self.unanswered
        if unanswered is not None:
            done([unanswered for _ in requests])
        else:
            done([tuple(self._charge(charge, now_us) for charge in charges) for charges in requests])

    def release(self) -> None:
        """Answer what was held, in order."""
        held, self.held = self.held or [], None
        for requests, now_us, done in held:
            self.take(requests, now_us, done)

    def _charge(self, charge: Charge, now_us: int) -> Verdict:
        limit = charge.limit
        key = (charge.key, now_us // limit.window_us)
        before = self.counts.get(key, 0)
        used = before if charge.phase is Phase.LOOK else max(0, before + charge.hits)
        self.counts[key] = used
        over = used > limit.amount and charge.phase is not Phase.DONE
        left_us = limit.window_us - now_us % limit.window_us
        return Verdict(over, used, max(0, limit.amount - used), left_us, left_us if over else 0)


class SaidStore(WindowStore):
    """Says what a test gives it: verdicts for the charges of each request, in turn."""

    def __init__(self, *verdicts: Verdict) -> None:
        super().__init__()
        self.verdicts = list(verdicts)

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        self.taken += requests
        done([tuple(self.verdicts.pop(0) for _ in charges) for charges in requests])


class ListedRules:
    """A book of rules by exact entries; a key alone holds for every value."""

    def __init__(self, *rules: tuple[Entries, Rule], domain: str = "shop") -> None:
        self._domain = domain
        self._rules = dict(rules)
        self.asked: list[Entries] = []

    @property
    def domains(self) -> frozenset[str]:
        return frozenset({self._domain})

    def match(self, domain: str, entries: Entries) -> Match | None:
        self.asked.append(entries)
        rule = self._rules.get(entries) or self._rules.get(tuple((key, "") for key, _ in entries))
        if rule is None:
            return None
        keys = tuple(f"{domain}|{entries}|{index}" for index in range(len(rule.limits)))
        return Match(rule, keys, rule.path)

    def override(self, domain: str, entries: Entries, amount: int, unit: Unit, multiplier: int = 1) -> Match | None:
        if domain != self._domain:
            return None
        limit = limit_of(amount, unit, domain=domain, window_us=unit.length_us * multiplier)
        rule = Rule(domain, f"{domain}.own", (limit,))
        return Match(rule, (f"{domain}|{entries}|{amount}/{multiplier}{unit.name}",), f"{domain}.own")


def rule_of(path: str, *limits: Limit, **more: Any) -> Rule:
    return Rule("shop", f"shop.{path}", limits, **more)


class CallOf:
    """A call that keeps what it was answered."""

    method = METHOD
    state: Any = None

    def __init__(self) -> None:
        self.answer: RateLimitResponse | None = None
        self.failure: tuple[StatusCode, str] | None = None
        self.answers = 0

    @property
    def alive(self) -> bool:
        return not self.answers

    def reply(self, message: bytes) -> None:
        self.answers += 1
        self.answer = RateLimitResponse.FromString(message)
        assert self.answer.SerializeToString(deterministic=True) == message, "not as upb encodes it"

    def ask(self, message: bytes) -> None:
        raise AssertionError("nothing is asked of a unary call")

    def fail(self, status: StatusCode, text: str) -> None:
        assert text.isascii()
        self.answers += 1
        self.failure = (status, text)

    def finish(self) -> None:
        raise AssertionError("a unary call is not finished")


def descriptor_of(
    *entries: tuple[str, str | bytes], hits: int | None = None, negative: bool = False,
    own: tuple[int, Unit] | tuple[int, Unit, int] | None = None,
) -> RateLimitDescriptor:  # fmt: skip
    """Return a descriptor; `own` is a limit of its own: amount, unit and how many units."""
    made = RateLimitDescriptor(is_negative_hits=negative)
    for key, value in entries:
        made.entries.add(key=key, value=value if isinstance(value, bytes) else value.encode())
    if hits is not None:
        made.hits_addend.value = hits
    if own is not None:
        made.limit.requests_per_unit, made.limit.unit = own[0], RateLimitUnit.ValueType(own[1])
        if len(own) == 3:
            made.limit.unit_multiplier.value = own[2]
    return made


def request_of(*descriptors: RateLimitDescriptor, domain: str = "shop", hits: int = 0) -> bytes:
    return RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits).SerializeToString()


def asked_of(service: RateLimitService, *messages: bytes) -> list[CallOf]:
    """Hand one batch to a service and return its calls."""
    calls = [CallOf() for _ in messages]
    service.messages(list(zip(calls, messages, strict=True)))
    return calls


def answer_of(service: RateLimitService, *descriptors: RateLimitDescriptor, hits: int = 0) -> RateLimitResponse:
    """Ask once, and return the answer."""
    (call,) = asked_of(service, request_of(*descriptors, hits=hits))
    assert call.answer is not None, call.failure
    return call.answer
