"""Following a stream of a real redis-server, through everything that can become of one."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from borderpost import events_stream
from borderpost.config.redis import EventsRedisSpec
from borderpost.events.book import SignedList, read_list
from borderpost.events.lines import line_digest
from borderpost.events_stream import EventStream, Trouble
from borderpost.policy.event_schema import LegalEvent
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.world import World
from support.redis_server import RedisServer, redis_server
from support.signed_lists import ListWriter
from support.worker_parts import until

pytestmark = pytest.mark.slow

KEY = "borderpost:events"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and try again often."""
    for name, seconds in {"LOOK": 0.05, "AGAIN": 0.1, "LONGEST_PAUSE": 0.2, "NOT_AGAIN_WITHIN": 0.0}.items():
        monkeypatch.setattr(events_stream, f"_{name}_S", seconds)


class Followed:
    """A stream, and what its follower said."""

    def __init__(self, server: RedisServer, **changes: Any) -> None:
        self.server = server
        self.writer = ListWriter()
        self.lists: list[int] = []
        self.heartbeats: list[bytes | None] = []
        self.trouble: Trouble | None = None
        self.refusal: BorderpostError | None = None
        spec = EventsRedisSpec.model_validate({"url": server.url, "sink": "fleet", "timeout_s": 0.5, **changes})
        self.stream = EventStream(
            spec, self.writer.signers, world=World(), on_read=self._read, on_settled=self._settled
        )

    def _read(self, known: SignedList, heartbeat: bytes | None) -> None:
        self.lists.append(known.length)
        self.heartbeats.append(heartbeat)
        if self.refusal is not None:
            raise self.refusal

    def _settled(self, trouble: Trouble | None) -> None:
        self.trouble = trouble

    def put(self, *lines: bytes) -> None:
        """Add entries to the stream."""
        with self.server.client as client:
            for line in lines:
                client.xadd(KEY, {"line": line})

    def write(self, *names: str) -> None:
        """Add events to the list and the stream."""
        self.put(*[self.writer.add(name) for name in names])

    async def has(self, *names: str) -> None:
        """Wait until exactly these events are known and nothing is wrong."""
        await until(lambda: self.names == list(names) and self.trouble is None)

    async def in_trouble(self, code: str) -> None:
        """Wait until something is wrong."""
        await until(lambda: code in codes(self.trouble))

    @property
    def names(self) -> list[str]:
        """Ids of the events that are known."""
        return [event.id for event in self.stream.known.events]


def codes(trouble: Trouble | None) -> list[str]:
    if isinstance(trouble, Problems):
        return [error.code for error in trouble.errors]
    return [trouble.code] if trouble is not None else []


@asynccontextmanager
async def followed(server: RedisServer, *names: str, **changes: Any) -> AsyncIterator[Followed]:
    """Give a stream with these events, followed from its beginning."""
    with server.client as client:
        client.flushall()
    case = Followed(server, **changes)
    case.write(*names)
    case.stream.start()
    try:
        if names:
            await case.has(*names)
        yield case
    finally:
        await case.stream.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def run(case: Callable[[], Any]) -> None:
    asyncio.run(case())


def test_what_is_there_and_what_is_added_is_known(shared: RedisServer) -> None:
    async def main() -> None:
        before = [f"before-{number}" for number in range(40)]
        async with followed(shared, *before) as case:
            case.write("c")
            await case.has(*before, "c")
            case.write(*(f"after-{number}" for number in range(40)))
            await until(lambda: len(case.names) == 81)
            assert case.lists == sorted(case.lists)
            assert case.stream.connected

    run(main)


def test_a_heartbeat_is_told_with_the_list_that_it_is_of(shared: RedisServer) -> None:
    async def main() -> None:
        async with followed(shared, "a") as case:
            assert set(case.heartbeats) == {None}
            beat = case.writer.heartbeat(datetime.now(UTC))
            with shared.client as client:
                client.set(f"{KEY}:heartbeat", beat)
            await until(lambda: case.heartbeats[-1] == beat)
            assert case.lists[-1] == 1

    run(main)


def test_a_stream_that_loses_lines_is_trouble_and_what_was_known_stays(shared: RedisServer) -> None:
    async def deleted(case: Followed) -> None:
        with shared.client as client:
            client.delete(KEY)
        await case.in_trouble("BP1012")

    async def tail_cut(case: Followed) -> None:
        with shared.client as client:
            client.xdel(KEY, client.xrevrange(KEY, count=1)[0][0])
        await case.in_trouble("BP1012")

    async def begun_anew(case: Followed) -> None:
        with shared.client as client:
            client.delete(KEY)
        other = ListWriter()
        case.put(*(other.add(name) for name in ("x", "y", "z", "w")))
        await case.in_trouble("BP1012")

    async def middle_gone(case: Followed) -> None:
        with shared.client as client:
            client.xdel(KEY, client.xrange(KEY)[1][0])
        await case.in_trouble("BP1012")

    async def main() -> None:
        for damage in (deleted, tail_cut, begun_anew, middle_gone):
            async with followed(shared, "a", "b", "c") as case:
                await damage(case)
                assert case.names == ["a", "b", "c"]
                with shared.client as client:
                    client.delete(KEY)
                case.put(*case.writer.lines)
                case.write("d")
                await case.has("a", "b", "c", "d")

    run(main)


