"""Where ours may answer otherwise than envoyproxy/ratelimit, each with its reason; nothing else may differ.

`docs/guide/ratelimit-differences.md` tells the same to people, by the same names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from borderpost_ratelimit.files import Book
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.rules import RuleBook
from borderpost_ratelimit.settings import ServiceSettings
from support.ratelimit_corpus import Answer, Asked, Descriptor, Run

_REFUSED = "INVALID_ARGUMENT"
_BOUNDS = ServiceSettings()
_UINT32_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a run when one of its answers is judged."""

    run: Run
    apart: frozenset[int] = frozenset()
    """Requests with a counter that the program shares between things that ours counts apart."""
    ended: frozenset[int] = field(default_factory=frozenset)
    """Requests after one that ends the program."""


class Difference(NamedTuple):
    """Something that may differ."""

    name: str
    reason: str
    allows: Callable[[Context, int, Answer, Answer], bool]
    """Says of a request by its index, the program's answer and ours whether this is why they differ."""


def _malformed(wrong: Callable[[Asked], bool]) -> Callable[[Context, int, Answer, Answer], bool]:
    def allows(context: Context, index: int, _theirs: Answer, ours: Answer) -> bool:
        return ours.error == _REFUSED and wrong(context.run.asked[index])

    return allows


def _any(wrong: Callable[[Descriptor], bool]) -> Callable[[Asked], bool]:
    return lambda asked: any(map(wrong, asked.descriptors))


def _apart(context: Context, index: int, theirs: Answer, ours: Answer) -> bool:
    """Ours lets more pass, or has more left, of the same limits."""
    if index not in context.apart or theirs.error is not None or ours.error is not None:
        return False
    pairs = zip(theirs.statuses, ours.statuses, strict=True)
    return all(one.limit == other.limit and one.remaining <= other.remaining for one, other in pairs)


def _star_inside(context: Context, _index: int, theirs: Answer, ours: Answer) -> bool:
    met = [two for one, two in zip(theirs.statuses, ours.statuses, strict=False) if one.limit != two.limit]
    inside = any(re.search(r"\*[^'\"\s]", text) for text in context.run.files.values())
    return inside and bool(met) and all(one.limit for one in met)


def _limit_text(_context: Context, _index: int, theirs: Answer, ours: Answer) -> bool:
    return _limits_read(theirs) == _limits_read(ours)


def _greatest_left(_context: Context, _index: int, theirs: Answer, ours: Answer) -> bool:
    left = {one.remaining for one in ours.statuses if one.limit is not None}
    alike = _limits_read(theirs) == _limits_read(ours._replace(headers=()))
    return alike and left == {_UINT32_MAX}


def _limits_read(one: Answer) -> Answer:
    """Return an answer whose metadata tell a request's own limits as amount and unit, not as anybody's text of them."""
    if one.metadata is None:
        return one
    descriptors = [
        {**told, "limit": _limit_read(told["limit"])} if "limit" in told else told
        for told in one.metadata["descriptors"]
    ]
    return one._replace(metadata={**one.metadata, "descriptors": descriptors})


def _limit_read(text: str) -> tuple[int, str]:
    told = dict(word.split(":") for word in text.split())
    unit = told["unit"]
    return int(told.get("requests_per_unit", 0)), Unit(int(unit)).name if unit.isdigit() else unit


def _reserved(context: Context, index: int, _theirs: Answer, ours: Answer) -> bool:
    entries = [key for one in context.run.asked[index].descriptors for key, _ in one.entries]
    return any(key.startswith("borderpost.") for key in entries) and ours.error in {None, _REFUSED}


