"""Facts: what is believed of a request, what ends it, and that no header makes the law weaker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.facts import (
    Extracted,
    Extractor,
    RawRequest,
    Rejected,
    Stated,
)
from borderpost.geoip import Anonymisers, GeoDatabase, Locator
from borderpost.policy.codes import is_code
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec
from borderpost_base import limits
from borderpost_base.errors import ERRORS, BorderpostError
from support.mmdb_writer import write_mmdb
from support.raw_requests import DISTRUST, facts_of, headers, rejected

PREFIX = "spiffe://example/residency/"
EVIDENCE = EvidenceSpec.model_validate({"mtls": {"san_prefix": PREFIX}})
ACME_SAN = "spiffe://example/acme"
TENANTS = {
    "acme": TenantSpec(san=(ACME_SAN,), classes=("health",), mode=Mode.HYBRID),
    "globex": TenantSpec(
        trust_declared_class=True, classes=("personal",), require_evidence=(Source.TOKEN,), purpose="research"
    ),
    "initech": TenantSpec(trust_declared_class=True, mode=Mode.PERFORMANCE_FIRST),
}
ROUTES = {
    "chat": RouteSpec(classes=("personal",), tenant="acme"),
    "free": RouteSpec(classes=("public",), mode=Mode.HYBRID, purpose="care"),
    "strict": RouteSpec(require_evidence=(Source.MTLS, Source.TOKEN)),
}


@pytest.fixture(scope="module")
def geo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locator]:
    networks: dict[str, Any] = {
        "24.48.0.0/16": {"country": {"iso_code": "CA"}, "subdivisions": [{"iso_code": "QC"}]},
        "2.16.0.0/13": {"country": {"iso_code": "FR"}},
        "2a00:1450::/32": {"country": {"iso_code": "IE"}},
        "5.5.5.0/24": {"country": {"iso_code": "YU"}},
    }
    path = write_mmdb(tmp_path_factory.mktemp("geo") / "city.mmdb", networks, database_type="GeoIP2-City")
    database = GeoDatabase.open(path)
    yield Locator(database, Anonymisers(), DISTRUST)
    database.close()


@pytest.fixture(scope="module")
def extractor(geo: Locator) -> Extractor:
    return Extractor(EVIDENCE, TENANTS, ROUTES, geo)


def test_a_plain_request_has_its_address_and_the_default_classes(extractor: Extractor) -> None:
    assert facts_of(extractor) == Facts((Evidence(Source.GEOIP, "FR", True),), ("personal",))


def test_subdivision_of_the_address(extractor: Extractor) -> None:
    assert facts_of(extractor, "24.48.1.1:7").evidence == (Evidence(Source.GEOIP, "CA-QC", False),)


def test_ipv6_in_brackets(extractor: Extractor) -> None:
    assert facts_of(extractor, "[2a00:1450::5]:1").evidence[0].code == "IE"


@pytest.mark.parametrize("address", ["10.0.0.1:5", "9.9.9.9:1", "5.5.5.5:1", "[::1]:80"])
def test_address_that_nobody_knows_gives_no_evidence(extractor: Extractor, address: str) -> None:
    """5.5.5.5 stands in the file as YU, which is no country any more."""
    assert extractor.extract(RawRequest(address)) == Extracted(Facts((), ("personal",)))


@pytest.mark.parametrize(
    "address", ["", "/run/envoy.sock", "nonsense", "1.2.3.4.5:80", "x" * 10_000, "[", "[]:", ":::"]
)
def test_unreadable_address_is_unknown_and_noted(extractor: Extractor, address: str) -> None:
    assert extractor.extract(RawRequest(address)) == Extracted(Facts((), ("personal",)), ("address-unreadable",))


def test_all_four_sources_in_order(extractor: Extractor) -> None:
    facts = facts_of(
        extractor,
        headers=headers(x_data_residency="CA-QC"),
        residency_claim="DE",
        sans=("dns.example", PREFIX + "AT"),
    )
    assert facts.evidence == (
        Evidence(Source.TOKEN, "DE", True),
        Evidence(Source.MTLS, "AT", True),
        Evidence(Source.HEADER, "CA-QC", False),
        Evidence(Source.GEOIP, "FR", True),
    )


def test_sources_that_are_not_configured_are_not_read(geo: Locator) -> None:
    bare = Extractor(EvidenceSpec(token=None, header=None), {}, {}, geo)
    facts = facts_of(
        bare,
        headers=headers(x_data_residency="!!", x_tenant="!!"),
        residency_claim="!!",
        tenant_claim="!!",
        sans=(PREFIX + "!!",),
    )
    assert facts == Facts((Evidence(Source.GEOIP, "FR", True),), ("personal",))
    assert bare.headers == {"x-data-class", "x-model"}


@pytest.mark.parametrize(
    "claim", ["", "de", "DEU", "XX", "UK", "Germany", "DE ", "DE,FR", "D\u00ca", "DE\x00", "DE" * 5000, "\ud800"]
)
def test_claim_that_is_no_place_is_refused(extractor: Extractor, claim: str) -> None:
    assert rejected(extractor, residency_claim=claim) == (403, "BP0824", "claim-malformed:residency")


@pytest.mark.parametrize("claim", ["", "a b", "a,b", "\u00e4", "x" * 200, "-x"])
def test_tenant_claim_that_is_no_name_is_refused(extractor: Extractor, claim: str) -> None:
    assert rejected(extractor, tenant_claim=claim) == (403, "BP0824", "claim-malformed:tenant")


def test_certificates(extractor: Extractor) -> None:
    assert rejected(extractor, sans=(PREFIX + "de",))[2] == "certificate-malformed:residency"
    assert rejected(extractor, sans=(PREFIX,))[2] == "certificate-malformed:residency"
    assert rejected(extractor, sans=(PREFIX + "DE", PREFIX + "FR"))[2] == "certificate-conflict:residency"
    assert rejected(extractor, sans=("x",) * 17) == (403, "BP0825", "certificate-too-many-names")
    assert facts_of(extractor, sans=(PREFIX + "DE", PREFIX + "DE")).evidence[0] == Evidence(Source.MTLS, "DE", True)
    assert facts_of(extractor, sans=("x" + PREFIX + "DE",)).evidence[0].source is Source.GEOIP


@pytest.mark.parametrize("name", ["x-data-residency", "x-tenant", "x-model", "x-data-class"])
@pytest.mark.parametrize(
    "value", [b"", b" ", b"a b", b"\xff", "ä".encode(), b"DE\x00", b"DE,", b",DE", b"DE\r\nx: y", b"x" * 129]
)
def test_header_that_does_not_fit_is_refused(extractor: Extractor, name: str, value: bytes) -> None:
    assert rejected(extractor, headers=((name, value),)) == (400, "BP0821", f"header-malformed:{name}")


@pytest.mark.parametrize("name", ["x-data-residency", "x-tenant", "x-model", "x-data-class"])
def test_header_that_is_too_long_is_refused(extractor: Extractor, name: str) -> None:
    longest = limits.HEADER_VALUE_BYTES_MAX
    assert rejected(extractor, headers=((name, b"D" * (longest + 1)),))[2] == f"header-too-long:{name}"
    many = ((name, b"DE"),) * (longest // 2)
    assert rejected(extractor, headers=many)[2] == f"header-too-long:{name}"


@pytest.mark.parametrize(
    ("name", "one", "other"), [("x-data-residency", "DE", "FR"), ("x-tenant", "acme", "globex"), ("x-model", "a", "b")]
)
def test_repeated_header_agrees_or_is_refused_however_it_is_written(
    extractor: Extractor, name: str, one: str, other: str
) -> None:
    conflict = (400, "BP0822", f"header-conflict:{name}")
    assert rejected(extractor, headers=((name, one.encode()), (name, other.encode()))) == conflict
    assert rejected(extractor, headers=((name, f"{one}, {other}".encode()),)) == conflict
    alone = facts_of(extractor, headers=((name, one.encode()),))
    assert facts_of(extractor, headers=((name, one.encode()), (name, one.encode()))) == alone
    assert facts_of(extractor, headers=((name, f"{one},\t{one}".encode()),)) == alone


def test_class_header_adds_to_the_floor(extractor: Extractor) -> None:
    assert facts_of(extractor, headers=headers(x_data_class="public")).classes == ("personal", "public")
    two = ("biometric", "health", "personal")
    assert facts_of(extractor, headers=headers(x_data_class="health, biometric")).classes == two
    assert facts_of(extractor, headers=headers(x_data_class=["biometric", "health", "health"])).classes == two
    too_many = ",".join(f"c{i}" for i in range(limits.DATA_CLASSES_MAX + 1))
    assert rejected(extractor, headers=headers(x_data_class=too_many))[2] == "header-too-long:x-data-class"


def test_floor_of_route_and_tenant_are_joined_and_replace_the_default(extractor: Extractor) -> None:
    assert facts_of(extractor, route="free").classes == ("public",)
    assert facts_of(extractor, route="chat").classes == ("health", "personal")
    assert facts_of(extractor, tenant_claim="acme").classes == ("health",)
    assert facts_of(extractor, tenant_claim="acme", route="free").classes == ("health", "public")
    assert facts_of(extractor, route="nobody knows it").classes == ("personal",)
    assert facts_of(extractor, tenant_claim="initech").classes == ("personal",)


def test_where_the_tenant_comes_from_in_order(extractor: Extractor) -> None:
    everything: dict[str, Any] = {"sans": (ACME_SAN,), "route_tenant": "initech", "route": "chat"}
    assert facts_of(extractor, tenant_claim="globex", **everything).tenant == "globex"
    assert facts_of(extractor, **everything).tenant == "acme"
    assert facts_of(extractor, route_tenant="initech", route="chat").tenant == "initech"
    assert facts_of(extractor, route="chat").tenant == "acme"
    assert facts_of(extractor, tenant_claim="unheard-of").tenant == "unheard-of"
    assert facts_of(extractor, headers=headers(x_tenant="acme")).tenant is None


def test_differing_tenants_bring_the_floors_and_demands_of_all(extractor: Extractor) -> None:
    extracted = extractor.extract(RawRequest("2.16.1.1:0", tenant_claim="globex", sans=(ACME_SAN,)))
    assert isinstance(extracted, Extracted)
    assert extracted.notes == ("tenant-conflict",)
    assert extracted.facts.classes == ("health", "personal")
    assert extracted.facts.missing == "token"


def test_trusted_tenant_may_lower_the_floor_and_nobody_else(extractor: Extractor) -> None:
    public = headers(x_data_class="public")
    assert facts_of(extractor, tenant_claim="initech", headers=public).classes == ("public",)
    assert facts_of(extractor, tenant_claim="globex", route="free", headers=public).classes == ("public",)
    assert facts_of(extractor, tenant_claim="acme", headers=public).classes == ("health", "public")
    assert facts_of(extractor, tenant_claim="unheard-of", headers=public).classes == ("personal", "public")
    assert facts_of(extractor, tenant_claim="initech", sans=(ACME_SAN,), headers=public).classes == ("health", "public")
    asserted = headers(x_data_class="public", x_tenant="initech")
    assert facts_of(extractor, headers=asserted).classes == ("personal", "public")


def test_tenant_header_only_adds(extractor: Extractor) -> None:
    assert facts_of(extractor, headers=headers(x_tenant="acme")).classes == ("health", "personal")
    facts = facts_of(extractor, tenant_claim="initech", headers=headers(x_tenant="acme", x_data_class="public"))
    assert facts.classes == ("health", "public")
    assert facts_of(extractor, headers=headers(x_tenant="globex")).missing == "token"
    assert rejected(extractor, headers=headers(x_tenant="nobody")) == (400, "BP0823", "tenant-unknown")
    same = facts_of(extractor, tenant_claim="unheard-of", headers=headers(x_tenant="unheard-of"))
    assert same == facts_of(extractor, tenant_claim="unheard-of")


def test_two_tenants_in_one_certificate(geo: Locator) -> None:
    tenants = {"a": TenantSpec(san=("san:a",)), "b": TenantSpec(san=("san:b", "dns.b"))}
    extractor = Extractor(EVIDENCE, tenants, {}, geo)
    assert facts_of(extractor, sans=("san:b", "dns.b")).tenant == "b"
    assert rejected(extractor, sans=("san:a", "san:b")) == (403, "BP0825", "certificate-conflict:tenant")
    with pytest.raises(BorderpostError) as caught:
        Extractor(EVIDENCE, {**tenants, "c": TenantSpec(san=("dns.b",))}, {}, geo)
    assert caught.value.code == "BP0308" and "tenants.c.san" in str(caught.value)


def test_required_evidence(extractor: Extractor) -> None:
    assert facts_of(extractor, route="strict").missing == "token"
    assert facts_of(extractor, route="strict", residency_claim="DE").missing == "mtls"
    assert facts_of(extractor, route="strict", residency_claim="DE", sans=(PREFIX + "DE",)).missing is None
    assert facts_of(extractor, tenant_claim="globex").missing == "token"
    assert facts_of(extractor, tenant_claim="globex", residency_claim="DE").missing is None
    geo_wanted = Extractor(EVIDENCE, {}, {"r": RouteSpec(require_evidence=(Source.GEOIP,))}, extractor._locator)
    assert facts_of(geo_wanted, "10.0.0.1:1", route="r").missing == "geoip"
    assert facts_of(geo_wanted, route="r").missing is None


def doubting(tmp_path: Path, **tenants: TenantSpec) -> Extractor:
    """An extractor for which 2.16.1.1 is an exit, and 2.16.9.9 a server."""
    networks = {"2.16.0.0/13": {"country": {"iso_code": "FR"}}}
    (tmp_path / "exits").write_text("2.16.1.0/24\n2.16.9.0/24 hosting\n")
    database = GeoDatabase.open(write_mmdb(tmp_path / "geo.mmdb", networks, database_type="GeoIP2-City"))
    locator = Locator(database, Anonymisers.open([tmp_path / "exits"]), DISTRUST)
    return Extractor(EVIDENCE, tenants, {"r": RouteSpec(require_evidence=(Source.GEOIP,))}, locator)


def test_an_exit_s_place_is_evidence_with_a_doubt_and_meets_no_demand(tmp_path: Path) -> None:
    extractor = doubting(tmp_path)
    assert facts_of(extractor, route="r").evidence == (Evidence(Source.GEOIP, "FR", True, "anonymiser"),)
    assert facts_of(extractor, "2.16.9.9:1").evidence == (Evidence(Source.GEOIP, "FR", True, "hosting"),)
    assert [facts_of(extractor, address, route="r").missing for address in ("2.16.1.1:1", "2.16.9.9:1")] == [
        "geoip"
    ] * 2
    assert facts_of(extractor, "2.16.2.2:1", route="r").missing is None


ISSUERS = ("https://id.example/", "https://id.example/b")


@pytest.mark.parametrize(
    "issuer", ["", "https://id.example", "https://id.example/ ", "HTTPS://ID.EXAMPLE/", "x" * 9000]
)
@pytest.mark.parametrize("claims", [{}, {"residency_claim": "DE", "tenant_claim": "initech"}])
def test_token_of_an_issuer_that_is_not_believed_ends_the_request(
    geo: Locator, issuer: str, claims: dict[str, str]
) -> None:
    evidence = EvidenceSpec.model_validate({"token": {"issuers": ISSUERS}})
    choosy = Extractor(evidence, TENANTS, ROUTES, geo)
    assert rejected(choosy, issuer=issuer, **claims) == (403, "BP0826", "issuer-not-believed")
    assert facts_of(choosy, issuer=ISSUERS[1], **claims) == facts_of(choosy, issuer=ISSUERS[0], **claims)
    assert facts_of(choosy).evidence == (Evidence(Source.GEOIP, "FR", True),), "no token needs no issuer"


def test_model(extractor: Extractor) -> None:
    assert facts_of(extractor, headers=headers(x_model="meta-llama/Llama-3.1-70B")).model == "meta-llama/Llama-3.1-70B"


def test_refusal_tells_what_was_known_before(extractor: Extractor) -> None:
    refusal = extractor.extract(RawRequest("2.16.1.1:0", headers(x_data_residency="??"), residency_claim="DE"))
    assert isinstance(refusal, Rejected)
    assert refusal.facts == Facts((Evidence(Source.TOKEN, "DE", True), Evidence(Source.GEOIP, "FR", True)), ())


def test_damaged_database_refuses_and_is_not_remembered(extractor: Extractor, geo: Locator) -> None:
    class Damaged(Locator):
        def __init__(self) -> None:
            self.asked = 0

        def lookup(self, address: str) -> Any:
            self.asked += 1
            if self.asked <= 2:
                raise BorderpostError("BP0306", "a record cannot be decoded")
            return geo.lookup(address)

    mended_later = Extractor(EVIDENCE, {}, {}, Damaged())
    assert rejected(mended_later) == (503, "BP0306", "geoip-damaged")
    assert rejected(mended_later) == (503, "BP0306", "geoip-damaged")
    assert facts_of(mended_later).evidence[0].code == "FR"


def test_requests_alike_but_for_the_port_are_worked_out_once(geo: Locator) -> None:
    extractor = Extractor(EVIDENCE, TENANTS, ROUTES, geo)
    raw = RawRequest("2.16.1.1:1111", headers(x_data_class="health"))
    first = extractor.extract(raw)
    assert extractor.extract(raw._replace(address="2.16.1.1:2222")) is first
    assert extractor.extract(raw._replace(address="24.48.1.1:1111")) != first
    assert extractor.extract(raw._replace(route="chat")) != first


NAMES = st.sampled_from(["x-data-residency", "x-data-class", "x-tenant", "x-model", "x-other"])
GOOD = st.sampled_from([b"DE", b"CA-QC", b"health", b"public", b"acme", b"globex", b"initech", b"a,b", b"DE,DE"])
ANY_HEADERS = st.lists(st.tuples(NAMES, GOOD | st.binary(max_size=300)), max_size=6).map(tuple)
GOOD_HEADERS = st.lists(st.tuples(NAMES, GOOD), max_size=4).map(tuple)
RAW = st.builds(
    RawRequest,
    address=st.sampled_from(["2.16.1.1:0", "24.48.1.1:9", "10.0.0.1:1", "", "[2a00:1450::1]:2"]) | st.text(max_size=80),
    headers=ANY_HEADERS | GOOD_HEADERS,
    residency_claim=st.none() | st.sampled_from(["DE", "CA-QC", ""]) | st.text(max_size=10),
    tenant_claim=st.none() | st.sampled_from(["acme", "globex", "initech", "other"]) | st.text(max_size=10),
    sans=st.lists(
        st.sampled_from([ACME_SAN, PREFIX + "DE", PREFIX + "x", "dns"]) | st.text(max_size=10), max_size=3
    ).map(tuple),
    route=st.none() | st.sampled_from(["chat", "free", "strict", "?"]) | st.text(max_size=10),
    route_tenant=st.none() | st.sampled_from(["acme", "initech"]),
    body=st.none()
    | st.builds(
        Stated,
        model=st.none() | st.sampled_from(["m-1", "m-2"]),
        declared=st.sampled_from([(), ("health",), ("health", "public")]),
        brought=st.sampled_from([(), ("health",), ("biometric", "personal")]),
        strictest=st.booleans(),
        refusal=st.none() | st.just((400, "BP1301", "json-malformed")),
    ),
)


@given(RAW)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_gives_valid_facts_or_a_registered_refusal(extractor: Extractor, raw: RawRequest) -> None:
    result = extractor.extract(raw)
    if isinstance(result, Rejected):
        assert result.status in {400, 403} and result.code in ERRORS
        assert len(result.reason) < limits.RECORDED_REASON_BYTES_MAX and result.reason.isascii()
    facts = result.facts
    assert all(is_code(piece.code) for piece in facts.evidence)
    assert [piece.source for piece in facts.evidence] == [s for s in Source if s in {p.source for p in facts.evidence}]
    assert list(facts.classes) == sorted(set(facts.classes))
    assert extractor.extract(raw) == result


@given(RAW, GOOD_HEADERS)
@settings(max_examples=400, deadline=None)
def test_no_header_weakens_what_holds_without_it(extractor: Extractor, raw: RawRequest, added: Any) -> None:
    """Against the same request without headers: no evidence goes, no class goes (a trusted tenant's may), no demand
    but that for the header itself."""
    bare, full = extractor.extract(raw._replace(headers=())), extractor.extract(raw._replace(headers=added))
    if isinstance(bare, Rejected):
        assert isinstance(full, Rejected)
        return
    if isinstance(full, Rejected):
        return
    before, after = bare.facts, full.facts
    assert set(before.evidence) <= set(after.evidence)
    assert {piece.source for piece in set(after.evidence) - set(before.evidence)} <= {Source.HEADER}
    assert before.tenant == after.tenant
    assert before.missing is None or before.missing == after.missing
    trusted = raw.tenant_claim in {"globex", "initech"} or raw.route_tenant == "initech"
    assert trusted or set(before.classes) <= set(after.classes)
    assert after.purpose in {before.purpose, None}
    assert (after.mode or Mode.LEGAL_FIRST).width <= (before.mode or Mode.LEGAL_FIRST).width
