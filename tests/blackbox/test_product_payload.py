"""The whole product with body mode, through the real Envoy: bodies of every kind, over both doors."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from borderpost.demo.http_client import request_bytes
from borderpost.demo.stage import Asked
from borderpost_envoy import Via
from support.client import Header
from support.clients import ALL, AMERICAN, GERMAN, UNION, Client, legal_header
from support.gateway import Gateway, eventually
from support.h2_client import send_h2
from support.payload_gateway import BOUND, CANARY, HOME, JSON, chat, chunked, hash_of, payload_gateway

pytestmark = pytest.mark.blackbox

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module", params=list(Via), ids=str)
def shared_gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for each door, started once."""
    with payload_gateway(tmp_path_factory.mktemp("payload") / "gate", request.param) as gate:
        yield gate


@pytest.fixture
def gate(shared_gate: Gateway) -> Gateway:
    """The door's gateway, with nothing left of the test before."""
    shared_gate.reset()
    return shared_gate


def ask(gate: Gateway, body: Any, *headers: Header, client: Client = AMERICAN, **how: Any) -> Asked:
    """Send a body as JSON, unless headers say otherwise."""
    named = {name.lower() if isinstance(name, str) else name for name, _ in headers}
    kind = [] if "content-type" in named else [JSON]
    return gate.send(client, [*kind, *headers], body=body, **how)


def told(gate: Gateway, asked: Asked) -> dict[str, Any]:
    """Return what the record of a request says of its body."""
    body: dict[str, Any] = gate.record(asked)["req"]["body"]
    return body


def refused(gate: Gateway, asked: Asked) -> tuple[int, str]:
    """Return status and recorded reason of a refusal, after making sure that no region saw the request."""
    assert gate.served == {}
    out = gate.record(asked)["out"]
    assert out["action"] == "refuse" and out["status"] == asked.reply.status, out
    return asked.reply.status, out["reason"]


def test_what_the_body_says_decides_and_its_name_is_recorded(gate: Gateway) -> None:
    plain, secret = chat(model="m-1"), chat(model="m-1", metadata={"class": ["ledger"]})
    assert ask(gate, plain, legal=ALL).region == "us-east-1"
    asked = ask(gate, secret, legal=HOME)
    assert asked.region in HOME
    record = gate.record(asked)
    assert (record["class"], record["model"]) == (["ledger", "personal"], "m-1")
    assert record["req"]["body"] == {"bytes": len(secret), "hash": hash_of(secret), "declared": ["ledger"]}


@pytest.mark.parametrize("size", [0, 1, BOUND - 1, BOUND])
@pytest.mark.parametrize("form", ["1.1", "1.1-chunked", "2"])
def test_a_body_up_to_the_bound_is_read_and_reaches_its_region(gate: Gateway, form: str, size: int) -> None:
    body = {0: b"", 1: b"7"}.get(size) or (chat(size=size) if size else b"")
    if form == "2":
        asked = ask(gate, body, client=GERMAN, by=send_h2)
    elif form == "1.1":
        asked = ask(gate, body, client=GERMAN)
    else:
        asked = ask(gate, chunked(body), ("transfer-encoding", "chunked"), client=GERMAN)
    assert asked.region in UNION, asked.reply
    assert told(gate, asked) == {"bytes": size, "hash": hash_of(body)}
    (seen,) = (seen for region in UNION for seen in gate.regions[region].seen)
    assert seen.body == body


@pytest.mark.parametrize("form", ["1.1", "1.1-chunked", "2", "2-at-once"])
def test_a_body_beyond_the_bound_is_refused_by_envoy(gate: Gateway, form: str) -> None:
    body = chat(size=BOUND + 1)
    if form == "1.1-chunked":
        asked = ask(gate, chunked(body), ("transfer-encoding", "chunked"))
    elif form == "1.1":
        asked = ask(gate, body)
    else:
        asked = ask(gate, body if form == "2-at-once" else [body], by=send_h2)
    assert (asked.reply.status, asked.region, gate.served) == (413, None, {})
    assert gate.decisions() == []