def _counter_full(context: Context, _index: int, theirs: Answer, ours: Answer) -> bool:
    great = any((one.hits or 0) >= 1 << 62 for asked in context.run.asked for one in asked.descriptors)
    return theirs.error == "UNKNOWN" and ours.code == 2 and great


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "counters-apart",
        "two things that are limited apart are counted apart, even where their names join to one text, or their "
        "windows begin at the same second",
        _apart,
    ),
    Difference(
        "malformed-status", "the caller is at fault, so it gets INVALID_ARGUMENT and not UNKNOWN",
        _malformed(lambda asked: not asked.domain or not asked.descriptors),
    ),
    Difference(
        "empty-names", "Envoy's own rules want entries and keys; a request without them is a mistake, not unlimited",
        _malformed(_any(lambda one: not one.entries or any(not key for key, _ in one.entries))),
    ),
    Difference(
        "unknown-unit", "a limit of the request's own with a unit that nobody knows ends the program; ours refuses it",
        _malformed(_any(lambda one: one.limit is not None and not one.limit[1])),
    ),
    Difference(
        "limit-text", "metadata tell a request's own limit as text: there in a form for debugging, without zeros",
        _limit_text,
    ),
    Difference(
        "greatest-left", "a limit of 4294967295 of which all is left gets no headers there; ours tells it like others",
        _greatest_left,
    ),
    Difference("ended-program", "the program has ended before", lambda context, index, *_: index in context.ended),
    Difference(
        "bounds", "a request has at most so many descriptors and entries",
        _malformed(lambda asked: len(asked.descriptors) > _BOUNDS.descriptors_max
                   or any(len(one.entries) > _BOUNDS.entries_max for one in asked.descriptors)),
    ),
    Difference(
        "star-inside", "`*` stands for any characters wherever it stands, as in the program's newer versions",
        _star_inside,
    ),
    Difference("reserved-keys", "keys that begin with `borderpost.` name a request and its end", _reserved),
    Difference(
        "full-counter", "a counter at the end of its numbers is over its limit, and no error of the store",
        _counter_full,
    ),
)  # fmt: skip


def explained(context: Context, index: int, theirs: Answer, ours: Answer) -> str | None:
    """Return the name of the difference that allows these two answers to one request; None for a fault of ours."""
    return next((one.name for one in DIFFERENCES if one.allows(context, index, theirs, ours)), None)


def unexplained(context: Context, theirs: Sequence[Answer], ours: Sequence[Answer]) -> list[str]:
    """Return each pair of answers that differ and must not, in words."""
    told = []
    for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        if one != other and explained(context, index, one, other) is None:
            told.append(f"{index}: {context.run.asked[index]}\n  envoyproxy/ratelimit: {one}\n  ours: {other}")
    return told


def context_of(run: Run, book: Book, by_their_names: RuleBook) -> Context:
    """Return a run's context, given its files once with counters named our way, once as the program names them."""
    return Context(run, frozenset(_shared(run, book, by_their_names)), frozenset(_after_the_end(run)))


def _shared(run: Run, book: Book, by_their_names: RuleBook) -> list[int]:
    names: dict[str, set[str]] = defaultdict(set)
    found = []
    for index, asked in enumerate(run.asked):
        counters = [_counters(asked, one, book, by_their_names) for one in asked.descriptors]
        for pair in counters:
            if pair is not None:
                names[pair[0]].add(pair[1])
        if any(pair is not None and len(names[pair[0]]) > 1 for pair in counters):
            found.append(index)
    return found


def _counters(asked: Asked, one: Descriptor, book: Book, by_their_names: RuleBook) -> tuple[str, str] | None:
    """Return the names of the counter that a descriptor meets: the program's, with its window's begin, and ours."""
    if one.limit is None:
        matches = [rules.match(asked.domain, one.entries) for rules in (by_their_names, book)]
    elif one.limit[1]:
        amount, unit = one.limit
        matches = [rules.override(asked.domain, one.entries, amount, Unit(unit)) for rules in (by_their_names, book)]
    else:
        return None
    theirs, ours = matches
    if theirs is None or ours is None or not theirs.keys:
        return None
    length_s = theirs.rule.limits[0].window_us // 1_000_000
    return f"{theirs.keys[0]}{asked.now_s // length_s * length_s}", ours.keys[0]


def _after_the_end(run: Run) -> range:
    """Return the requests after the first that ends the program: a limit of its own without a unit."""
    for index, asked in enumerate(run.asked):
        if any(one.limit is not None and not one.limit[1] for one in asked.descriptors):
            return range(index, len(run.asked))
    return range(0)


FileRules = Sequence[str] | None
"""What a file amounts to, as `support.ratelimit_replay.dump` tells it; None for one that is refused."""

FILE_DIFFERENCES: Mapping[str, tuple[str, Callable[[str, FileRules, FileRules], bool]]] = {
    "key-twice": (
        "a key that stands twice in one place is refused: of two limits one would silently not hold",
        lambda text, theirs, ours: theirs is not None and ours is None and _stands_twice(text),
    ),
    "yaml-tags": (
        "tags are refused, as in all our files",
        lambda text, theirs, ours: theirs is not None and ours is None and bool(re.search(r": !!", text)),
    ),
}
"""Where a file is read otherwise: the reason, and what says of a text, the program's rules and ours that this is it."""


def _stands_twice(text: str) -> bool:
    """Return whether two lines in a row set the same key."""
    keys = [re.match(r"[ -]*(\w+):", line) for line in text.splitlines()]
    return any(one is not None and two is not None and one[1] == two[1] for one, two in pairwise(keys))