def test_a_trimmed_stream_is_told_and_its_new_lines_are_still_law(shared: RedisServer) -> None:
    async def main() -> None:
        async with followed(shared, "a", "b", "c") as case:
            with shared.client as client:
                client.xtrim(KEY, maxlen=1, approximate=False)
            await case.in_trouble("BP0621")
            case.write("d")
            await until(lambda: case.names == ["a", "b", "c", "d"])
            assert "BP0621" in codes(case.trouble)
            with shared.client as client:
                client.xtrim(KEY, maxlen=0)
            case.write("e")
            await until(lambda: case.names[-1] == "e")
            assert "BP0621" in codes(case.trouble)
            fresh = Followed(shared)  # one that was not there before cannot begin in the middle
            fresh.stream._signers = case.writer.signers
            fresh.stream.start()
            await until(lambda: fresh.trouble is not None)
            assert fresh.names == []
            await fresh.stream.stop()

    run(main)


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        ({"line": b"junk"}, "BP1001"), ({"text": b"x"}, "BP0621"), ({"line": b"", "more": b"x"}, "BP0621"),
        ({"line": b"x" * 200_000}, "BP1010"),
    ],
)  # fmt: skip
def test_an_entry_that_is_no_line_is_told_and_those_before_it_count(
    shared: RedisServer, junk: dict[str, bytes], code: str
) -> None:
    async def main() -> None:
        async with followed(shared, "a") as case:
            with shared.client as client:
                pipe = client.pipeline(transaction=True)
                pipe.xadd(KEY, {"line": case.writer.add("b")})
                pipe.xadd(KEY, dict(junk))
                pipe.xadd(KEY, {"line": case.writer.add("c")})
                _, bad, _ = pipe.execute()
            await case.in_trouble(code)
            assert case.names == ["a", "b"]
            with shared.client as client:
                client.xdel(KEY, bad)
            await case.has("a", "b", "c")

    run(main)


def test_forged_lines_are_told_and_not_taken(shared: RedisServer) -> None:
    async def main() -> None:
        async with followed(shared, "a") as case:
            forger = ListWriter("ada", "bo")
            forger.lines = list(case.writer.lines)
            case.put(forger.add("forged"))
            await case.in_trouble("BP1005")
            assert case.names == ["a"]

    run(main)


def test_what_the_taker_refuses_is_trouble_until_it_does_not(shared: RedisServer) -> None:
    async def main() -> None:
        async with followed(shared, "a") as case:
            case.refusal = BorderpostError("BP0606", "an event is gone")
            await case.in_trouble("BP0606")
            case.refusal = None
            await until(lambda: case.trouble is None)

    run(main)


def test_a_server_that_goes_and_comes_again_empty_or_whole(tmp_path: Path) -> None:
    async def main() -> None:
        with redis_server(tmp_path) as server:
            async with followed(server, "a", "b") as case:
                with capture_logs() as told:
                    server.kill()
                    await until(lambda: case.stream.unreached is not None)
                    await asyncio.sleep(0.3)
                    assert sum("is lost" in line["event"] for line in told) <= 3  # it does not fill the log
                server.start()
                await case.in_trouble("BP1012")
                assert case.stream.connected
                assert case.names == ["a", "b"]
                case.put(*case.writer.lines)
                await case.has("a", "b")

    run(main)


def test_a_server_that_hangs_is_noticed(tmp_path: Path) -> None:
    async def main() -> None:
        with redis_server(tmp_path) as server:
            async with followed(server, "a") as case:
                server.pause()
                await until(lambda: case.stream.unreached is not None)
                assert case.names == ["a"]
                server.go_on()
                await until(lambda: case.stream.connected)
                case.write("b")
                await case.has("a", "b")

    run(main)


LIES = [
    b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 50, b":1\r\n" * 50, b"$-1\r\n" * 50, b"*0\r\n" * 50,
    b"*1\r\n:1\r\n" * 50, b"\x00\xff" * 99, b"$9999999999\r\nx", b"-ERR no\r\n" * 50, b"*-7\r\n" * 9,
]  # fmt: skip


