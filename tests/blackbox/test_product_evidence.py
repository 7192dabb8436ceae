"""The whole product and what clients can prove, assert or declare: proof is believed, words only narrow."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.stage import Asked
from borderpost.demo.tokens import TokenIssuer
from borderpost_envoy import Via
from support.certificates import CertificateAuthority
from support.client import Header
from support.clients import (
    ALL,
    AMERICAN,
    BRAZILIAN,
    EMIRATI,
    FRENCH,
    GERMAN,
    INDIAN,
    IRANIAN,
    NOWHERE,
    RUSSIAN,
    STRANGER,
    UNION,
    Client,
)
from support.gateway import Gateway, eventually, gateway
from support.mmdb_writer import write_mmdb

pytestmark = pytest.mark.blackbox

ISSUER = "https://id.example/"
PARTNER = "https://partner.example/"
"""Issues tokens that Envoy verifies and Borderpost does not believe."""
PREFIX = "spiffe://example/residency/"
BANK = "spiffe://example/tenant/bank"
EXITS = "12.0.1.0/24 vpn  # American\n5.160.1.0/24 tor  # Iranian\n2a01:4f8:77::/48\n"
AMERICAN_EXIT = Client("12.0.1.7", NOWHERE)
GERMAN_EXIT = Client("2a01:4f8:77::7", NOWHERE)
FRENCH_EXIT = Client("62.210.77.7", NOWHERE)
"""Flagged by the database, the others by the list."""
IRANIAN_EXIT = Client("5.160.1.7", NOWHERE)
GERMAN_SERVER = Client("88.198.77.7", UNION)


@dataclass(frozen=True, slots=True)
class Proofs:
    """Who issues tokens and certificates."""

    issuer: TokenIssuer
    partner: TokenIssuer
    authority: CertificateAuthority
    stranger: CertificateAuthority

    def bearer(self, issuer: TokenIssuer | None = None, **claims: Any) -> Header:
        """Return the header with a token."""
        return "authorization", f"Bearer {(issuer or self.issuer).token(**claims)}"

    def tls(self, *names: str, by: CertificateAuthority | None = None) -> ssl.SSLContext:
        """Return a client's TLS, with a certificate of these names if there are any."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if names:
            context.load_cert_chain(*(by or self.authority).issue("client", uris=names))
        return context


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway with TLS, and who issues what."""

    gate: Gateway
    proofs: Proofs

    def ask(
        self,
        client: Client,
        *headers: Header,
        legal: frozenset[str] | None = None,
        names: tuple[str, ...] = (),
        **how: Any,
    ) -> Asked:
        """Send one request over TLS."""
        return self.gate.send(client, headers, legal=legal, tls=self.proofs.tls(*names), **how)


@pytest.fixture(scope="module", params=list(Via))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("evidence")
    issuers = TokenIssuer(ISSUER), TokenIssuer(PARTNER)
    proofs = Proofs(*issuers, CertificateAuthority(directory), CertificateAuthority(directory, "stranger"))
    certificate, key = proofs.authority.issue("gateway", dns=("localhost",))
    for name, issuer in (("stage", proofs.issuer), ("partner", proofs.partner)):
        (directory / f"{name}.json").write_text(issuer.jwks())
    options = [
        *("--tls", str(certificate), str(key), "--client-ca", str(proofs.authority.path)),
        *("--jwt", "stage", ISSUER, str(directory / "stage.json")),
        *("--jwt", "partner", PARTNER, str(directory / "partner.json")),
        *("--route", "vault=/vault/", "--route", "quick=/quick/", "--route", "chat=/"),
    ]
    write_exits(directory, EXITS)
    flags = {
        "62.210.77.0/24": {"is_anonymous": True, "is_anonymous_vpn": True},
        "88.198.77.0/24": {"is_anonymous": True, "is_hosting_provider": True},
    }
    write_mmdb(directory / "exits.mmdb", flags, database_type="GeoIP2-Anonymous-IP")
    with gateway(
        directory,
        via=request.param,
        options=options,
        geoip={"anonymisers": ["exits.txt", "exits.mmdb"]},
        evidence={
            "mtls": {"san_prefix": PREFIX},
            "token": {"issuers": [ISSUER]},
            "geoip": {"hosting": "believe"},
            "trust_purpose_header": True,
        },
        tenants={"bank": {"san": [BANK], "classes": ["financial"], "require_evidence": ["token"]}},
        routes={
            "chat": {},
            "vault": {"require_evidence": ["token", "geoip"]},
            "quick": {"mode": "hybrid", "purpose": "support"},
        },
    ) as gate:
        yield Stage(gate, proofs)


def write_exits(directory: Path, text: str) -> None:
    """Replace the list by a rename, as it should be."""
    fresh = directory / "exits.new"
    fresh.write_text(text)
    fresh.rename(directory / "exits.txt")


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.gate.reset()
    return shared


def _evidence(stage: Stage, asked: Asked) -> dict[str, str]:
    return {piece["src"]: piece["val"] for piece in stage.gate.record(asked)["jur"]["evidence"]}


def _refused(stage: Stage, asked: Asked, status: int, reason: str) -> None:
    """Check that the client, the log and the regions agree that it was refused, and why."""
    out = stage.gate.record(asked)["out"]
    assert (asked.status, out["action"], out["status"], out["reason"]) == (status, "refuse", status, reason)
    assert stage.gate.served == {}


# Tokens


def test_verified_claim_resolves_an_unknown_address(stage: Stage) -> None:
    asked = stage.ask(STRANGER, stage.proofs.bearer(residency="DE"), legal=UNION)
    assert (asked.status, asked.region) == (200, "eu-central-1")
    assert _evidence(stage, asked) == {"token": "DE"}
    assert stage.gate.served == {"eu-central-1": 1}


def test_verified_claim_does_not_take_the_address_away(stage: Stage) -> None:
    asked = stage.ask(GERMAN, stage.proofs.bearer(residency="US"))
    assert asked.region in UNION
    assert _evidence(stage, asked) == {"token": "US", "geoip": "DE"}


@pytest.mark.parametrize("fault", ["forged", "expired", "another issuer", "without expiry", "unsigned", "rubbish"])
def test_bad_token_gets_nobody_anywhere(stage: Stage, fault: str) -> None:
    proofs = stage.proofs
    header = {
        "forged": lambda: proofs.bearer(TokenIssuer(ISSUER), residency="US"),
        "expired": lambda: proofs.bearer(residency="US", exp=int(time.time()) - 3600),
        "another issuer": lambda: proofs.bearer(TokenIssuer("https://evil.example/"), residency="US"),
        "without expiry": lambda: proofs.bearer(residency="US", exp=None),
        "unsigned": lambda: ("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJyZXNpZGVuY3kiOiJVUyJ9."),
        "rubbish": lambda: ("authorization", "Bearer a.b.c"),
    }[fault]()
    for client in (STRANGER, GERMAN):
        assert stage.ask(client, header, legal=NOWHERE).status in (401, 403)
    assert stage.gate.served == {}
    assert stage.gate.decisions() == []


@pytest.mark.parametrize("claim", ["XX", "de", "", "DE,US", "x" * 300, 7, None, ["DE"], {"a": "DE"}])
def test_claim_of_a_genuine_token_that_is_no_place_is_refused(stage: Stage, claim: Any) -> None:
    asked = stage.ask(GERMAN, stage.proofs.bearer(residency=claim), legal=NOWHERE)
    _refused(stage, asked, 403, "claim-malformed:residency")


def test_token_of_an_issuer_that_is_not_believed_ends_the_request(stage: Stage) -> None:
    """Envoy verifies it, and it proves nothing: neither a place nor a tenant, and it is not passed over."""
    token = stage.proofs.bearer(stage.proofs.partner, residency="DE", tenant="press")
    for client in (GERMAN, STRANGER):
        stage.gate.reset()
        _refused(stage, stage.ask(client, token, legal=NOWHERE), 403, "issuer-not-believed")
    stage.gate.reset()
    assert stage.ask(GERMAN, stage.proofs.bearer(residency="DE")).region == "eu-central-1"


@pytest.mark.parametrize("name", ["x-jwt-payload", "x-borderpost-jwt", "payload", "envoy.filters.http.jwt_authn"])
def test_header_is_no_token(stage: Stage, name: str) -> None:
    asked = stage.ask(STRANGER, (name, "eyJyZXNpZGVuY3kiOiJVUyJ9"))
    _refused(stage, asked, 403, "unknown-subject")


# Certificates


def test_certificate_resolves_an_unknown_address(stage: Stage) -> None:
    asked = stage.ask(STRANGER, legal=UNION, names=(f"{PREFIX}DE",))
    assert (asked.status, asked.region) == (200, "eu-central-1")
    assert _evidence(stage, asked) == {"mtls": "DE"}


def test_certificate_does_not_take_the_address_away(stage: Stage) -> None:
    asked = stage.ask(GERMAN, names=(f"{PREFIX}US",))
    assert asked.region in UNION
    assert _evidence(stage, asked) == {"mtls": "US", "geoip": "DE"}


def test_certificate_of_an_embargoed_place(stage: Stage) -> None:
    asked = stage.ask(AMERICAN, legal=NOWHERE, names=(f"{PREFIX}KP",))
    _refused(stage, asked, 451, "embargo")


def test_certificate_with_no_place_in_its_name(stage: Stage) -> None:
    asked = stage.ask(AMERICAN, legal=NOWHERE, names=(f"{PREFIX}Atlantis",))
    _refused(stage, asked, 403, "certificate-malformed:residency")


def test_certificate_of_another_authority(stage: Stage) -> None:
    context = stage.proofs.tls(f"{PREFIX}US", by=stage.proofs.stranger)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stage.gate.send(GERMAN, legal=NOWHERE, tls=context)
    assert stage.gate.served == {}


def test_header_is_no_certificate(stage: Stage) -> None:
    asked = stage.ask(STRANGER, ("x-forwarded-client-cert", f"URI={PREFIX}US"), ("ssl-client-cert", f"{PREFIX}US"))
    _refused(stage, asked, 403, "unknown-subject")


# Anonymisers and hosting networks


@pytest.mark.parametrize("client", [AMERICAN_EXIT, GERMAN_EXIT, FRENCH_EXIT], ids=["list", "list, IPv6", "database"])
def test_exit_places_nobody(stage: Stage, client: Client) -> None:
    asked = stage.ask(client)
    _refused(stage, asked, 403, "unknown-subject")
    (piece,) = stage.gate.record(asked)["jur"]["evidence"]
    assert (piece["src"], piece["trust"], piece["doubt"]) == ("geoip", "inferred", "anonymiser")


def test_exit_with_a_token_is_where_the_token_says(stage: Stage) -> None:
    asked = stage.ask(AMERICAN_EXIT, stage.proofs.bearer(residency="DE"), legal=UNION)
    assert (asked.status, asked.region) == (200, "eu-west-1"), "the nearest to the exit of those that are legal"
    record = stage.gate.record(asked)["jur"]
    assert (record["effective"], [piece.get("doubt") for piece in record["evidence"]]) == (["DE"], [None, "anonymiser"])
    stage.gate.reset()
    french = stage.gate.record(stage.ask(FRENCH_EXIT, stage.proofs.bearer(residency="US"), legal=ALL))
    assert {row["r"] for row in french["cand"] if row["ok"]} == ALL, "a French exit calls for no French law"


def test_exit_in_an_embargoed_place_is_embargoed_whatever_the_token_says(stage: Stage) -> None:
    for headers in ((), (stage.proofs.bearer(residency="DE"),)):
        stage.gate.reset()
        _refused(stage, stage.ask(IRANIAN_EXIT, *headers), 451, "embargo")


def test_exit_meets_no_demand_for_an_address(stage: Stage) -> None:
    token = stage.proofs.bearer(residency="DE")
    _refused(stage, stage.ask(AMERICAN_EXIT, token, path="/vault/v1"), 403, "evidence-required:geoip")
    stage.gate.reset()
    assert stage.ask(GERMAN, token, path="/vault/v1").region == "eu-central-1"


def test_assertion_is_no_proof_against_an_exit(stage: Stage) -> None:
    _refused(stage, stage.ask(AMERICAN_EXIT, ("x-data-residency", "US")), 403, "unknown-subject")


def test_hosting_networks_that_are_believed(stage: Stage) -> None:
    asked = stage.ask(GERMAN_SERVER)
    assert asked.region == "eu-central-1"
    assert stage.gate.record(asked)["jur"]["evidence"] == [
        {"src": "geoip", "val": "DE", "trust": "inferred", "subdivision_unknown": True}
    ]


def test_other_exits_are_taken_while_serving(stage: Stage) -> None:
    def reason() -> str | None:
        stage.gate.reset()
        return stage.gate.record(stage.ask(AMERICAN, legal=ALL))["out"].get("reason")

    assert reason() is None
    write_exits(stage.gate.directory, EXITS + "12.0.0.0/24\n")
    try:
        eventually(lambda: reason() == "unknown-subject", "the list is in force")
    finally:
        write_exits(stage.gate.directory, EXITS)
    eventually(lambda: reason() is None, "the earlier list is in force")


# Purpose and mode


def test_purpose_and_mode_of_route_and_header(stage: Stage) -> None:
    def record(path: str, *headers: Header) -> tuple[Any, Any]:
        found = stage.gate.record(stage.ask(GERMAN, *headers, path=path))
        return found.get("purpose"), found["jur"].get("mode")

    assert record("/v1") == (None, None)
    assert record("/v1", ("x-purpose", "research")) == ("research", None)
    assert record("/quick/v1") == ("support", "hybrid")
    assert record("/quick/v1", ("x-purpose", "support")) == ("support", "hybrid")
    assert record("/quick/v1", ("x-purpose", "research")) == (None, "hybrid")


# Assertions in a header


@pytest.mark.parametrize(
    ("client", "asserted", "legal"),
    [
        (AMERICAN, "FR", UNION),
        (AMERICAN, "AE", EMIRATI.legal),
        (GERMAN, "US", UNION),
        (FRENCH, "IN", UNION),
        (BRAZILIAN, "SG", NOWHERE),
        (EMIRATI, "DE", NOWHERE),
        (INDIAN, "RU", NOWHERE),
        (STRANGER, "US", NOWHERE),
        (RUSSIAN, "DE", NOWHERE),
    ],
    ids=lambda value: value.address if isinstance(value, Client) else None,
)
def test_assertion_narrows_and_never_widens(stage: Stage, client: Client, asserted: str, legal: frozenset[str]) -> None:
    asked = stage.ask(client, ("X-Data-Residency", asserted), legal=legal)
    record = stage.gate.record(asked)
    allowed = {row["r"] for row in record["cand"] if row["ok"]}
    assert allowed == legal <= ALL
    if legal:
        assert asked.region in legal
    else:
        assert asked.status in (403, 451)
        assert stage.gate.served == {}


@pytest.mark.parametrize("client", [AMERICAN, GERMAN, STRANGER], ids=["US", "DE", "unknown"])
@pytest.mark.parametrize("place", ["IR", "CU", "KP", "UA-43"])
def test_assertion_of_an_embargoed_place_is_enough(stage: Stage, client: Client, place: str) -> None:
    asked = stage.ask(client, ("x-data-residency", place), legal=NOWHERE)
    _refused(stage, asked, 451, "embargo")


def test_unknown_address_is_refused(stage: Stage) -> None:
    _refused(stage, stage.ask(STRANGER), 403, "unknown-subject")


@pytest.mark.parametrize("client", [IRANIAN, RUSSIAN], ids=["embargo", "no regime"])
def test_451_says_who_blocks(stage: Stage, client: Client) -> None:
    reply = stage.ask(client).reply
    assert reply.status == 451
    assert reply.all("link") == ['<https://demo.example/gateway>; rel="blocked-by"']
    assert reply.all("content-type") == ["application/problem+json"]
    assert reply.all("cache-control") == ["no-store"]


# Data classes and tenants


def test_declared_class_tightens(stage: Stage) -> None:
    assert stage.ask(EMIRATI).region == "me-central-1"
    stage.gate.reset()
    asked = stage.ask(EMIRATI, ("x-data-class", "health"), legal=NOWHERE)
    _refused(stage, asked, 451, "here-not-allowed")


@pytest.mark.parametrize("declared", ["public", "public, public", "personal", "public,personal"])
def test_declared_class_never_loosens(stage: Stage, declared: str) -> None:
    asked = stage.ask(BRAZILIAN, ("x-data-class", declared))
    assert asked.region in UNION
    assert "personal" in stage.gate.record(asked)["class"]


def test_only_the_verified_tenant_may_declare(stage: Stage) -> None:
    declared = ("x-data-class", "public")
    named = stage.ask(BRAZILIAN, ("x-tenant", "press"), declared)
    assert named.region in UNION
    proven = stage.ask(BRAZILIAN, stage.proofs.bearer(tenant="press"), declared, legal=ALL)
    assert proven.region == "us-east-1"
    assert [stage.gate.record(one)["class"] for one in (named, proven)] == [["personal", "public"], ["public"]]


def test_tenant_of_the_header_brings_its_floor(stage: Stage) -> None:
    asked = stage.ask(EMIRATI, ("x-tenant", "clinic"), legal=NOWHERE)
    _refused(stage, asked, 451, "here-not-allowed")
    assert stage.gate.record(asked)["class"] == ["health", "personal"]


@pytest.mark.parametrize("how", ["header", "certificate", "route"])
def test_required_evidence_is_not_avoided(stage: Stage, how: str) -> None:
    """What names the tenant or route brings its requirement; an assertion in its place proves nothing."""
    headers: list[Header] = [("x-data-residency", "DE"), *([("x-tenant", "bank")] if how == "header" else [])]
    names = (BANK,) if how == "certificate" else ()
    path = "/vault/v1/chat" if how == "route" else "/v1/chat"
    asked = stage.ask(GERMAN, *headers, legal=NOWHERE, names=names, path=path)
    _refused(stage, asked, 403, "evidence-required:token")
    proven = stage.ask(GERMAN, *headers, stage.proofs.bearer(residency="DE"), names=names, path=path)
    assert proven.region == "eu-central-1"


@pytest.mark.parametrize("path", ["//vault/v1/chat", "/./vault/v1", "/x/../vault/v1", "/vault%2Fv1", "/%76ault/v1"])
def test_route_s_requirement_has_no_second_spelling(stage: Stage, path: str) -> None:
    asked = stage.ask(GERMAN, legal=NOWHERE, path=path)
    assert asked.status in (400, 403), asked.reply
    assert stage.gate.served == {}
