"""Answers: what Envoy is told, on both doors, with the decision id spliced in."""

from __future__ import annotations

import json

import pytest

from borderpost.answers import AnswerSettings, Door, ExtAuthzDoor, ExtProcDoor, Refusal, Route
from borderpost.policy.model import Facts
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc

SETTINGS = AnswerSettings(blocked_by="https://example.eu/gateway", retry_after_s=7)
ROUTE = Route("eu-1", "outbound|443||eu.example.com", "DE,FR", "eu-gdpr/intra-eea")
NOTHING = Facts(evidence=(), classes=())
ID_A, ID_B = b"0123456789abcdef" * 2, b"f" * 32
BY_LAW = Refusal(451, "BP0802", "embargo", "IR", ("ofac",))
FOR_NOW = Refusal(503, "BP0806", "no-legal-region-up", "DE")


def _headers(options: object) -> dict[str, bytes]:
    return {o.header.key: o.header.raw_value or o.header.value.encode() for o in options}  # type: ignore[attr-defined]


def test_ext_proc_route_overwrites_by_raw_value_and_clears_the_route_cache_in_one_message() -> None:
    response = proc.ProcessingResponse.FromString(ExtProcDoor(SETTINGS).fill(ROUTE, NOTHING, ID_A))
    common = response.request_headers.response
    (option,) = common.header_mutation.set_headers
    assert (option.header.key, option.header.raw_value) == ("x-borderpost-cluster", ROUTE.cluster.encode())
    assert option.header.value == ""
    assert not option.HasField("append") or not option.append.value
    assert common.clear_route_cache
    assert _metadata(response.SerializeToString()) == {
        "decision": ID_A.decode(), "region": "eu-1", "jurisdiction": "DE,FR", "rule": "eu-gdpr/intra-eea",
    }  # fmt: skip


def test_ext_authz_route_uses_value_and_flat_metadata() -> None:
    response = authz.CheckResponse.FromString(ExtAuthzDoor(SETTINGS).fill(ROUTE, NOTHING, ID_A))
    assert response.status.code == 0
    (option,) = response.ok_response.headers
    assert (option.header.key, option.header.value) == ("x-borderpost-cluster", ROUTE.cluster)
    assert response.dynamic_metadata["decision"] == ID_A.decode()


@pytest.mark.parametrize("door", [ExtProcDoor(SETTINGS), ExtAuthzDoor(SETTINGS)])
def test_each_request_gets_its_own_id_and_nothing_else_differs(door: Door) -> None:
    for answer in (ROUTE, BY_LAW, FOR_NOW):
        first, second = door.fill(answer, NOTHING, ID_A), door.fill(answer, NOTHING, ID_B)
        assert first != second
        assert first.replace(ID_A, ID_B) == second
        assert len(first) == len(second)


def test_a_refusal_by_law_has_an_explicit_status_a_problem_and_says_who_blocks() -> None:
    immediate = proc.ProcessingResponse.FromString(ExtProcDoor(SETTINGS).fill(BY_LAW, NOTHING, ID_A)).immediate_response
    assert immediate.status.code == 451
    headers = _headers(immediate.headers.set_headers)
    assert headers["content-type"] == b"application/problem+json"
    assert headers["link"] == b'<https://example.eu/gateway>; rel="blocked-by"'
    assert "retry-after" not in headers
    problem = json.loads(immediate.body)
    assert (problem["status"], problem["code"], problem["decision"]) == (451, "BP0802", ID_A.decode())
    assert problem["regimes"] == ["ofac"]


def test_a_refusal_for_now_says_when_to_come_back_on_both_doors() -> None:
    immediate = proc.ProcessingResponse.FromString(
        ExtProcDoor(SETTINGS).fill(FOR_NOW, NOTHING, ID_A)
    ).immediate_response
    denied = authz.CheckResponse.FromString(ExtAuthzDoor(SETTINGS).fill(FOR_NOW, NOTHING, ID_A))
    assert immediate.status.code == denied.denied_response.status.code == 503
    assert denied.status.code == 7
    assert _headers(immediate.headers.set_headers)["retry-after"] == b"7"
    assert _headers(denied.denied_response.headers)["retry-after"] == b"7"
    assert json.loads(immediate.body) == json.loads(denied.denied_response.body)


def test_an_unrecorded_refusal_names_no_decision() -> None:
    refusal = Refusal(503, "BP0808", "ENOSPC")
    immediate = proc.ProcessingResponse.FromString(ExtProcDoor(SETTINGS).unrecorded(refusal)).immediate_response
    assert "decision" not in json.loads(immediate.body)


@pytest.mark.parametrize("made", [ExtProcDoor, ExtAuthzDoor])
def test_what_limits_ask_for_is_told_and_nothing_else(made: type[Door]) -> None:
    facts = Facts(evidence=(), classes=("health", "minors"), tenant="acme", model=None, purpose="care")
    asked = AnswerSettings("https://example.eu", 7, facts=("class", "jurisdiction", "model", "region", "tenant"))
    for answer in (ROUTE, BY_LAW):
        plain, told = (_metadata(made(settings).fill(answer, facts, ID_A)) for settings in (SETTINGS, asked))
        assert told == {**plain, "class": "health,minors", "model": "-", "tenant": "acme"}


def test_each_tenant_has_its_own_answer() -> None:
    door = ExtProcDoor(AnswerSettings("https://example.eu", 7, facts=("tenant",)))
    tenants = [_metadata(door.fill(ROUTE, Facts((), (), tenant=name), ID_A))["tenant"] for name in ("a", "b", "a")]
    assert tenants == ["a", "b", "a"]


def _metadata(message: bytes) -> dict[str, str]:
    processed = proc.ProcessingResponse.FromString(message).dynamic_metadata
    if "borderpost" in processed.fields:
        told = processed.fields["borderpost"].struct_value
    else:
        told = authz.CheckResponse.FromString(message).dynamic_metadata
    return {key: value.string_value for key, value in told.fields.items()}
