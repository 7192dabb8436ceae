"""How the Redis store gets to its server, and what it says where it does not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
import redis

from borderpost.demo.children import free_port
from borderpost_base import limits
from borderpost_ratelimit.charges import Charge, Unanswered
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.stores.redis.link import OVERLOADED, Link
from support.ratelimit_asking import answers, reason, redis_store, until, verdict
from support.ratelimit_parts import limit_of
from support.redis_server import RedisServer, redis_server
from support.wire_certificates import Authority

LIMIT = limit_of(10, Unit.DAY)
SLIDING = limit_of(10, Unit.DAY, algorithm=Algorithm.SLIDING_WINDOW)
CHARGE = Charge(LIMIT, "k", 1)
PASSWORD = "pass word/é"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a Unix socket, and a user who may count and nothing else."""
    directory = tmp_path_factory.mktemp("redis")
    arguments = ("--unixsocket", str(directory / "redis.sock"), "--repl-diskless-sync-delay", "0")
    with redis_server(directory, *arguments) as server:
        with server.client as client:
            client.acl_setuser(
                "limiter", enabled=True, passwords=[f"+{PASSWORD}"], keys=["borderpost:*"],
                commands=["+evalsha", "+eval", "+script|load", "+time", "+select", "+get", "+set", "+incrby", "+decrby",
                          "+pexpire", "+hget", "+hset", "+hdel"],
            )  # fmt: skip
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    with running.client as client:
        client.flushall()
    yield running
    running.go_on()
    with running.client as client:
        client.config_set("maxmemory", "0")
        client.replicaof("NO", "ONE")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


def test_a_unix_socket_and_a_database(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(f"unix://{server.directory}/redis.sock?db=3") as store:
            await verdict(store, CHARGE)

    asyncio.run(run())
    with redis.Redis(port=server.port, db=3, protocol=2) as client:
        assert client.dbsize() == 1


def test_a_user_who_may_do_what_the_guide_lists(server: RedisServer, password_file: Path) -> None:
    """Every algorithm, and the script sent whole where the server has forgotten it."""

    async def run() -> None:
        async with redis_store(server.url, username="limiter", password_file=password_file) as store:
            with server.client as client:
                client.script_flush()
            for algorithm in Algorithm:
                limit = limit_of(3, Unit.DAY, algorithm=algorithm, burst=3)
                for hits in (1, -1, 0):
                    await verdict(store, Charge(limit, algorithm.value, hits, request="r"))
            assert await reason(store, CHARGE) == ""

    asyncio.run(run())


def test_a_user_who_may_not(server: RedisServer, password_file: Path) -> None:
    async def run() -> None:
        arguments = {"username": "limiter", "password_file": password_file}
        async with redis_store(server.url, prefix="other:", **arguments) as store:
            assert await reason(store, CHARGE) == "denied", "its keys are not this user's"
        password_file.write_text("wrong")
        async with redis_store(server.url, **arguments) as store:
            assert await reason(store, CHARGE) == "denied"
            password_file.write_text(PASSWORD, encoding="utf-8")
            await until(lambda: store.servers.alone is not None and store.servers.alone.connected)
            assert await reason(store, CHARGE) == "", "a password that has been changed is read again"
        password_file.write_bytes(b"\xff\xfe")
        async with redis_store(server.url, **arguments) as store:
            assert await reason(store, CHARGE) == "denied"

    asyncio.run(run())


def test_tls_with_a_certificate_on_both_sides(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), tmp_path / "stranger"
    stranger.mkdir()
    certificate, key = authority.issue("localhost")
    own_certificate, own_key = authority.issue("limiter.example.org")
    others = Authority(stranger)
    port = free_port()
    arguments = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
                 "--tls-ca-cert-file", str(authority.certificate))  # fmt: skip

    async def run() -> None:
        own = {"certificate": own_certificate, "key": own_key}
        async with redis_store(f"rediss://localhost:{port}", ca=authority.certificate, **own) as store:
            assert await reason(store, CHARGE) == ""
        for url, ca, shown in (
            (f"rediss://localhost:{port}", others.certificate, own),
            (f"rediss://localhost:{port}", None, own),
            (f"rediss://127.0.0.1:{port}", authority.certificate, own),
            (f"rediss://localhost:{port}", authority.certificate, {}),
            (f"redis://localhost:{port}", None, {}),
        ):
            async with redis_store(url, ca=ca, timeout_s=5, **shown) as store:
                assert await reason(store, CHARGE) in ("unreachable", "garbage"), (url, ca, shown)

    with redis_server(tmp_path, *arguments):
        asyncio.run(run())


