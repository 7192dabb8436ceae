"""The store that is a stream, against a real redis-server: what it gives is what was put in, or an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.config.load import Loaded, load_config
from borderpost.config.redis import EventsRedisSpec
from borderpost.demo.children import free_port
from borderpost.events.lines import GENESIS, line_digest
from borderpost.events_redis import RedisStore
from borderpost.redis_link import loop_client
from borderpost_base.errors import BorderpostError, Problems
from support.borderpost_process import small_config, write_config
from support.certificates import CertificateAuthority
from support.redis_server import RedisServer, redis_server
from support.signed_lists import ListWriter


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    with server.client as client:
        client.flushall()
    store = RedisStore(EventsRedisSpec(url=server.url, sink="fleet"))
    yield store
    store.close()


def test_lines_come_back_in_order_however_many(store: RedisStore) -> None:
    assert store.read() == []
    head = GENESIS
    lines = [f"line {number}".encode() * (number % 7 + 1) for number in range(1203)]
    for line in lines:
        store.append(line, head)
        head = line_digest(line)
    assert store.read() == lines
    assert store.read(1200) == lines[1200:]
    assert store.read(5000) == []


def test_a_line_is_added_behind_the_head_it_names_only(store: RedisStore) -> None:
    store.append(b"a", GENESIS)
    for head in (GENESIS, line_digest(b"b")):
        with pytest.raises(BorderpostError, match="BP1011"):
            store.append(b"c", head)
    store.append(b"b", line_digest(b"a"))
    assert store.read() == [b"a", b"b"]


def test_of_many_who_append_at_once_one_wins(server: RedisServer, store: RedisStore) -> None:
    store.append(b"first", GENESIS)
    outcomes: list[str] = []
    at_once = threading.Barrier(6)

    def append(number: int) -> None:
        own = RedisStore(EventsRedisSpec(url=server.url, sink="fleet"))
        own.read()
        at_once.wait()
        try:
            own.append(f"second by {number}".encode(), line_digest(b"first"))
            outcomes.append("added")
        except BorderpostError as error:
            outcomes.append(error.code)
        own.close()

    threads = [threading.Thread(target=append, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["BP1011"] * 5 + ["added"]
    assert len(store.read()) == 2


def test_a_heartbeat_takes_the_place_of_the_one_before(store: RedisStore) -> None:
    assert store.heartbeat() is None
    store.put_heartbeat(b"one")
    store.put_heartbeat(b"two")
    assert store.heartbeat() == b"two"
    assert store.read() == []


def test_what_is_no_line_is_told(server: RedisServer, store: RedisStore) -> None:
    with server.client as client:
        client.xadd("borderpost:events", {"text": "x"})
        with pytest.raises(BorderpostError, match=r"BP0621.*`line`"):
            store.read()
        client.delete("borderpost:events")
        client.xadd("borderpost:events", {"line": "x", "more": "y"})
        with pytest.raises(BorderpostError, match="BP0621"):
            store.append(b"a", GENESIS)
        client.delete("borderpost:events")
        client.set("borderpost:events", "no stream")
    with pytest.raises(BorderpostError, match=r"BP0620.*WRONGTYPE"):
        store.read()


def test_a_list_that_does_not_end_is_not_read_to_its_end(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("borderpost_base.limits.EVENT_LIST_LINES_MAX", 2)
    store.append(b"a", GENESIS)
    store.append(b"b", line_digest(b"a"))
    with pytest.raises(BorderpostError, match="BP1010"):
        store.append(b"c", line_digest(b"b"))
    monkeypatch.setattr("borderpost_base.limits.EVENT_LIST_LINES_MAX", 1)
    with pytest.raises(BorderpostError, match="BP1010"):
        store.read()


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path, server: RedisServer) -> None:
    secret = tmp_path / "password"
    secret.write_text("open-sesame-4711\n")
    stopped = EventsRedisSpec(url="redis://127.0.0.1:1/0", sink="fleet", password_file=secret, timeout_s=1)
    with pytest.raises(BorderpostError, match="BP0620") as told:
        RedisStore(stopped).read()
    assert "sesame" not in f"{told.value}{told.value.as_dict()}{told.value.__cause__}"
    wrong = EventsRedisSpec(url=server.url, sink="fleet", username="ada", password_file=secret)
    with pytest.raises(BorderpostError, match="BP0620") as told:
        RedisStore(wrong).read()
    assert "sesame" not in f"{told.value}{told.value.as_dict()}{told.value.__cause__}"
    missing = EventsRedisSpec(url=server.url, sink="fleet", password_file=tmp_path / "nothing")
    with pytest.raises(BorderpostError, match=r"BP0620.*No such file"):
        RedisStore(missing).read()


def test_the_password_of_the_file_lets_in(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("open-sesame-4711\n")
    with redis_server(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")) as server:
        with server.client as client:
            client.config_set("requirepass", "open-sesame-4711")
        path = f"unix://{tmp_path}/redis.sock?db=3"
        store = RedisStore(EventsRedisSpec(url=path, sink="fleet", password_file=secret))
        store.append(b"a", GENESIS)
        assert store.read() == [b"a"]
        store.close()
        with pytest.raises(BorderpostError, match=r"BP0620.*(NOAUTH|Authentication)"):
            RedisStore(EventsRedisSpec(url=path, sink="fleet")).read()


def test_by_tls_each_side_shows_who_it_is(tmp_path: Path) -> None:
    authority, strangers = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "strangers")
    certificate, key = authority.issue("server", dns=["localhost"])
    own_certificate, own_key = authority.issue("gateway", dns=["gateway.example"])
    port = free_port()
    words = (
        "--tls-port",
        port,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        authority.path,
    )
    tls: dict[str, Any] = {"url": f"rediss://localhost:{port}/0", "sink": "fleet", "timeout_s": 2}
    own: dict[str, Any] = {"certificate": own_certificate, "key": own_key}
    with redis_server(tmp_path, *map(str, words)):
        store = RedisStore(EventsRedisSpec(**tls, **own, ca=authority.path))
        store.append(b"a", GENESIS)
        assert store.read() == [b"a"]
        store.close()
        by_address = {**tls, "url": f"rediss://127.0.0.1:{port}/0"}
        for wrong in (
            EventsRedisSpec(**tls, **own, ca=strangers.path),
            EventsRedisSpec(**tls, **own),
            EventsRedisSpec(**tls, ca=authority.path),
            EventsRedisSpec(**by_address, **own, ca=authority.path),
        ):
            with pytest.raises(BorderpostError, match="BP0620"):
                RedisStore(wrong).read()

        async def in_a_loop() -> list[Any]:
            client = loop_client(EventsRedisSpec(**tls, **own, ca=authority.path))
            try:
                answer: Any = await client.xrange("borderpost:events")
                return list(answer)
            finally:
                await client.aclose()

        assert [fields for _, fields in asyncio.run(in_a_loop())] == [{b"line": b"a"}]


def test_a_list_as_it_is_written_can_be_read_as_one(store: RedisStore) -> None:
    writer = ListWriter()
    for name in ("a", "b"):
        head = writer.head
        store.append(writer.add(name), head)
    assert store.read() == writer.lines


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@host/0", "redis://user@host", "http://host", "redis://", "redis://host:0", "redis://host:99999",
        "redis://host/0?x=1", "redis://host/a", "redis://host/1/2", "redis://host#x", "unix://run/redis.sock", "unix:///",
        "unix:///run/redis.sock?x=1", "unix:///run/redis.sock?db=x", "host:6379", "redis://[::1", "",
    ],
)  # fmt: skip
def test_addresses_that_are_none_are_refused_and_no_password_is_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="BP0104") as told:
        EventsRedisSpec(url=url, sink="fleet")
    assert all("secret" not in str(each["msg"]) for each in told.value.errors())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://host", ("redis", "host", 6379, "", 0)),
        ("redis://host:7/", ("redis", "host", 7, "", 0)),
        ("REDISS://host/15", ("rediss", "host", 6379, "", 15)),
        ("redis://[::1]:7000/2", ("redis", "::1", 7000, "", 2)),
        ("unix:///run/my%20redis.sock?db=4", ("unix", "", 6379, "/run/my redis.sock", 4)),
    ],
)
def test_addresses(url: str, parts: tuple[object, ...]) -> None:
    spec = EventsRedisSpec(url=url, sink="fleet")
    assert (spec.scheme, spec.host, spec.port, spec.socket, spec.database) == parts


def test_certificates_are_for_tls_and_come_with_their_keys(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rediss"):
        EventsRedisSpec(url="redis://host", sink="fleet", ca=tmp_path / "ca")
    with pytest.raises(ValueError, match="together"):
        EventsRedisSpec(url="rediss://host", sink="fleet", certificate=tmp_path / "c")


SIGNED: dict[str, object] = {"signers": {"ada": "01" * 32}, "redis": {"url": "redis://127.0.0.1:1", "sink": "fleet"}}


def loaded(directory: Path, events: dict[str, object], **sections: object) -> Loaded:
    config = {**small_config({"eu-1": ("DE", 1)}), "events": events, **sections}
    return load_config(write_config(directory, config), environ={})


def test_a_stream_is_configured_with_signers_and_a_sink(tmp_path: Path) -> None:
    sinks = {"fleet": {"country": "DE"}}
    events = loaded(tmp_path, SIGNED, sinks=sinks).config.events
    assert (events.redis and events.redis.stream, events.max_age_s, events.clock_error_ms) == (
        "borderpost:events",
        None,
        "auto",
    )
    assert loaded(tmp_path, {**SIGNED, "max_age_s": 60}, sinks=sinks).events.events == ()


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (SIGNED, "BP0109"),
        ({"redis": SIGNED["redis"]}, "BP1014"),
        ({"max_age_s": 60}, "BP1014"),
        ({**SIGNED, "file": "events.jsonl"}, "BP0104"),
        ({**SIGNED, "clock_error_ms": -1}, "BP0104"),
        ({**SIGNED, "clock_error_ms": "often"}, "BP0104"),
        ({**SIGNED, "max_age_s": 0}, "BP0104"),
        ({**SIGNED, "redis": {"url": "redis://127.0.0.1"}}, "BP0103"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, events: dict[str, object], code: str) -> None:
    with pytest.raises(Problems) as told:
        loaded(tmp_path, events)
    assert {error.code for error in told.value.errors} == {code}
    assert all(error.place.line for error in told.value.errors)
