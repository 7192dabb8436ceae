"""A rate-limit service over a store and a few rules, and what a test asks of it."""

from __future__ import annotations

from typing import Any

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_ratelimit.refusals import RefusalLog
from borderpost_ratelimit.rules import Entries, Rule
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import RuleCounts, Statistics
from support.ratelimit_parts import ListedRules, WindowStore, answer_of, descriptor_of, rule_of, still_world

OK, OVER = 1, 2


class Served:
    def __init__(
        self,
        *rules: tuple[Entries, Rule],
        store: WindowStore | None = None,
        log: RefusalLog | None = None,
        **settings: Any,
    ) -> None:
        self.store = store or WindowStore()
        self.statistics = Statistics()
        self.service = RateLimitService(
            rules=ListedRules(*rules), store=self.store, world=still_world(), statistics=self.statistics,
            settings=ServiceSettings(**settings), refusals=log,
        )  # fmt: skip

    def ask(self, *names: str, hits: int = 0) -> RateLimitResponse:
        return answer_of(self.service, *[descriptor_of((name, "x")) for name in names], hits=hits)

    def counts(self, name: str) -> RuleCounts:
        return dict(self.statistics.rules())[f"shop.{name}"]


def on(key: str, *limits: Any, **more: Any) -> tuple[Entries, Rule]:
    return ((key, ""),), rule_of(key, *limits, **more)


def codes(answer: RateLimitResponse) -> list[int]:
    return [status.code for status in answer.statuses]
