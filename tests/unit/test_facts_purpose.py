"""Purpose and mode of a request: what route and verified tenants say; a tenant in a header only narrows."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.facts import Extractor
from borderpost.geoip import Anonymisers, GeoDatabase, Locator
from borderpost.policy.model import Mode
from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec
from support.raw_requests import DISTRUST, facts_of, headers, rejected

EVIDENCE = EvidenceSpec()
ACME_SAN = "spiffe://example/acme"


@pytest.fixture(scope="module")
def geo() -> Locator:
    return Locator(GeoDatabase.open(), Anonymisers(), DISTRUST)


PURPOSED = {
    "acme": TenantSpec(san=(ACME_SAN,), purpose="care"),
    "globex": TenantSpec(purpose="research"),
    "initech": TenantSpec(),
}
PURPOSED_ROUTES = {"care": RouteSpec(purpose="care"), "any": RouteSpec(), "own": RouteSpec(tenant="globex")}


@pytest.mark.parametrize(
    ("raw", "purpose", "with_header"),
    [
        ({}, None, "care"),
        ({"route": "any"}, None, "care"),
        ({"route": "care"}, "care", "care"),
        ({"tenant_claim": "acme"}, "care", "care"),
        ({"tenant_claim": "acme", "route": "care"}, "care", "care"),
        ({"tenant_claim": "initech", "route": "care"}, "care", "care"),
        ({"tenant_claim": "globex", "route": "care"}, None, None),
        ({"tenant_claim": "globex"}, "research", None),
        ({"route": "own"}, "research", None),
        ({"tenant_claim": "globex", "sans": (ACME_SAN,)}, None, None),
        ({"tenant_claim": "nobody"}, None, "care"),
    ],
)
def test_purpose(geo: Locator, raw: dict[str, Any], purpose: str | None, with_header: str | None) -> None:
    plain = Extractor(EVIDENCE, PURPOSED, PURPOSED_ROUTES, geo)
    trusting = Extractor(EvidenceSpec(trust_purpose_header=True), PURPOSED, PURPOSED_ROUTES, geo)
    header = headers(x_purpose="care")
    assert facts_of(trusting, headers=header, **raw).purpose == with_header
    assert facts_of(plain, **raw).purpose == facts_of(plain, headers=header, **raw).purpose == purpose
    assert ("x-purpose" in plain.headers, "x-purpose" in trusting.headers) == (False, True)


def test_purpose_header_is_read_as_strictly_as_others_where_it_is_trusted(geo: Locator) -> None:
    trusting = Extractor(EvidenceSpec(trust_purpose_header=True), {}, {}, geo)
    assert rejected(trusting, headers=headers(x_purpose="a b"))[2] == "header-malformed:x-purpose"
    assert rejected(trusting, headers=headers(x_purpose=["a", "b"]))[2] == "header-conflict:x-purpose"


@pytest.mark.parametrize(
    ("raw", "named", "purpose"),
    [
        ({"route": "care"}, "globex", None),
        ({"route": "care"}, "acme", "care"),
        ({"route": "care"}, "initech", "care"),
        ({}, "acme", None),
    ],
)
def test_tenant_of_the_header_only_takes_a_purpose_away(
    geo: Locator, raw: dict[str, Any], named: str, purpose: str | None
) -> None:
    extractor = Extractor(EVIDENCE, PURPOSED, PURPOSED_ROUTES, geo)
    assert facts_of(extractor, headers=headers(x_tenant=named), **raw).purpose == purpose


L, M, P = Mode.LEGAL_FIRST, Mode.HYBRID, Mode.PERFORMANCE_FIRST
MODAL = {
    "strict": TenantSpec(mode=L, san=("san:strict",)),
    "middle": TenantSpec(mode=M, san=("san:middle",)),
    "wide": TenantSpec(mode=P),
    "none": TenantSpec(),
}
MODAL_ROUTES = {mode.value: RouteSpec(mode=mode) for mode in Mode} | {"plain": RouteSpec()}


@pytest.mark.parametrize(
    ("raw", "mode"),
    [
        ({}, None),
        ({"route": "plain", "tenant_claim": "none"}, None),
        ({"route": "hybrid"}, M),
        ({"tenant_claim": "wide"}, P),
        ({"route": "hybrid", "tenant_claim": "wide"}, M),
        ({"route": "performance-first", "tenant_claim": "strict"}, L),
        ({"tenant_claim": "wide", "sans": ("san:middle",)}, M),
        ({"tenant_claim": "wide", "route_tenant": "strict"}, L),
        ({"tenant_claim": "nobody", "route": "hybrid"}, M),
    ],
)
def test_mode_is_the_strictest_that_route_and_verified_tenants_set(
    geo: Locator, raw: dict[str, Any], mode: Mode | None
) -> None:
    assert facts_of(Extractor(EVIDENCE, MODAL, MODAL_ROUTES, geo), **raw).mode is mode


@pytest.mark.parametrize(
    ("default", "raw", "named", "mode"),
    [
        (L, {}, "wide", L),
        (P, {}, "middle", M),
        (M, {}, "wide", M),
        (P, {}, "none", None),
        (L, {"route": "hybrid"}, "wide", M),
        (L, {"route": "hybrid"}, "strict", L),
        (L, {"tenant_claim": "wide"}, "middle", M),
    ],
)
def test_tenant_of_the_header_only_tightens_the_mode(
    geo: Locator, default: Mode, raw: dict[str, Any], named: str, mode: Mode | None
) -> None:
    extractor = Extractor(EVIDENCE, MODAL, MODAL_ROUTES, geo, mode=default)
    assert facts_of(extractor, headers=headers(x_tenant=named), **raw).mode is mode
