"""Ours, held against what the real envoyproxy/ratelimit was recorded to answer, count and say of limits files.

The recordings name the program's version (tests/data/ratelimit, made by tools/record_ratelimit.py). What may differ
stands in tests/support/ratelimit_differences.py; the long tests ask the real program anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.requests import Request

from borderpost.limiter.asked_in_json import asked_in_json
from borderpost_base.errors import Problems
from borderpost_base.world import World
from borderpost_ratelimit.files import Book, KeyStyle, load
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support import ratelimit_corpus, ratelimit_json_cases
from support.ratelimit_corpus import Answer, Asked, Descriptor, Recording, Run
from support.ratelimit_differences import DIFFERENCES, FILE_DIFFERENCES, Context, context_of, explained, unexplained
from support.ratelimit_replay import Replay, Replayed, book_of, counter_names, dump, replay, replay_on_server
from support.ratelimit_runs import CORPUS, FILES, QUESTIONS, SETTINGS
from support.redis_server import RedisServer, redis_server

PAGE = Path(__file__).resolve().parents[2] / "docs/guide/ratelimit-differences.md"
KINDS = [*SETTINGS, "odd"]
COUNTERS_MAX = 100_000


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Compared(NamedTuple):
    """A recording, what ours says to the same, and what is known of both."""

    recorded: Recording
    found: Replayed
    context: Context


@functools.cache
def recording(kind: str) -> Recording:
    return ratelimit_corpus.read(CORPUS / f"{kind}.jsonl")


@functools.cache
def context(kind: str) -> Context:
    run = recording(kind).run
    with tempfile.TemporaryDirectory() as name:
        book, theirs = (book_of(run, Path(name) / style.value, style) for style in KeyStyle)
    return context_of(run, book, theirs)


@functools.cache
def compared(kind: str) -> Compared:
    recorded = recording(kind)
    with tempfile.TemporaryDirectory() as name:
        found = replay(recorded.run, Path(name) / "ours", MemoryStore(COUNTERS_MAX), KeyStyle.LENGTHS)
    return Compared(recorded, found, context(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_ours_answers_as_the_real_program_did(kind: str) -> None:
    recorded, found, known = compared(kind)
    assert re.fullmatch(r"envoyproxy/ratelimit v\d\S+", recorded.program)
    assert not unexplained(known, recorded.answers, found.answers)


@pytest.mark.parametrize("kind", ["plain", "shadow", "odd"])
def test_ours_answers_as_the_real_program_did_on_a_real_redis(kind: str, tmp_path: Path, redis: RedisServer) -> None:
    recorded = recording(kind)
    store = RedisStore(RedisStoreSpec(url=redis.url, prefix=f"{kind}:"), World(), told_time=True)
    found = asyncio.run(replay_on_server(recorded.run, tmp_path / "ours", store, KeyStyle.LENGTHS))
    assert not unexplained(context(kind), recorded.answers, found.answers)


@pytest.mark.parametrize("kind", ["plain", "ambiguous"])
def test_with_counters_named_as_there_none_is_apart(kind: str, tmp_path: Path, redis: RedisServer) -> None:
    recorded = recording(kind)
    spec = RedisStoreSpec(url=redis.url, prefix=f"{kind}-by-name:")
    store = RedisStore(spec, World(), by_second=True, told_time=True)
    found = asyncio.run(replay_on_server(recorded.run, tmp_path / "ours", store, KeyStyle.ENVOYPROXY))
    known = dataclasses.replace(context(kind), apart=frozenset())
    assert not unexplained(known, recorded.answers, found.answers)


def test_windows_that_share_a_counter_end_each_at_its_own_time(tmp_path: Path, redis: RedisServer) -> None:
    """By the program's names: an hour and a month that begin at one second, in one request; the counter stays."""
    begin_s = 1_793_664_000
    asked = Asked(begin_s, "d", (Descriptor((("k", "v"),)), Descriptor((("k", "v"),), (9, Unit.MONTH))))
    files = {"d.yaml": "domain: d\ndescriptors: [{key: k, rate_limit: {unit: hour, requests_per_unit: 9}}]\n"}
    store = RedisStore(RedisStoreSpec(url=redis.url, prefix=""), World(), by_second=True, told_time=True)
    run = Run({}, files, [asked])
    found = asyncio.run(replay_on_server(run, tmp_path / "ours", store, KeyStyle.ENVOYPROXY))
    assert [(one.remaining, one.reset_s) for one in found.answers[0].statuses] == [(8, 3_600), (7, 2_592_000)]
    with redis.client as client:
        assert client.ttl(f"d_k_v_{begin_s}") > 2_500_000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"ambiguous", "odd"}])
