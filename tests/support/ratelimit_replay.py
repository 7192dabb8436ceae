"""Ours, asked what envoyproxy/ratelimit was asked: in this process, with the clock where each request puts it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from borderpost.limiter.told_limits import told_limits
from borderpost_base.world import World
from borderpost_ratelimit.charges import Store
from borderpost_ratelimit.files import Book, KeyStyle, load
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import HeaderNames, HeaderStyle, QuotaRule, ServiceSettings
from borderpost_ratelimit.statistics import NEAR_LIMIT_RATIO, Statistics
from support.ratelimit_corpus import Answer, Asked, Run, answer_of, message_of
from support.ratelimit_parts import CallOf, StillClock

_COUNTS = ("total_hits", "within_limit", "near_limit", "over_limit", "over_limit_with_local_cache", "shadow_mode")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What ours answered."""

    answers: Sequence[Answer]
    counters: Mapping[str, int]
    """Under envoyproxy/ratelimit's names; those of zero are left out."""


def settings_of(environ: Mapping[str, str]) -> ServiceSettings:
    """Return the service's settings that mean what the program's environment means."""

    def on(name: str) -> bool:
        return environ.get(name) == "true"

    names = HeaderNames()
    return ServiceSettings(
        headers=(HeaderStyle.ENVOYPROXY,) if on("LIMIT_RESPONSE_HEADERS_ENABLED") else (),
        header_names=HeaderNames(
            environ.get("LIMIT_LIMIT_HEADER", names.limit),
            environ.get("LIMIT_REMAINING_HEADER", names.remaining),
            environ.get("LIMIT_RESET_HEADER", names.reset),
        ),
        dynamic_metadata=on("RESPONSE_DYNAMIC_METADATA"),
        shadow=on("SHADOW_MODE"),
        quota=on("QUOTA_MODE"),
        quota_rule=QuotaRule.NEVER,
    )


def book_of(run: Run, directory: Path, style: KeyStyle) -> Book:
    """Write a run's limits files into a directory, which is made, and load them as they are. Raises Problems."""
    directory.mkdir()
    for name, text in run.files.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")
    return load([directory], key_style=style, merge_domains=run.settings.get("MERGE_DOMAIN_CONFIG") == "true")


class Replay:
    """One service over one store."""

    def __init__(self, run: Run, directory: Path, store: Store, style: KeyStyle) -> None:
        """Load the run's files from `directory`, which is made."""
        self._clock = StillClock()
        ratio = float(run.settings.get("NEAR_LIMIT_RATIO", NEAR_LIMIT_RATIO))
        self._statistics = Statistics(near_limit_ratio=ratio, value_names_max=1 << 20)
        self.service = RateLimitService(
            rules=book_of(run, directory, style), store=store, world=World(clock=self._clock),
            statistics=self._statistics, settings=settings_of(run.settings),
        )  # fmt: skip

    def ask(self, asked: Asked) -> CallOf:
        """Ask one thing, and return the call; a store that is a server answers later."""
        self._clock.now_us = asked.now_s * 1_000_000
        call = CallOf()
        self.service.messages([(call, message_of(asked))])
        return call

    def counters(self) -> dict[str, int]:
        """Return what was counted, under the program's names."""
        found = {
            f"rate_limit.{name}.{count}": getattr(counts, count)
            for name, counts in self._statistics.rules()
            for count in _COUNTS
        }
        for domain, count in self._statistics.unknown_domains.items():
            found[f"rate_limit.{domain}.domain_not_found"] = count
        found["global_shadow_mode"] = self._statistics.global_shadow_mode
        return {name: count for name, count in sorted(found.items()) if count}


def told(call: CallOf) -> Answer:
    """Return what a call was answered."""
    if call.answer is not None:
        return answer_of(call.answer.SerializeToString())
    assert call.failure is not None, "an answer or an error"
    return Answer(error=call.failure[0].name)


def replay(run: Run, directory: Path, store: Store, style: KeyStyle) -> Replayed:
    """Ask ours a run's questions one after the other; the store answers at once."""
    ours = Replay(run, directory, store, style)
    return Replayed([told(ours.ask(one)) for one in run.asked], ours.counters())


async def answer_of_call(call: CallOf) -> Answer:
    """Wait for what a call is answered."""
    while call.alive:
        await asyncio.sleep(0)
    return told(call)


async def replay_on_server(run: Run, directory: Path, store: Store, style: KeyStyle) -> Replayed:
    """Do the same with a store that is a server, which is started and closed."""
    ours, answers = Replay(run, directory, store, style), []
    await store.start()
    try:
        for one in run.asked:
            answers.append(await answer_of_call(ours.ask(one)))
    finally:
        await store.close()
    return Replayed(answers, ours.counters())


def dump(rules: Book | Sequence[str]) -> list[str]:
    """Return what a book, or the program's own list, holds, in the words of `/rlconfig`, sorted.

    There what is unlimited has the unit UNKNOWN and an amount that nobody reads, and names are left out.
    """
    if isinstance(rules, Book):
        return sorted(re.sub(r" name=\w+(?=, shadow_mode)", "", line) + "\n" for line in told_limits(rules))
    return sorted(re.sub(r"unit=UNKNOWN requests_per_unit=\d+", "unlimited", rule) for rule in rules)


def counter_names(counters: Mapping[str, int]) -> dict[str, int]:
    """Return counters of rules under the names that the program gives them in statsd.

    There it writes `_` for `:`, `|` and the points of an IPv4 address (`SanitizeStatName` in src/utils/utilities.go);
    ours are labels of Prometheus, which may hold anything. Names that become one are added up, as there.
    """
    found: Counter[str] = Counter()
    for name, count in counters.items():
        if name.startswith("rate_limit."):
            plain = re.sub(r"[:|]", "_", name)
            found[re.sub(r"\d{1,3}(?:\.\d{1,3}){3}", lambda ip: ip[0].replace(".", "_"), plain)] += count
    return dict(found)
