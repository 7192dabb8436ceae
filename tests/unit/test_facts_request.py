"""What is taken out of a message before facts are made of it: host, claims, identity; and what Envoy is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.facts import (
    Claims,
    Identity,
    client_host,
    needed_attributes,
    needed_headers,
    read_claims,
    read_identity,
)
from borderpost.policy.schema import EvidenceSpec, MtlsSource, TenantSpec, TokenSource


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("1.2.3.4:80", "1.2.3.4"),
        ("1.2.3.4:0", "1.2.3.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[::ffff:1.2.3.4]:0", "::ffff:1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("", ""),
        ("/run/pipe", "/run/pipe"),
    ],
)
def test_port_is_cut_off_and_nothing_else(address: str, host: str) -> None:
    assert client_host(address) == host


def metadata(payload: Any, namespace: str = "envoy.filters.http.jwt_authn") -> dict[str, Struct]:
    struct = Struct()
    struct.update({"payload": payload})
    return {namespace: struct}


@pytest.mark.parametrize(
    ("given_metadata", "expected"),
    [
        ({}, (None, None)),
        (metadata({}), (None, None)),
        (metadata({"residency": "DE", "tenant": "acme", "sub": "x"}), ("DE", "acme")),
        (metadata({"residency": "DE"}), ("DE", None)),
        (metadata({"residency": ["DE"], "tenant": {"a": 1}}), ("", "")),
        (metadata({"residency": None, "tenant": 7}), ("", "")),
        (metadata({"residency": True, "tenant": ""}), ("", "")),
        (metadata("DE"), ("", "")),
        (metadata(["DE"]), ("", "")),
        (metadata({"residency": "DE"}, "envoy.filters.http.other"), (None, None)),
    ],
)
def test_claims(given_metadata: Mapping[str, Struct], expected: tuple[str | None, str | None]) -> None:
    assert read_claims(given_metadata, TokenSource()) == (*expected, None)
    assert read_claims(given_metadata, None) == Claims()


def test_claims_under_names_of_ones_own() -> None:
    source = TokenSource(residency_claim="https://example/residency", tenant_claim="org")
    assert read_claims(metadata({"https://example/residency": "CA-QC", "org": "x"}), source) == ("CA-QC", "x", None)
    other_key = TokenSource(payload_key="claims")
    assert read_claims(metadata({"residency": "DE"}), other_key) == Claims()


@pytest.mark.parametrize(
    ("given_metadata", "issuer"),
    [
        ({}, None),
        (metadata({"iss": "https://a/"}, "envoy.filters.http.other"), None),
        (metadata({"iss": "https://a/"}), "https://a/"),
        (metadata({"iss": "b", "residency": "DE"}), "b"),
        (metadata({}), ""),
        (metadata({"iss": ""}), ""),
        (metadata({"iss": ["https://a/"]}), ""),
        (metadata({"iss": None}), ""),
        (metadata("https://a/"), ""),
    ],
)
def test_issuer_is_read_where_some_are_believed(given_metadata: Mapping[str, Struct], issuer: str | None) -> None:
    assert read_claims(given_metadata, TokenSource(issuers=("https://a/",))).issuer == issuer
    assert read_claims(given_metadata, TokenSource()).issuer is None


DIGEST = b"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_identity() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert read_identity([b"6f1c-1"], [TRACE]) == Identity("6f1c-1", trace_id)
    assert read_identity([], []) == Identity(None, None)
    assert read_identity([], [b"cc" + TRACE[2:] + b"-what-comes"]).trace_id == trace_id
    both = ("x-request-id", "traceparent")
    assert read_identity([], [], [DIGEST]) == Identity(None, None, digest=DIGEST.decode())
    assert read_identity([b"a", b"a"], [TRACE, TRACE]) == Identity(None, None, both)


@pytest.mark.parametrize(
    "values",
    [[DIGEST, DIGEST], [b""], [b"sha-256=abc"], [b"sha-256=:abc:, "], [b"sha-256=:" + b"a" * 300 + b":"], [b"\xff"]],
)
def test_digest_that_is_none_is_left_out_and_told(values: list[bytes]) -> None:
    assert read_identity([], [], values) == Identity(None, None, ("content-digest",))


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b"\xff", "é".encode(), b"a\n"])
def test_request_ids_that_do_not_fit_are_left_out(value: bytes) -> None:
    assert read_identity([value], []) == Identity(None, None, ("x-request-id",))


@pytest.mark.parametrize(
    "value",
    [b"", TRACE[:-1], TRACE + b"0", TRACE + b"-more", b"ff" + TRACE[2:], TRACE.upper(), TRACE + b"\n",
     b"00-" + b"0" * 32 + TRACE[35:], TRACE[:36] + b"0" * 16 + b"-01", b"cc" + TRACE[2:] + b"-" + b"x" * 300],
)  # fmt: skip
def test_traceparents_that_do_not_fit_are_left_out(value: bytes) -> None:
    assert read_identity([], [value]) == Identity(None, None, ("traceparent",))


def test_what_envoy_is_asked_for() -> None:
    spec = EvidenceSpec()
    named = ("content-digest", "traceparent", "x-data-class", "x-data-residency", "x-model", "x-request-id")
    assert needed_headers(spec, {}) == named
    assert needed_headers(spec) == needed_headers(spec, {"a": TenantSpec()}) == tuple(sorted((*named, "x-tenant")))
    assert needed_headers(EvidenceSpec(header=None), {}) == tuple(name for name in named if "residency" not in name)
    asked = needed_headers(EvidenceSpec(trust_purpose_header=True), {})
    assert asked == tuple(sorted((*named, "x-purpose")))
    certified = EvidenceSpec(mtls=MtlsSource(san_prefix="spiffe://example/"))
    plain = ("source.address", "xds.route_name")
    assert needed_attributes(spec) == needed_attributes(spec, {"a": TenantSpec()}) == plain
    with_certificates = (
        *plain, "connection.mtls", "connection.uri_san_peer_certificate", "connection.dns_san_peer_certificate"
    )  # fmt: skip
    assert needed_attributes(certified) == needed_attributes(spec, {"a": TenantSpec(san=("x",))}) == with_certificates


@given(st.lists(st.binary(max_size=200), max_size=3), st.lists(st.binary(max_size=300), max_size=3))
@settings(max_examples=300, deadline=None)
def test_identity_never_raises_and_is_plain_ascii(request_ids: list[bytes], traceparents: list[bytes]) -> None:
    identity = read_identity(request_ids, traceparents)
    assert identity.request_id is None or (identity.request_id.isprintable() and identity.request_id.isascii())
    assert identity.trace_id is None or len(identity.trace_id) == 32