def test_what_differs_is_seldom(kind: str) -> None:
    """So that no difference that is allowed in a corner spreads over everything."""
    recorded, found, _ = compared(kind)
    differing = sum(one != other for one, other in zip(recorded.answers, found.answers, strict=True))
    assert differing <= len(recorded.answers) // 50


def test_ours_counts_as_the_real_program_did() -> None:
    recorded, found, _ = compared("counted")
    theirs = {name: count for name, count in recorded.counters.items() if name.startswith("rate_limit.")}
    assert len(theirs) > 100
    assert counter_names(found.counters) == theirs


def test_what_nobody_allows_is_found() -> None:
    recorded = recording("plain")
    spoiled: list[Answer] = [*recorded.answers]
    changes: list[Callable[[Answer], Answer]] = [
        lambda one: one._replace(code=3 - one.code),
        lambda one: one._replace(statuses=one.statuses[1:]),
        lambda one: one._replace(statuses=(one.statuses[0]._replace(remaining=9), *one.statuses[1:])),
        lambda one: one._replace(statuses=(one.statuses[0]._replace(reset_s=9), *one.statuses[1:])),
        lambda one: one._replace(statuses=(one.statuses[0]._replace(limit=(9, 1, "")), *one.statuses[1:])),
        lambda one: Answer(error="UNAVAILABLE"),
        lambda one: one._replace(headers=(("RateLimit-Limit", "9"),)),
    ]
    for number, change in enumerate(changes):
        spoiled[number] = change(recorded.answers[number])
    told = unexplained(context("plain"), recorded.answers, spoiled)
    assert [int(one.split(":")[0]) for one in told] == [*range(len(changes))]


def file_cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILES.read_text(encoding="utf-8").split("\n") if line]


def loaded(case: dict[str, Any], directory: Path) -> Book | None:
    path = directory / case["name"]
    path.write_text(case["text"], encoding="utf-8", newline="")
    try:
        return load([path])
    except Problems:
        return None


def test_ours_loads_what_the_real_program_loads_and_reads_the_same_rules(tmp_path: Path) -> None:
    cases = file_cases()
    assert len(cases) > 150
    wrong = []
    for case in cases:
        book = loaded(case, tmp_path)
        ours = None if book is None else dump(book)
        theirs = None if case["error"] is not None else dump(case["rules"])
        if ours != theirs and not any(allows(case["text"], theirs, ours) for _, allows in FILE_DIFFERENCES.values()):
            wrong.append((case["name"], case["text"], case["error"], theirs, ours))
    assert not wrong


def test_questions_in_json_are_answered_as_the_real_program_does(tmp_path: Path) -> None:
    cases = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").split("\n") if line]
    ours = Replay(ratelimit_json_cases.RUN, tmp_path / "ours", MemoryStore(COUNTERS_MAX), KeyStyle.LENGTHS)
    ours.ask(ratelimit_json_cases.RUN.asked[0])
    assert [case["body"] for case in cases] == [*ratelimit_json_cases.BODIES]
    for case in cases:
        status, answer = asyncio.run(_in_json(ours, case["body"]))
        theirs = case["status"], case["answer"]
        if case["body"].startswith("\ufeff"):  # `byte-order-mark`
            assert (theirs[0], status) == (400, 200)
        else:  # the program says nothing of what is wrong
            assert (status, answer if status in {200, 429} else None) == theirs, case["body"]


async def _in_json(ours: Replay, body: str) -> tuple[int, Any]:
    pieces = [body.encode()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop() if pieces else b"", "more_body": False}

    answer = await asked_in_json(ours.service, Request({"type": "http", "method": "POST", "headers": []}, receive))
    return answer.status_code, json.loads(bytes(answer.body))


def test_every_allowed_difference_is_met_by_a_recording() -> None:
    """A difference that nothing shows is none."""
    met = set()
    for kind in KINDS:
        recorded, found, known = compared(kind)
        for index, (one, other) in enumerate(zip(recorded.answers, found.answers, strict=True)):
            if one != other:
                met.add(explained(known, index, one, other))
    assert met == {one.name for one in DIFFERENCES}


def test_the_page_tells_of_every_allowed_difference() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == {one.name for one in DIFFERENCES} | set(FILE_DIFFERENCES) | {"byte-order-mark"}