def test_out_of_memory_counts_nothing_and_says_so(server: RedisServer) -> None:
    bucket = limit_of(10, Unit.DAY, algorithm=Algorithm.TOKEN_BUCKET, burst=10)

    async def run() -> None:
        async with redis_store(server.url) as store:
            await answers(store, (CHARGE,), (Charge(bucket, "b", 1),))
            with server.client as client:
                client.config_set("maxmemory", "1")
                found = await answers(store, (CHARGE,), (Charge(bucket, "b", 1),), (Charge(LIMIT, "new", 1),))
                assert [isinstance(one, Unanswered) and one.reason for one in found] == ["out-of-memory"] * 3
                client.config_set("maxmemory", "0")
            assert (await verdict(store, CHARGE)).used == 2
            assert (await verdict(store, Charge(bucket, "b", 1))).used == 2

    asyncio.run(run())


def test_a_replica_is_left_for_where_the_name_leads_now(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            await verdict(store, CHARGE)
            with server.client as client:
                client.replicaof("127.0.0.1", str(free_port()))
                assert await reason(store, CHARGE) == "read-only"
                await until(lambda: store.servers.alone is not None and store.servers.alone.connections > 1)
                client.replicaof("NO", "ONE")
            assert (await verdict(store, CHARGE)).used == 2

    asyncio.run(run())


def test_a_server_that_is_busy_with_somebody_elses_script(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            with server.client as client, server.client as killer:
                client.config_set("busy-reply-threshold", "1")
                busy = threading.Thread(target=lambda: _runs_for_ever(client))
                busy.start()
                try:
                    async with asyncio.timeout(10):
                        while await reason(store, CHARGE) != "busy":
                            await asyncio.sleep(0.01)
                finally:
                    killer.script_kill()
                    busy.join()
                killer.config_set("busy-reply-threshold", "5000")
            assert await reason(store, CHARGE) == ""

    asyncio.run(run())


def _runs_for_ever(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


def test_a_server_that_stops_is_given_up_in_time(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url, timeout_s=0.1) as store:
            await verdict(store, CHARGE)
            server.pause()
            asked = [asyncio.create_task(answers(store, (CHARGE,))) for _ in range(50)]
            reasons = {one[0].reason for one in await asyncio.gather(*asked) if isinstance(one[0], Unanswered)}
            assert reasons == {"timeout"}
            assert await reason(store, CHARGE) in ("timeout", "unreachable"), "and nobody waits for it again"
            server.go_on()
            await until(lambda: store.servers.alone is not None and store.servers.alone.connected)
            assert await reason(store, CHARGE) == ""

    asyncio.run(run())


def test_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    async def run() -> None:
        with redis_server(tmp_path) as server:
            server.kill()
            async with redis_store(server.url) as store:
                assert await reason(store, CHARGE) == "unreachable"
                server.start()
                await until(lambda: store.servers.alone is not None and store.servers.alone.connected)
                assert (await verdict(store, CHARGE)).used == 1
                server.kill()
                await until(lambda: store.servers.alone is not None and not store.servers.alone.connected)
                assert await reason(store, CHARGE) == "unreachable"

    asyncio.run(run())


def test_a_closed_store_answers_that_it_is(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            pending = asyncio.create_task(answers(store, (CHARGE,)))
            await asyncio.sleep(0)
            await store.close()
            (answer,) = await pending
            assert isinstance(answer, Unanswered)
            assert await reason(store, CHARGE) == "unreachable"
            await store.close()

    asyncio.run(run())


HELLO = (b"+OK\r\n", b"*2\r\n$10\r\n1763000000\r\n$1\r\n7\r\n")
"""What a server says to SCRIPT LOAD and TIME."""
GARBAGE = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-7\r\n", b"*9999999999999\r\n", b"\x15\x03\x01\x00\x02\x02", b"+OK\r\n",
    b":1\r\n", b"*1\r\n:1\r\n", b"*0\r\n", b"*-1\r\n", b"$-1\r\n", b"*3\r\n:1\r\n$1\r\nx\r\n:0\r\n",
    b"*3\r\n$1\r\n1\r\n:1\r\n:1\r\n",
    b"*3\r\n:1\r\n*0\r\n:1\r\n", b"-\r\n", b"-WHATEVER it is\r\n", b"*3\r\n:1\r\n-\r\n:1\r\n", b"*2\r\n:1\r\n$-1\r\n",
    b"*2\r\n:1\r\n:1\r\n+one too many\r\n", b"*" * 100,
)  # fmt: skip


@pytest.mark.parametrize("reply", GARBAGE)
@pytest.mark.parametrize("when", ["at once", "later to a script", "later to a command"])
def test_garbage_is_no_answer(reply: bytes, when: str) -> None:
    """What answers nothing of ours is never a verdict, whether it comes instead of a greeting or of an answer."""
    if reply == b":1\r\n" and when == "later to a command":
        return  # which is one
    charge = CHARGE if when == "later to a command" else Charge(SLIDING, "s", 1)
    spoken: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies = [reply] * 20 if when == "at once" else [*HELLO, *[reply] * 20]
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while parser.gets() is not False and replies:
                spoken.append(replies[0])
                writer.write(replies.pop(0))
        writer.close()

    async def run() -> None:
        listener = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with redis_store(f"redis://127.0.0.1:{port}", timeout_s=0.3) as store:
            for _ in range(2):
                if reply == GARBAGE[-2] and when == "later to a script":
                    await answers(store, (charge,))  # the first reply is one; what comes unasked for ends all
                else:
                    assert await reason(store, charge) in ("garbage", "unreachable", "timeout")
            assert spoken
        listener.close()
        await listener.wait_closed()

    asyncio.run(run())


@pytest.mark.plain
def test_a_reply_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITER_STORE_REPLY_BYTES_MAX", 1 << 16)

    async def run() -> None:
        link = Link(asyncio.get_running_loop())
        link.data_received(b"$99999999\r\n")
        for _ in range(100):
            link.data_received(os.urandom(1024))
        assert (await link.lost).reason == "garbage"

    asyncio.run(run())


@pytest.mark.plain
def test_a_server_that_does_not_read_is_not_sent_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITER_STORE_UNSENT_BYTES_MAX", 1 << 16)

    async def run() -> None:
        held = asyncio.Event()

        async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()
            await held.wait()
            writer.close()

        listener = await asyncio.start_server(never_reads, "127.0.0.1", 0)
        link = Link(asyncio.get_running_loop())
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: link, "127.0.0.1", listener.sockets[0].getsockname()[1])
        replies: list[object] = []
        for _ in range(2000):
            link.send(b"x" * 65_536, replies.append)
        assert set(replies) == {OVERLOADED} and len(replies) + link.in_flight == 2000
        refused = len(replies)
        link.close()
        assert [reply for reply in replies[refused:] if not isinstance(reply, Unanswered)] == []
        assert len(replies) == 2000
        held.set()
        listener.close()
        await listener.wait_closed()

    asyncio.run(run())
