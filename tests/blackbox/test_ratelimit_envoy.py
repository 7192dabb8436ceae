"""The real Envoy's rate-limit filter asks ours everything that it can ask, on both engines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from http_sfv.list import List

from borderpost_base.world import World
from borderpost_proto.rate_limit_pb2 import RateLimitRequest
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import HeaderStyle, ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from support.client import Header, Reply
from support.ratelimit_envoy import ENGINES, LimitedEnvoy, limited_envoy, route
from support.ratelimit_parts import ListedRules, limit_of, rule_of

pytestmark = pytest.mark.blackbox

RULES = ListedRules(
    ((("user", ""),), rule_of("user", limit_of(2, Unit.YEAR), name="people", metadata={"tier": "gold"})),
    ((("generic_key", "a"),), rule_of("a", limit_of(1000, Unit.YEAR))),
    ((("generic_key", "b"),), rule_of("b", limit_of(50, Unit.WEEK, window_us=1000 * Unit.WEEK.length_us))),
    ((("generic_key", "tokens"),), rule_of("t", limit_of(100, Unit.YEAR, algorithm=Algorithm.BUDGET, reserve=10))),
    ((("generic_key", "leases"),), rule_of("l", limit_of(1, Unit.YEAR, algorithm=Algorithm.CONCURRENCY))),
)
"""Windows so long that none ends while a test runs."""


def keyed(value: str) -> dict[str, Any]:
    return {"generic_key": {"descriptor_value": value}}


def by_header(name: str, key: str) -> dict[str, Any]:
    return {"request_headers": {"header_name": name, "descriptor_key": key}}


NAMED = by_header("x-request-id", "borderpost.request")
DONE = {"generic_key": {"descriptor_key": "borderpost.phase", "descriptor_value": "done"}}
OWN = {"dynamic_metadata": {"metadata_key": {"key": "own", "path": [{"key": "limit"}]}}}
ROUTES = [
    route("/user", [{"actions": [by_header("x-user", "user")]}]),
    route("/hits", [
        {"actions": [keyed("a")], "hits_addend": {"number": 7}},
        {"actions": [keyed("b")], "hits_addend": {"format": "%REQ(x-hits)%"}},
    ]),
    route("/plain", [{"actions": [keyed("a")]}]),
    route("/look", [{"actions": [keyed("a")], "hits_addend": {"number": 0}}]),
    route("/back", [{"actions": [keyed("a")], "hits_addend": {"number": 3, "is_negative_hits": True}}]),
    route("/own", [{"actions": [keyed("a")], "limit": OWN}]),
    route("/elsewhere", [{"actions": [keyed("a")]}], domain="elsewhere"),
    route("/tokens", [
        {"actions": [keyed("tokens"), NAMED]},
        {"actions": [keyed("tokens"), NAMED, DONE], "apply_on_stream_done": True,
         "hits_addend": {"format": "%RESP(x-tokens)%"}},
    ]),
    route("/leases", [
        {"actions": [keyed("leases"), NAMED]},
        {"actions": [keyed("leases"), NAMED, DONE], "apply_on_stream_done": True, "hits_addend": {"number": 0}},
    ]),
    route("/many", [{"actions": [keyed("a")]}] * 129),
    route("/long", [{"actions": [by_header("x-user", "user"), keyed("k")]}] * 3),
]  # fmt: skip
METADATA = {
    "name": "metadata",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
        "metadata": [{"metadata_namespace": "own", "value": {"limit": {"requests_per_unit": 5, "unit": "HOUR"}}}],
    },
}


HITS = {
    "name": "hits",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [{
            "object_key": "envoy.ratelimit.hits_addend", "skip_if_empty": True,
            "format_string": {"text_format_source": {"inline_string": "%REQ(x-all-hits)%"}, "omit_empty_values": True},
        }],
    },
}  # fmt: skip
STORES = {engine: MemoryStore(10_000) for engine in ENGINES}


def service_over(store: MemoryStore) -> RateLimitService:
    settings = ServiceSettings(headers=tuple(HeaderStyle), dynamic_metadata=True, retry_after=True)
    return RateLimitService(rules=RULES, store=store, world=World(), statistics=Statistics(), settings=settings)


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LimitedEnvoy]:
    services = {engine: service_over(store) for engine, store in STORES.items()}
    with limited_envoy(
        tmp_path_factory.mktemp("limited"), services, ROUTES, [METADATA, HITS], {"x-tokens": "42"},
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
    ) as running:  # fmt: skip
        yield running


class Asking:
    """One engine's listener; nothing is counted or asked yet."""

    def __init__(self, envoy: LimitedEnvoy, engine: str) -> None:
        self._envoy = envoy
        self._engine = engine
        self._asked = envoy.spies[engine].asked
        envoy.threads[engine].run(STORES[engine].close)
        self._asked.clear()

    def send(self, path: str, *headers: Header) -> Reply:
        return self._envoy.send(self._engine, path, list(headers))

    def asked(self, count: int = 1) -> list[RateLimitRequest]:
        """Return all that Envoy asked, as soon as it is so many."""
        until = time.monotonic() + 10
        while len(self._asked) < count and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self._asked) == count
        return list(self._asked)


@pytest.fixture(params=ENGINES)
def asking(envoy: LimitedEnvoy, request: pytest.FixtureRequest) -> Asking:
    return Asking(envoy, request.param)


def addends(request: RateLimitRequest) -> list[tuple[str, int | None, bool]]:
    found = []
    for one in request.descriptors:
        hits = one.hits_addend.value if one.HasField("hits_addend") else None
        found.append((one.entries[0].value.decode(), hits, one.is_negative_hits))
    return found


