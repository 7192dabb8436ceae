"""What a configuration may say of Redis stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from borderpost.config.load import Loaded, load_config
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import validate
from borderpost_base.world import World
from borderpost_base.yaml_source import load_yaml
from borderpost_ratelimit.charges import Charge
from borderpost_ratelimit.files.global_limits import global_limits
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.files.loading import load
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.stores.config import Endpoint, GlobalRedisSpec, RedisStoreSpec
from borderpost_ratelimit.stores.making import read_secret, redis_store
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.slots import Moved, key_slot, moved_to, primaries
from support.borderpost_process import small_config, write_config
from support.ratelimit_parts import limit_of


def read(text: str) -> RedisStoreSpec:
    return validate(RedisStoreSpec, load_yaml(text.encode(), "limiter.yaml"))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("url: redis://cache.example.org", Endpoint("cache.example.org", 6379)),
        ("url: redis://[::1]:7000/3", Endpoint("::1", 7000, database=3)),
        ("url: rediss://cache:6380", Endpoint("cache", 6380, tls=True)),
        ("url: unix:///run/redis.sock?db=2", Endpoint("", 6379, "/run/redis.sock", database=2)),
    ],
)
def test_where_one_server_is(text: str, endpoint: Endpoint) -> None:
    assert read(text).endpoint == endpoint


def test_where_sentinels_and_servers_of_a_cluster_are() -> None:
    sentinels = read(
        "sentinels: ['a:26379', '[::1]:26380']\nprimary: mymaster\ntls: true\nsentinel_username: s\ndatabase: 4"
    )
    assert sentinels.sentinel_endpoints == (Endpoint("a", 26379, tls=True), Endpoint("::1", 26380, tls=True))
    assert sentinels.sentinel_login.username == "s" and sentinels.username is None
    assert read("cluster: ['a:1', 'b:2']").cluster_endpoints == (Endpoint("a", 1), Endpoint("b", 2))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "one of `url`, `sentinels` and `cluster`"),
        ("url: redis://a\ncluster: ['a:1']", "one of `url`, `sentinels` and `cluster`"),
        ("url: redis://user:secret@a", "carries a name or a password"),
        ("url: http://a", "begins with"),
        ("sentinels: ['a:1']", "`sentinels` and `primary` go together"),
        ("url: redis://a\nprimary: p", "`sentinels` and `primary` go together"),
        ("url: redis://a\ndatabase: 2", "go with `sentinels`"),
        ("url: redis://a\nsentinel_username: u", "go with `sentinels`"),
        ("url: redis://a\nsentinel_password_file: p", "go with `sentinels`"),
        ("cluster: ['a:0']", "no port between 1 and 65535"),
        ("cluster: ['a:65536']", "no port between 1 and 65535"),
        ("cluster: ['a']", "match"),
        ("cluster: ['redis://a:1']", "match"),
        ("url: redis://a\none_slot_a_domain: true", "is for a `cluster`"),
        ("url: redis://a\ntls: true", "begins with `rediss://`"),
        ("url: redis://a\nca: ca.pem", "are for TLS"),
        ("cluster: ['a:1']\nca: ca.pem", "are for TLS"),
        ("url: rediss://a\ncertificate: c.pem", "go together"),
        ("url: redis://a\nprefix: 'a{b'", "match"),
        ("url: redis://a\nprefix: 'a b'", "match"),
        ("url: redis://a\nnear_cache_entries: -1", "greater than or equal to 0"),
        ("url: redis://a\nnear_cache_entries: 1", "is 0, or 2 and more"),
        ("url: redis://a\ntimeout_ms: 3", "timeout_s"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told(text: str, why: str) -> None:
    with pytest.raises(Problems) as told:
        read(text)
    (error,) = told.value.errors
    assert why in f"{error.detail} {error.mend}" and "secret" not in str(error)
    assert error.place.file == "limiter.yaml" and error.place.line


def test_tls_files_fit_each_way() -> None:
    for text in ("url: rediss://a", "cluster: ['a:1']\ntls: true", "sentinels: ['a:1']\nprimary: p\ntls: true"):
        assert read(text + "\nca: ca.pem\ncertificate: c.pem\nkey: k.pem").ca == Path("ca.pem")


@pytest.mark.parametrize(("content", "size"), [(b"", 0), (b"x" * 15 + b"\n", 15), (b"x" * 65, 65)])
def test_a_secret_of_another_length_is_none(tmp_path: Path, content: bytes, size: int) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(BorderpostError) as told:
        read_secret(path)
    assert told.value.code == "BP1631" and f"holds {size} bytes" in told.value.detail
    assert b"x" not in told.value.detail.replace(path.name, "").encode().split(b"holds")[1]


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    spec = GlobalRedisSpec(url="redis://a", key_file=tmp_path / "none")
    with pytest.raises(BorderpostError, match="No such file") as told:
        redis_store(spec, KeyStyle.LENGTHS, World())
    assert told.value.place.key == "limiter.global_store.key_file"


def test_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"y" * 64 + b"\r\n")
    assert read_secret(path) == b"y" * 64


def test_limits_that_reach_beyond_the_region_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "format: borderpost/1\ndomain: d\ndescriptors:\n"
        "  - key: k\n    limits: [{algorithm: fixed_window, amount: 1, every: 1m}]\n"
        "    descriptors:\n      - key: k2\n        scope: global\n"
        "        limits: [{algorithm: fixed_window, amount: 1, every: 1m}]\n"
    )
    (error,) = global_limits(load([tmp_path]))
    assert (error.code, error.place.line) == ("BP1630", 7) and "d.k.k2" in error.detail


@pytest.mark.parametrize("key", ["store", "global_store"])
def test_a_gateways_law_is_told_where_counters_are_kept(tmp_path: Path, key: str) -> None:
    secret = {"key_file": "secret"} if key == "global_store" else {}
    (tmp_path / "limits.yaml").write_text("domain: d\n")

    def loaded(**store: str) -> Loaded:
        limiter = {"limits": ["limits.yaml"], key: {"url": "redis://cache", **secret, **store}}
        sinks = {"counters": {"country": "DE"}}
        config = {**small_config({"eu-1": ("DE", 1)}), "limiter": limiter, "sinks": sinks}
        return load_config(write_config(tmp_path, config), environ={})

    assert loaded(sink="counters").config.limiter is not None
    for store, why in (({"sink": "others"}, "no sink `others`"), ({}, "no `sink` says")):
        with pytest.raises(Problems) as told:
            loaded(**store)
        (error,) = told.value.errors
        assert error.code == "BP0109" and why in error.detail and error.place.line


# Names


def charge(key: str, algorithm: Algorithm = Algorithm.FIXED_WINDOW, domain: str = "shop") -> Charge:
    return Charge(limit_of(1, Unit.HOUR, algorithm=algorithm, burst=1, domain=domain), key, 1)


@pytest.mark.parametrize("tag", ["key", "domain"])
@pytest.mark.parametrize("key", ["k", "", "}", "{}", "a}b", "a{b}"])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_all_names_of_a_counter_lie_in_one_slot(key: str, algorithm: Algorithm, tag: Any) -> None:
    names = Names("p:", tag=tag)
    one = charge(key, algorithm)
    slot = key_slot(names.place(one, 0))
    if algorithm is Algorithm.FIXED_WINDOW:
        assert {key_slot(names.window(one, number)) for number in range(50)} == {slot}
    else:
        assert key_slot(names.place(one, 10**15)) == slot


@pytest.mark.parametrize("domain", ["shop", "", "}", "}{", "a}b"])
def test_all_counters_of_a_domain_lie_in_one_slot_if_that_is_asked_for(domain: str) -> None:
    for secret in (None, b"s" * 16):
        names = Names("p:", secret=secret, tag="domain")
        slots = {
            key_slot(names.place(charge(f"k{number}", algorithm, domain), number))
            for number in range(20)
            for algorithm in Algorithm
        }
        assert len(slots) == 1
        others = {key_slot(names.place(charge("k", domain=f"other{number}"), 0)) for number in range(5)}
        assert len(others | slots) > 2


def test_envoyproxys_names_in_a_cluster_are_its_own() -> None:
    names = Names("", by_second=True, tag="key")
    one = charge("shop_k_")
    assert names.window(one, 3) == names.place(one, 3 * Unit.HOUR.length_us + 5) == b"shop_k_10800"


# What servers of a Cluster say


def test_where_a_batch_is_sent_on_to() -> None:
    assert moved_to("MOVED 3999 127.0.0.1:6381") == Moved(3999, "127.0.0.1", 6381, asking=False)
    assert moved_to("ASK 1 ::1:6381") == Moved(1, "::1", 6381, asking=True)
    assert moved_to("MOVED 1 :6381").host == ""
    for error in ("MOVED", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED 1 a", "MOVED 1 a:0", "MOVED x a:1", "ASK 1 a:1 b"):
        with pytest.raises(ValueError, match=r"slot|unpack|int"):
            moved_to(error)


def test_who_counts_which_slots() -> None:
    asked = Endpoint("seed", 7000, tls=True)
    told = [
        [0, 5, [b"10.0.0.1", 7001, b"id", []], [b"10.0.0.2", 7002]],
        [6, 9, [b"", 7003]],
        [10, 12, [b"10.0.0.1", 7001]],
    ]
    assert primaries(told, asked) == {
        Endpoint("10.0.0.1", 7001, tls=True): [range(6), range(10, 13)],
        Endpoint("seed", 7003, tls=True): [range(6, 10)],
    }
    for garbage in (None, b"", [1], [[0, 5]], [[0, b"5", [b"a", 1]]], [[0, 5, [b"a", b"1"]]], [[-1, 5, [b"a", 1]]],
                    [[0, 16384, [b"a", 1]]]):  # fmt: skip
        with pytest.raises(ValueError, match="slots"):
            primaries(garbage, asked)
