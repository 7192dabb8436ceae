"""Floods of distinct facts: however many tenants, models, places, classes and addresses ask, memory stays bounded.

Counts of entries and bytes, no times: what a flood costs is measured by the bench (`flood`).
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path

import pytest

from borderpost import answers
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost_base import limits
from borderpost_proto import ext_proc_pb2 as proc
from support.worker_parts import BRITISH, PROCESS, FakeCall, WorkerParts, until, worker_parts

pytestmark = pytest.mark.slow

SMALL = 32
"""Bound of every memory in these tests, so that a flood of hundreds is far beyond it."""
BOUNDS = (
    "REMEMBERED_AREAS_MAX", "REMEMBERED_RANKINGS_MAX", "REMEMBERED_FACTS_MAX", "REMEMBERED_TABLES_MAX",
    "REMEMBERED_REQUESTS_MAX", "REMEMBERED_MESSAGES_MAX", "REMEMBERED_VERDICTS_MAX",
)  # fmt: skip
ADDRESSES = 64
"""As `worker_parts` sets it."""
BATCH = 64
TENANTS = {"tenants": {"acme": {"classes": ["personal"]}}}


def asked(number: int, address: str = BRITISH, **headers: str) -> bytes:
    """Return a question whose request id is its own."""
    request = proc.ProcessingRequest()
    fields = request.attributes["envoy.filters.http.ext_proc"].fields
    fields["source.address"].string_value = f"{address}:4711"
    for key, value in {"x-request-id": f"{number:012x}", **headers}.items():
        request.request_headers.headers.headers.add(key=key.replace("_", "-"), raw_value=value.encode())
    return request.SerializeToString()


def place(number: int) -> str:
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return f"GB-{letters[number // 1296 % 36]}{letters[number // 36 % 36]}{letters[number % 36]}"


FLOODS = {
    "model": lambda n: asked(n, x_model=f"m-{n}"),
    "class": lambda n: asked(n, x_data_class=f"c-{n}"),
    "classes": lambda n: asked(n, x_data_class=f"health, c-{n}, c-{n + 1}"),
    "place": lambda n: asked(n, x_data_residency=place(n)),
    "tenant": lambda n: asked(n, x_tenant=f"t-{n}"),
    "address": lambda n: asked(n, f"212.58.{244 + n % 8}.{n // 8 % 256}"),
    "all": lambda n: asked(n, f"212.58.{n % 256}.{n // 256}", x_model=f"m-{n}", x_data_residency=place(n)),
}


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BOUNDS:
        monkeypatch.setattr(limits, name, SMALL)
    monkeypatch.setattr(answers, "_REMEMBERED_ANSWERS_MAX", SMALL)


async def pour(parts: WorkerParts, messages: Iterable[bytes]) -> list[FakeCall]:
    """Put questions in batches; return their calls once all are answered."""
    poured: list[FakeCall] = []

    def all_answered() -> bool:
        return all(call.answered for call in poured[-BATCH:])

    waiting = iter(messages)
    while batch := list(islice(waiting, BATCH)):
        calls = [FakeCall() for _ in batch]
        parts.processor.messages(list(zip(calls, batch, strict=True)))
        poured += calls
        await until(all_answered)
    return poured


def memories(parts: WorkerParts) -> Iterator[tuple[str, Sized]]:
    """Yield everything that remembers by what a client sends."""
    view = parts.live.view
    assert isinstance(view, View)
    yield from (("laws", view._law._known), ("decisions", view._decisions), ("shared", view._shared._made))
    yield from (("facts", view.extractor._remembered), ("addresses", view.locator._remembered))
    prepared = view.compiled.table.prepared(view.signals)
    yield from (("rankings", prepared.rankings), ("views", prepared._views), ("rows", view.compiled.table._names))
    yield from (("verdicts", view.compiled.policy._verdicts), ("legal sets", view.compiled.policy._legal))
    for via, entrance in parts.processor._entrances.items():
        yield f"known {via}", entrance.known
        yield f"answers {via}", entrance.door._templates
        if entrance.recogniser is not None:
            yield f"recognised {via}", entrance.recogniser


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("kind", FLOODS)
def test_no_memory_outgrows_its_bound_and_answers_stay_what_they_were(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=TENANTS) as parts:
            before = await parts.ask(asked(1))
            calls = await pour(parts, map(FLOODS[kind], range(10 * SMALL)))
            assert len({call.replies[0] for call in calls}) > 1, "each has an answer of its own"
            for name, memory in memories(parts):
                assert len(memory) <= (ADDRESSES if name == "addresses" else SMALL), name
            after = await parts.ask(asked(1))
            assert after.cluster == before.cluster is not None

    asyncio.run(main())


@pytest.mark.usefixtures("_small")
def test_memory_is_flat_once_what_is_remembered_is_full(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=TENANTS) as parts:
            begun = 0

            async def more(count: int) -> None:
                nonlocal begun
                for flood in FLOODS.values():
                    await pour(parts, map(flood, range(begun, begun + count)))
                begun += count
                gc.collect()

            await more(3 * SMALL)
            tracemalloc.start()
            try:
                await more(3 * SMALL)
                settled, _ = tracemalloc.get_traced_memory()
                await more(6 * SMALL)
                later, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert later - settled < 256 << 10, "thousands of questions leave nothing behind"

    asyncio.run(main())


def test_full_memories_fit_a_worker(tmp_path: Path) -> None:
    """What one entry takes, times the bounds as they are, leaves room below 150 MiB for the process itself."""
    count = 1500

    async def main() -> None:
        async with worker_parts(tmp_path, changes=TENANTS) as parts:
            await pour(parts, map(FLOODS["all"], range(count, count + 200)))
            gc.collect()
            tracemalloc.start()
            try:
                await pour(parts, map(FLOODS["all"], range(count)))
                gc.collect()
                taken, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert sum(len(memory) for name, memory in memories(parts) if name == "decisions") >= count
            bound = max(limits.REMEMBERED_FACTS_MAX, limits.REMEMBERED_REQUESTS_MAX, limits.REMEMBERED_MESSAGES_MAX)
            assert taken / count * bound < 128 << 20, "were every bound as high as the highest"
            assert taken / count * limits.REMEMBERED_FACTS_MAX < 80 << 20

    asyncio.run(main())


def test_long_messages_and_long_certificates_are_not_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            long = {"x_padding": "x" * limits.REMEMBERED_MESSAGE_BYTES_MAX}
            await pour(parts, (asked(n, x_model=f"m-{n}", **long) for n in range(20)))
            assert len(dict(memories(parts))[f"recognised {PROCESS}"]) == 0
            await pour(parts, (asked(n, x_model=f"m-{n}") for n in range(20)))
            assert len(dict(memories(parts))[f"recognised {PROCESS}"]) == 20

    asyncio.run(main())


def test_facts_with_very_long_names_in_a_certificate_are_worked_out_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            view = parts.live.view
            assert view is not None
            for length, kept in ((16, 1), (limits.REMEMBERED_SAN_BYTES_MAX, 1)):
                raw = RawRequest(BRITISH, sans=("s" * length, "t"))
                first, again = view.extractor.extract(raw), view.extractor.extract(raw)
                assert first == again
                assert len(view.extractor._remembered) == kept

    asyncio.run(main())
