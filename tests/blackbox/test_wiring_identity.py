"""Verified identity on its way through Envoy: tokens as metadata, certificates as attributes, never as headers."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.tokens import TokenIssuer
from borderpost_envoy import JwtProvider, ListenerTls, Via
from support.certificates import CertificateAuthority
from support.wiring import Wiring, wired

pytestmark = pytest.mark.blackbox

SAN = "spiffe://example/residency/DE"


class Identities:
    """What a client can show, and what Envoy checks it by."""

    def __init__(self, directory: Path) -> None:
        self.issuer = TokenIssuer("https://id.example/")
        self.authority = CertificateAuthority(directory)
        self.stranger = CertificateAuthority(directory, "stranger")
        certificate, key = self.authority.issue("gateway", dns=("localhost",))
        self.client = self.authority.issue("client", uris=(SAN,))
        self.forged = self.stranger.issue("forged", uris=(SAN,))
        jwks = directory / "jwks.json"
        jwks.write_text(self.issuer.jwks())
        self.plan: dict[str, Any] = {
            "tls": ListenerTls(str(certificate), str(key), str(self.authority.path)),
            "jwt_providers": (JwtProvider("issuer", self.issuer.issuer, str(jwks), ("inference",)),),
        }

    def tls(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return a client's TLS, with its certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context


@pytest.fixture(scope="module", params=list(Via))
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wiring, Identities]]:
    directory = tmp_path_factory.mktemp("identity")
    identities = Identities(directory)
    with wired(directory, via=request.param, **identities.plan) as wiring:
        yield wiring, identities


@pytest.fixture
def ready(stage: tuple[Wiring, Identities]) -> tuple[Wiring, Identities]:
    wiring, _ = stage
    wiring.reset()
    wiring.answer(wiring.route("eu-1"))
    return stage


def _payload(request: Any) -> dict[str, Any]:
    metadata = getattr(request, "metadata_context", None) or request.attributes.metadata_context
    found = metadata.filter_metadata["envoy.filters.http.jwt_authn"]
    return dict(found.fields["payload"].struct_value.items()) if "payload" in found.fields else {}


def _certificate_name(wiring: Wiring, request: Any) -> str:
    if wiring.via is Via.EXT_AUTHZ:
        principal: str = request.attributes.source.principal
        return principal
    fields = request.attributes["envoy.filters.http.ext_proc"].fields
    name: str = fields["connection.uri_san_peer_certificate"].string_value
    return name


def _request(request: Any) -> Any:
    return request if hasattr(request, "request_headers") else request.attributes


def test_verified_claims_arrive_as_metadata(ready: tuple[Wiring, Identities]) -> None:
    wiring, identities = ready
    token = identities.issuer.token(aud="inference", residency="DE", tenant="acme")
    reply = wiring.send([("authorization", f"Bearer {token}")], tls=identities.tls())
    assert reply.status == 200
    payload = _payload(_request(wiring.stub.requests[-1]))
    assert (payload["residency"], payload["tenant"]) == ("DE", "acme")
    assert token.encode() not in wiring.stub.requests[-1].SerializeToString()


def test_request_without_token_has_no_claims(ready: tuple[Wiring, Identities]) -> None:
    wiring, identities = ready
    forged = [("x-jwt-payload", "eyJyZXNpZGVuY3kiOiJERSJ9"), ("x-envoy-jwt", "DE")]
    assert wiring.send(forged, tls=identities.tls()).status == 200
    assert _payload(_request(wiring.stub.requests[-1])) == {}


@pytest.mark.parametrize(
    "fault", ["another key", "expired", "another audience", "another issuer", "no expiry", "rubbish"]
)
def test_bad_token_is_refused_before_we_are_asked(ready: tuple[Wiring, Identities], fault: str) -> None:
    wiring, identities = ready
    issuer = identities.issuer
    token = {
        "another key": lambda: TokenIssuer(issuer.issuer).token(aud="inference", residency="DE"),
        "expired": lambda: issuer.token(aud="inference", exp=int(time.time()) - 3600),
        "another audience": lambda: issuer.token(aud="else"),
        "another issuer": lambda: issuer.token(aud="inference", iss="https://evil.example/"),
        "no expiry": lambda: issuer.token(aud="inference", exp=None),
        "rubbish": lambda: "a.b.c",
    }[fault]()
    reply = wiring.send([("authorization", f"Bearer {token}")], tls=identities.tls())
    assert reply.status in (401, 403)
    assert wiring.served == {}
    assert wiring.stub.requests == []


def test_certificate_name_arrives(ready: tuple[Wiring, Identities]) -> None:
    wiring, identities = ready
    assert wiring.send(tls=identities.tls(identities.client)).status == 200
    assert _certificate_name(wiring, wiring.stub.requests[-1]) == SAN


def test_header_is_no_certificate(ready: tuple[Wiring, Identities]) -> None:
    wiring, identities = ready
    spoof = [("x-forwarded-client-cert", f"By=a;URI={SAN}"), ("ssl-client-cert", SAN)]
    assert wiring.send(spoof, tls=identities.tls()).status == 200
    assert _certificate_name(wiring, wiring.stub.requests[-1]) == ""
    assert SAN.encode() not in wiring.stub.requests[-1].SerializeToString()
    assert not [v for name, v in wiring.regions["eu-1"].seen[-1].headers if name == "x-forwarded-client-cert"]


def test_stranger_s_certificate_is_refused(ready: tuple[Wiring, Identities]) -> None:
    wiring, identities = ready
    with pytest.raises((ssl.SSLError, ConnectionError)):
        wiring.send(tls=identities.tls(identities.forged))
    assert wiring.stub.requests == []
