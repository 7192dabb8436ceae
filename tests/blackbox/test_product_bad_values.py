"""The whole product and header values that make no sense: 400, recorded, and nobody crashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from borderpost_envoy import Via
from support.client import Header
from support.clients import AMERICAN, GERMAN, Client
from support.gateway import Gateway, gateway

pytestmark = pytest.mark.blackbox

READ = ("x-data-residency", "x-data-class", "x-tenant", "x-model", "x-purpose")
"""Every header that may change the law, where the purpose's is trusted."""

BAD_VALUES: dict[str, list[bytes]] = {
    "empty": [b""],
    "invalid UTF-8": [b"DE\xff\xfe"],
    "overlong UTF-8": [b"\xc0\xae\xc0\xae"],
    "a surrogate": [b"\xed\xa0\x80"],
    "UTF-8 that is no ASCII": ["Ｄ\u202eＥ".encode()],
    "a space inside": [b"D E"],
    "quotes": [b'"DE"'],
    "braces": [b'{"a":1}'],
    "a tab inside": [b"D\tE"],
    "only a comma": [b","],
    "a trailing comma": [b"x,"],
    "257 bytes": [b"a" * 257],
    "50,000 bytes": [b"a" * 50_000],
    "many lines": [b"DE"] * 90,
}
"""Values that fit none of them. 90 lines of `DE` are 269 bytes together."""

ENVOY_REFUSES: dict[str, list[bytes]] = {
    "NUL": [b"D\x00E"],
    "a control character": [b"D\x01E"],
    "DEL": [b"D\x7fE"],
    "over Envoy's bound": [b"a" * 70_000],
}
"""Values that Envoy ends the connection over, or refuses by itself, so that nobody is asked."""

MISFITS: dict[str, tuple[list[Header], str]] = {
    "no country": ([("x-data-residency", "XX")], "header-malformed:x-data-residency"),
    "lower case": ([("x-data-residency", "de")], "header-malformed:x-data-residency"),
    "three letters": ([("x-data-residency", "DEU")], "header-malformed:x-data-residency"),
    "two countries": ([("x-data-residency", "DE,US")], "header-conflict:x-data-residency"),
    "two lines": ([("x-data-residency", "DE"), ("X-Data-Residency", "US")], "header-conflict:x-data-residency"),
    "two models": ([("x-model", "a"), ("x-model", "b")], "header-conflict:x-model"),
    "two purposes": ([("x-purpose", "a"), ("x-purpose", "b")], "header-conflict:x-purpose"),
    "two tenants": ([("x-tenant", "clinic"), ("x-tenant", "press")], "header-conflict:x-tenant"),
    "unknown tenant": ([("x-tenant", "nobody")], "tenant-unknown"),
    "upper case class": ([("x-data-class", "Health")], "header-malformed:x-data-class"),
    "many classes": ([("x-data-class", ",".join(f"c{n}" for n in range(17)))], "header-too-long:x-data-class"),
}


@pytest.fixture(scope="module", params=list(Via))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    trusting = {"trust_purpose_header": True}
    with gateway(tmp_path_factory.mktemp("values"), via=request.param, evidence=trusting) as gate:
        yield gate
        assert gate.logged('"level": "error"') == 0, gate.log_text()
        assert gate.metric("borderpost_worker_restarts_total") == 0


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    shared.reset()
    return shared


def _refused(gate: Gateway, headers: list[Header], *reasons: str) -> None:
    """Send the headers from a client whom law lets go anywhere: only their shape can refuse it."""
    asked = gate.send(AMERICAN, headers)
    assert asked.status == 400
    out = gate.record(asked)["out"]
    assert (out["action"], out["status"]) == ("refuse", 400)
    assert out["reason"] in reasons
    assert gate.served == {}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("lines", BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_value_that_makes_no_sense_is_400(gate: Gateway, name: str, lines: list[bytes]) -> None:
    _refused(gate, [(name, line) for line in lines], f"header-malformed:{name}", f"header-too-long:{name}")


@pytest.mark.parametrize(("headers", "reason"), MISFITS.values(), ids=MISFITS.keys())
def test_value_with_no_one_meaning_is_400(gate: Gateway, headers: list[Header], reason: str) -> None:
    _refused(gate, headers, reason)


@pytest.mark.parametrize("name", READ)
def test_what_http_forbids_never_arrives(gate: Gateway, name: str) -> None:
    for title, lines in ENVOY_REFUSES.items():
        asked = gate.send(AMERICAN, [(name, line) for line in lines])
        assert asked.status in (400, 431), title
    assert gate.served == {}
    assert gate.decisions() == []


def test_bare_carriage_return_is_gone_for_us_and_for_the_region(gate: Gateway) -> None:
    """Envoy 1.40 drops a CR inside a value; what matters is that nobody behind it reads another value than we do."""
    asked = gate.send(AMERICAN, [("x-data-residency", b"D\rE")], legal=GERMAN.legal)
    assert asked.region in GERMAN.legal
    assert gate.record(asked)["jur"]["effective"] == ["DE", "US"]
    (seen,) = gate.regions[asked.region].seen
    assert dict(seen.headers)["x-data-residency"] == "DE"


def test_unreadable_identity_is_left_out_not_refused(gate: Gateway) -> None:
    """`x-request-id` and `traceparent` join logs and decide nothing."""
    for value in (b"", b"\xff\xfe", b"a" * 4000, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"):
        asked = gate.send(GERMAN, [("x-request-id", value), ("traceparent", value)])
        assert asked.status == 200
        assert "trace" not in gate.record(asked)["req"]
    assert gate.served == {"eu-central-1": 4}


def test_digest_of_the_body_is_recorded_as_the_client_says_it(gate: Gateway) -> None:
    said = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    for value, recorded in ((said, said), (said, said), ("sha-256=none", None)):
        asked = gate.send(GERMAN, [("content-digest", value)])
        assert asked.status == 200
        assert gate.record(asked)["req"].get("digest") == recorded


def test_class_that_no_policy_defines_is_refused(gate: Gateway) -> None:
    asked = gate.send(AMERICAN, [("x-data-class", "gossip")])
    assert asked.status == 403
    assert gate.record(asked)["out"]["code"] == "BP0811"
    assert gate.served == {}


@pytest.mark.parametrize("client", [AMERICAN, GERMAN], ids=["US", "DE"])
def test_it_goes_on_serving(gate: Gateway, client: Client) -> None:
    assert gate.send(client).region in client.legal