def test_answers_that_are_none_change_nothing_and_keep_nobody_busy(shared: RedisServer) -> None:
    connections = 0

    def liar(answer: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while await reader.read(4096):
                    writer.write(answer)
            except ConnectionError:
                pass  # it hung up on us
            writer.close()

        return talk

    async def main() -> None:
        servers = [await asyncio.start_server(liar(lie), "127.0.0.1", 0) for lie in LIES]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        cases = [Followed(shared, url=f"redis://127.0.0.1:{port}") for port in ports]
        for case in cases:
            case.stream.start()
        await asyncio.sleep(1.5)
        assert len(LIES) <= connections < len(LIES) * 20
        for case in cases:
            assert case.names == []
            await case.stream.stop()
        for server in servers:
            server.close()

    run(main)


def test_a_line_from_the_future_waits_for_its_time(shared: RedisServer) -> None:
    async def main() -> None:
        async with followed(shared) as case:
            case.put(case.writer.add("late", at=datetime.now(UTC) + timedelta(hours=1)))
            await case.in_trouble("BP1003")
            assert case.names == []

    run(main)


def test_a_gateway_needs_no_more_rights_than_the_guide_gives_it(shared: RedisServer, tmp_path: Path) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs/guide/events-fleet.md").read_text()
    (rights,) = [line.split()[5:] for line in guide.splitlines() if line.strip().startswith("ACL SETUSER gateway on >")]
    secret = tmp_path / "password"
    secret.write_text("open-sesame-4711\n")

    async def main() -> None:
        with shared.client as client:
            client.execute_command("ACL", "SETUSER", "gateway", "on", ">open-sesame-4711", *rights)
            with capture_logs() as told:
                async with followed(shared, "a", username="gateway", password_file=secret) as case:
                    client.set(f"{KEY}:heartbeat", "x")
                    case.write("b")
                    await case.has("a", "b")
                    await until(lambda: case.heartbeats[-1] == b"x")
                    assert case.stream.unreached is None
            assert not [line for line in told if "NOPERM" in str(line) or "sesame" in str(line)]
            entries = client.execute_command("ACL", "LOG")
            client.execute_command("ACL", "DELUSER", "gateway")
        assert [entry for entry in entries if "xadd" in str(entry)] == []

    run(main)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_becomes_of_a_stream_nothing_known_is_lost_and_a_whole_one_is_caught_up_with(
    shared: RedisServer, seed: int
) -> None:
    chance = random.Random(seed)

    def harm(case: Followed, client: redis.Redis) -> None:
        entries: Any = client.xrange(KEY)
        ids = [entry_id for entry_id, _ in entries]
        kind = chance.choice(["add", "add", "junk", "drop", "trim", "empty", "swap", "forge", "replay", "type"])
        if kind == "add":
            client.xadd(KEY, {"line": case.writer.add(f"e-{len(case.writer.lines)}")})
        elif kind == "junk":
            client.xadd(KEY, {chance.choice(["line", "other"]): chance.randbytes(chance.randrange(90))})
        elif kind == "drop" and ids:
            client.xdel(KEY, chance.choice(ids))
        elif kind == "trim":
            client.xtrim(KEY, maxlen=chance.randrange(4), approximate=False)
        elif kind == "swap":
            restore(client, chance.sample(case.writer.lines, len(case.writer.lines)))
        elif kind == "forge":
            forger = ListWriter()
            forger.lines = list(case.writer.lines)
            client.xadd(KEY, {"line": forger.add("forged")})
        elif kind == "replay":
            restore(client, case.writer.lines[: chance.randrange(len(case.writer.lines) + 1)])
        else:
            client.delete(KEY)
            if kind == "type":
                client.set(KEY, "no stream")

    def restore(client: redis.Redis, lines: Sequence[bytes]) -> None:
        together = client.pipeline(transaction=True)
        together.delete(KEY)
        for line in lines:
            together.xadd(KEY, {"line": line})
        together.execute()

    async def main() -> None:
        async with followed(shared, "first") as case:
            known = 1
            with shared.client as client:
                for _ in range(25):
                    with contextlib.suppress(redis.ResponseError):  # of a key that is no stream just now
                        harm(case, client)
                    await asyncio.sleep(chance.choice([0, 0.01, 0.1]))
                    length = case.stream.known.length
                    assert length >= known
                    known = length
                    lines = [line_digest(line) for line in case.writer.lines]
                    assert [case.stream.known.head_at(number + 1) for number in range(length)] == lines[:length]
                restore(client, case.writer.lines)
                await case.has(*[event.id for event in all_events(case.writer)])

    run(main)


def all_events(writer: ListWriter) -> Sequence[LegalEvent]:
    return read_list(writer.lines, writer.signers, source="test").events