def header(reply: Reply, name: str) -> str:
    value = reply.header(name)
    assert value is not None, f"no {name}"
    return value


def left(reply: Reply) -> int:
    return int(header(reply, "ratelimit-remaining"))


def test_the_third_request_of_two_is_refused(asking: Asking) -> None:
    replies = [asking.send("/user", ("x-user", "ann")) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [left(reply) for reply in replies] == [1, 0, 0]
    assert [reply.body for reply in replies] == [b"served", b"served", b""]
    assert replies[1].header("retry-after") is None
    assert int(header(replies[2], "retry-after")) > 0
    assert asking.send("/user", ("x-user", "ben")).status == 200


def test_headers_are_those_of_each_family(asking: Asking) -> None:
    reply = asking.send("/user", ("x-user", "cat"))
    reset = header(reply, "ratelimit-reset")
    assert (header(reply, "ratelimit-limit"), header(reply, "ratelimit-remaining")) == ("2", "1")
    said = {name: List() for name in ("ratelimit-policy", "ratelimit")}
    for name, field in said.items():
        field.parse(header(reply, name).encode())
    assert [(item.value, dict(item.params)) for item in said["ratelimit-policy"]] == [
        ("people", {"q": 2, "w": 31_536_000})
    ]
    assert [(item.value, dict(item.params)) for item in said["ratelimit"]] == [("people", {"r": 1, "t": int(reset)})]


def test_our_draft_03_is_envoys(asking: Asking) -> None:
    """Both write it here, so each stands twice."""
    for path in ("/user", "/hits"):
        reply = asking.send(path, ("x-user", "dan"), ("x-hits", "1"))
        for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"):
            ours, envoys = reply.all(name)
            assert ours == envoys


def test_metadata_reach_the_next_filters(asking: Asking) -> None:
    told = json.loads(header(asking.send("/user", ("x-user", "eve")), "x-metadata"))
    assert told == {
        "domain": "shop", "descriptors": [{"entries": ["user=eve"]}], "metadata": {"tier": "gold"},
        "quotaModeEnabled": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", [b"caf\xe9", b"\xff\xfe", b"", b"v" * 50_000], ids=["latin-1", "none", "empty", "long"]
)
def test_no_value_of_a_client_gets_around_its_limit(asking: Asking, value: bytes) -> None:
    """What Envoy sends is no UTF-8 then; a service that refuses to read it lets it pass where errors pass."""
    replies = [asking.send("/user", ("x-user", value)) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert asking.asked(3)[0].descriptors[0].entries[0].value == value


def test_hits_are_charged_for_each_descriptor(asking: Asking) -> None:
    assert asking.send("/hits", ("x-hits", "12")).status == 200
    assert addends(asking.asked()[0]) == [("a", 7, False), ("b", 12, False)]
    assert left(asking.send("/look")) == 993


def test_hits_that_cannot_be_read_leave_their_descriptor_out(asking: Asking) -> None:
    asking.send("/hits", ("x-hits", "many"))
    assert addends(asking.asked()[0]) == [("a", 7, False)]


def test_hits_of_the_whole_request(asking: Asking) -> None:
    asking.send("/plain", ("x-all-hits", "30"))
    (request,) = asking.asked()
    assert (request.hits_addend, addends(request)) == (30, [("a", None, False)])
    assert left(asking.send("/look")) == 970


def test_a_look_charges_nothing_and_hits_can_be_given_back(asking: Asking) -> None:
    asking.send("/hits")
    looks = [left(asking.send(path)) for path in ("/look", "/look", "/back", "/look")]
    assert looks == [993, 993, 996, 996]
    assert addends(asking.asked(5)[3]) == [("a", 3, True)]


def test_a_limit_of_the_requests_own(asking: Asking) -> None:
    reply = asking.send("/own")
    assert header(reply, "ratelimit-limit") == "5"
    (request,) = asking.asked()
    assert (request.descriptors[0].limit.requests_per_unit, request.descriptors[0].limit.unit) == (5, 3)


def test_another_domain_has_its_own_limits(asking: Asking) -> None:
    assert asking.send("/elsewhere").status == 200
    assert asking.asked()[0].domain == "elsewhere"


def test_a_budget_is_settled_at_the_end_of_the_stream(asking: Asking) -> None:
    """An estimate of 10 is reserved, 42 are used: of 100, 58, then 16 are left for the next, which reserves 10 more."""
    found = []
    for index in range(3):
        reply = asking.send("/tokens")
        found.append((reply.status, left(reply)))
        asking.asked(2 * index + 2)
    assert found == [(200, 90), (200, 48), (200, 6)]
    begin, end = asking.asked(6)[:2]
    assert addends(begin) == [("tokens", None, False)]
    assert addends(end) == [("tokens", 42, False)]
    assert asking.send("/tokens").status == 429


def test_a_lease_is_released_at_the_end_of_the_stream(asking: Asking) -> None:
    for index in range(3):
        assert asking.send("/leases").status == 200
        asking.asked(2 * index + 2)


def test_three_long_descriptors_at_once(asking: Asking) -> None:
    assert asking.send("/long", ("x-user", b"w" * 50_000)).status == 200
    assert len(asking.asked()[0].descriptors) == 3


def test_what_is_too_much_does_not_pass(asking: Asking) -> None:
    assert asking.send("/many").status == 500
    assert left(asking.send("/look")) == 1000
