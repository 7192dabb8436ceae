"""The limits in force, one a line: what `/rlconfig` answers.

A fixed window of one unit is written as envoyproxy/ratelimit writes it there (`rateLimitDescriptor.dump` in
src/config/config_impl.go), so that a script which reads one reads the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Limit, Scope, Unit, WhenAway


def told_limits(book: Book) -> Iterator[str]:
    """Return a line for each limit of each rule, in the order of the files."""
    for rule in book.rules:
        modes = f"shadow_mode: {_word(rule.shadow)}, quota_mode: {_word(rule.quota)}"
        if not rule.limits:
            yield f"{rule.path}: unlimited, {modes}"
        for limit in rule.limits:
            name = f" name={rule.name}" if rule.name else ""
            yield f"{rule.path}: {told_limit(limit)}{name}, {modes}"


def told_limit(limit: Limit) -> str:
    """Return what a limit says."""
    theirs = limit.algorithm is Algorithm.FIXED_WINDOW and limit.unit is not Unit.UNKNOWN
    if theirs and limit.window_us == limit.unit.length_us:
        words = [f"unit={limit.unit.name} requests_per_unit={limit.amount}"]
    else:
        words = [f"algorithm={limit.algorithm.value} amount={limit.amount} window_s={limit.window_us / SECOND_US:g}"]
    words += [f"burst={limit.burst}"] if limit.burst else []
    words += [f"reserve={limit.reserve}"] if limit.reserve else []
    words += [f"price_nano={limit.price_nano}"] if limit.price_nano else []
    words += ["scope=global"] if limit.scope is Scope.GLOBAL else []
    words += [f"when_store_away={limit.when_away.value}"] if limit.when_away is not WhenAway.LOCAL else []
    return " ".join(words)


def _word(holds: bool) -> str:
    return "true" if holds else "false"