UNREADABLE: dict[str, tuple[bytes, tuple[Header, ...], int, str]] = {
    "duplicate-key": (b'{"model":"a","model":"b","c":"%b"}' % CANARY.encode(), (), 400, "json-duplicate-key"),
    "escaped-duplicate": (b'{"model":"a","mod\\u0065l":"%b"}' % CANARY.encode(), (), 400, "json-duplicate-key"),
    "other-case": (b'{"Model":"a","model":"%b"}' % CANARY.encode(), (), 400, "json-lookalike-key"),
    "deep": (b"[" * 200 + b'"%b"' % CANARY.encode() + b"]" * 200, (), 400, "json-too-deep"),
    "huge-number": (b'{"n":%b,"c":"%b"}' % (b"9" * 40, CANARY.encode()), (), 400, "json-number-out-of-range"),
    "cut-off": (chat()[:-3], (), 400, "json-malformed"),
    "not-utf-8": (chat().replace(b"kanarien", b"\xff\xfekanarien"), (), 400, "json-not-utf-8"),
    "model-is-no-name": (chat(model={"a": CANARY}), (), 400, "body-model-malformed"),
    "class-is-no-name": (chat(metadata={"class": CANARY + " "}), (), 400, "body-data-class-malformed"),
    "gzip": (gzip.compress(chat(), mtime=0), (("content-encoding", "gzip"),), 415, "content-encoding-not-read"),
    "said-to-be-gzip": (chat(), (("content-encoding", "gzip"),), 415, "content-encoding-not-read"),
    "multipart": (
        b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n%b\r\n--x--\r\n' % CANARY.encode(),
        (("content-type", "multipart/form-data; boundary=x"),), 415, "content-type-not-read",
    ),
    "two-types": (chat(), (JSON, ("content-type", "text/plain")), 400, "content-type-malformed"),
    "wrong-digest": (
        chat(), (("content-digest", f"sha-256=:{base64.b64encode(hashlib.sha256(b'x').digest()).decode()}:"),),
        400, "content-digest-mismatch",
    ),
    "odd-digest": (chat(), (("content-digest", CANARY),), 400, "content-digest-malformed"),
    "other-model": (chat(model="a"), (("x-model", "b"),), 400, "body-contradicts:model"),
    "other-class": (
        chat(metadata={"class": "ledger"}), (("x-data-class", "personal"),), 400, "body-contradicts:class",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_without_one_meaning_is_refused_on_record(gate: Gateway, name: str) -> None:
    body, headers, status, reason = UNREADABLE[name]
    asked = ask(gate, body, *headers)
    found = refused(gate, asked)
    assert found[0] == status and found[1].startswith(reason.rpartition("-malformed")[0] or reason), found
    assert {"bytes": len(body), "hash": hash_of(body)}.items() <= told(gate, asked).items()
    assert CANARY.encode() not in asked.reply.body


def test_a_digest_that_holds_is_recorded_as_verified(gate: Gateway) -> None:
    body = chat()
    good = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert told(gate, ask(gate, body, ("content-digest", good)))["digest"] == "verified"
    assert told(gate, ask(gate, body, ("content-digest", "md5=:AAAA:")))["digest"] == "not-verified"


@pytest.mark.parametrize("text", [f"write to jo@example.org {CANARY}", f"card {CARD} {CANARY}"])
def test_a_detector_makes_the_class_stricter(gate: Gateway, text: str) -> None:
    found = "email" if "@" in text else "cards"
    asked = ask(gate, chat(prompt=text), legal=HOME)
    assert asked.region in HOME
    assert told(gate, asked)["found"] == [found]
    assert gate.record(asked)["class"] == ["ledger", "personal"]


def test_a_detector_adds_to_the_class_that_a_trusted_tenant_declares(gate: Gateway) -> None:
    free = ask(gate, chat(metadata={"class": "public"}), path="/press", client=GERMAN, legal=ALL)
    assert gate.record(free)["class"] == ["public"]
    found = ask(gate, chat(metadata={"class": "public"}, a="jo@example.org"), path="/press", client=GERMAN, legal=HOME)
    assert found.region in HOME
    assert gate.record(found)["class"] == ["ledger", "public"]
    header = ask(gate, chat(a="jo@example.org"), ("x-data-class", "public"), path="/press", client=GERMAN, legal=HOME)
    assert gate.record(header)["class"] == ["ledger", "public"]


def test_what_headers_and_body_say_alike_is_no_contradiction(gate: Gateway) -> None:
    body = chat(model="m", metadata={"class": ["ledger", "personal"]})
    asked = ask(gate, body, ("x-model", "m"), ("x-data-class", "personal,ledger"), legal=HOME)
    assert asked.region in HOME


def test_a_request_without_a_body_is_decided_by_its_headers(gate: Gateway) -> None:
    for method in ("GET", "HEAD", "POST"):
        asked = gate.send(GERMAN, method=method, body=b"")
        assert asked.reply.status == 200
        assert told(gate, asked)["bytes"] == 0


@pytest.mark.parametrize("form", ["1.1", "2"])
def test_trailers_change_nothing(gate: Gateway, form: str) -> None:
    body = chat(metadata={"class": "ledger"})
    if form == "2":
        asked = ask(gate, body, by=send_h2, trailers=[("x-data-class", "public")], legal=HOME)
    else:
        sent = chunked(body, trailers=b"x-data-class: public\r\n")
        asked = ask(gate, sent, ("transfer-encoding", "chunked"), ("trailer", "x-data-class"), legal=HOME)
    assert asked.region in HOME
    assert told(gate, asked)["hash"] == hash_of(body)


def test_a_client_that_waits_for_leave_to_send_gets_it(gate: Gateway) -> None:
    asked = ask(gate, chat(metadata={"class": "ledger"}), ("expect", "100-continue"), legal=HOME)
    assert asked.region in HOME


def test_a_body_that_trickles_in_is_read_whole(gate: Gateway) -> None:
    body = chat(metadata={"class": "ledger"})
    pieces = [piece for at in range(0, len(body), 20) for piece in (body[at : at + 20], 0.01)]
    asked = ask(gate, pieces, by=send_h2, legal=HOME)
    assert asked.region in HOME
    assert told(gate, asked)["hash"] == hash_of(body)


def test_an_upload_that_breaks_off_leaves_nothing(gate: Gateway) -> None:
    head = request_bytes("POST", "/v1/x", [legal_header(UNION), ("x-forwarded-for", GERMAN.address), JSON], chat())
    with socket.create_connection(("127.0.0.1", gate.envoy.port)) as connection:
        connection.sendall(head[:-10])
        time.sleep(0.1)
    assert ask(gate, chat(), client=GERMAN).region in UNION
    assert len(gate.decisions()) == 1
    assert sum(gate.served.values()) == 1


def test_bodies_of_another_route_pass_unread(gate: Gateway) -> None:
    body = chat(size=BOUND * 3, metadata={"class": "ledger"}, model="a")
    asked = ask(gate, body, ("x-model", "b"), ("content-encoding", "gzip"), path="/plain", legal=ALL)
    assert asked.region == "us-east-1"
    assert "body" not in gate.record(asked)["req"]
    assert gate.regions["us-east-1"].seen[-1].body == body


def test_like_headers_do_not_give_a_body_the_answer_of_another(gate: Gateway) -> None:
    for _ in range(3):
        assert ask(gate, chat(), legal=ALL).region == "us-east-1"
        assert ask(gate, chat(metadata={"class": "ledger"}), legal=HOME).region in HOME


def test_how_long_a_decision_took_is_in_the_access_log(gate: Gateway) -> None:
    asked = ask(gate, chat(), client=GERMAN)
    field = "body_decision_us" if gate.via is Via.EXT_PROC else "decision_us"

    def logged() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in gate.access_log.read_text().splitlines()]
        return [line for line in lines if line["decision"] == asked.decision]

    eventually(lambda: len(logged()) == 1, "logged")
    assert int(logged()[0][field]) > 0


def test_what_became_of_bodies_is_counted(gate: Gateway) -> None:
    before = gate.metric("borderpost_bodies_total", outcome="refused")
    ask(gate, b"{")
    eventually(lambda: gate.metric("borderpost_bodies_total", outcome="refused") == before + 1, "counted")
    assert gate.metric("borderpost_body_read_seconds_count") > 0
