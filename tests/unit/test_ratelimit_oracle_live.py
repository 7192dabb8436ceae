"""Ours, held against the real envoyproxy/ratelimit, built by Go and asked here and now, with seeds of this very run."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from borderpost_base.errors import Problems
from borderpost_base.world import World
from borderpost_ratelimit.files import KeyStyle, load
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_corpus import Answer, Run
from support.ratelimit_differences import FILE_DIFFERENCES, Context, context_of, unexplained
from support.ratelimit_file_cases import cases
from support.ratelimit_oracle import Oracle, oracle, record, verdicts
from support.ratelimit_replay import Replay, answer_of_call, book_of, counter_names, dump, replay
from support.ratelimit_runs import SETTINGS, run_of

ROOT = Path(__file__).resolve().parents[2]
SEED = random.SystemRandom().randrange(1 << 32)
"""Told by a test that fails, so that its run can be made again."""
REQUESTS, DOMAINS, FILES = 2500, 20, 400
COUNTERS_MAX = 1_000_000

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.mark.parametrize("kind", SETTINGS)
def test_ours_answers_and_counts_as_the_real_program_does(kind: str, tmp_path: Path) -> None:
    run = run_of(kind, SEED, domains=DOMAINS, requests=REQUESTS)
    (tmp_path / "oracle").mkdir()
    recorded = record(run, tmp_path / "oracle")
    found = replay(run, tmp_path / "ours", MemoryStore(COUNTERS_MAX), KeyStyle.LENGTHS)
    book, theirs = (book_of(run, tmp_path / style.value, style) for style in KeyStyle)
    assert not unexplained(context_of(run, book, theirs), recorded.answers, found.answers), f"seed {SEED}"
    if kind == "counted":
        counters = {name: count for name, count in recorded.counters.items() if name.startswith("rate_limit.")}
        assert counter_names(found.counters) == counters, f"seed {SEED}"


def test_both_count_in_one_redis_while_ours_takes_over(tmp_path: Path) -> None:
    """Every second request is ours, and each answer is what the program gives that answers all of them."""
    run = run_of("ambiguous", SEED, domains=DOMAINS, requests=REQUESTS)
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()
    alone = record(run, tmp_path / "alone")
    with oracle(run, tmp_path / "both") as theirs:
        answers = asyncio.run(_in_turn(run, theirs, tmp_path / "ours"))
    assert not unexplained(Context(run), alone.answers, answers), f"seed {SEED}"


async def _in_turn(run: Run, theirs: Oracle, directory: Path) -> list[Answer]:
    spec = RedisStoreSpec(url=theirs.redis.url, prefix="", near_cache_entries=0)
    store = RedisStore(spec, World(), by_second=True, told_time=True)
    ours, answers = Replay(run, directory, store, KeyStyle.ENVOYPROXY), []
    await store.start()
    try:
        for number, asked in enumerate(run.asked):
            answers.append(await answer_of_call(ours.ask(asked)) if number % 2 else theirs.ask(asked))
    finally:
        await store.close()
    return answers


def test_ours_loads_what_the_real_program_loads(tmp_path: Path) -> None:
    texts = cases(FILES, SEED)
    (tmp_path / "oracle").mkdir()
    told = verdicts(texts, tmp_path / "oracle")
    for name, text in texts.items():
        theirs = None if told[name]["error"] is not None else dump(told[name]["rules"])
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        try:
            ours = dump(load([path]))
        except Problems:
            ours = None
        allowed = any(allows(text, theirs, ours) for _, allows in FILE_DIFFERENCES.values())
        assert ours == theirs or allowed, f"seed {SEED}, {name}: {told[name]['error']}\n{text}"


def test_the_recordings_come_out_again() -> None:
    command = [sys.executable, str(ROOT / "tools/record_ratelimit.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
