"""From raw requests to legal regions, end to end: what a client adds or leaves out never gains it a region."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.facts import Extracted, Extractor, RawRequest
from borderpost.geoip import Anonymisers, GeoDatabase, Locator
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.model import Facts
from borderpost.policy.schema import RegionSpec
from borderpost.remembered_law import RememberedLaw
from support.mmdb_writer import write_mmdb
from support.policy_builder import CLASSES, at_home, regime
from support.raw_requests import DISTRUST

pytestmark = pytest.mark.slow

NOW_US = 1_795_000_000_000_000
PREFIX = "spiffe://example/residency/"
ISSUER = "https://id.example/"
REGIONS = {
    "eu": "DE", "us": "US", "ca": "CA", "ae": "AE",
    "us-scc": {"country": "US", "contracts": ["scc"]},
}  # fmt: skip
REGIMES = [
    regime(
        "eu-law", ["DE", "FR"], data=["personal"], default="deny",
        allow=[
            {"to": ["DE", "FR"], "basis": "home"},
            {"to": ["US"], "basis": "contract", "require": {"contract": "scc"}},
            {"to": ["CA"], "basis": "fast", "only_in": "hybrid"},
        ],
    ),
    regime("us-law", ["US"], data=["personal"], default="allow", basis="open", deny=[{"to": ["AE"], "basis": "list"}]),
    regime("ca-law", ["CA"], default="allow", basis="open"),
    regime("qc-law", ["CA-QC"], data=["health"], default="deny", allow=[{"to": ["CA"], "basis": "home"}]),
    regime("research", "*", purpose=["research"], default="deny", allow=[{"to": ["DE", "CA"], "basis": "ethics"}]),
    regime("acme-only", "*", tenant=["acme"], default="deny", allow=[{"to": ["DE", "US"], "basis": "contract"}]),
    regime("korea", ["KP"], kind="embargo"),
]  # fmt: skip
TENANTS: dict[str, Any] = {
    "acme": {"san": ["san:acme"], "mode": "hybrid", "purpose": "care"},
    "bank": {"san": ["san:bank"], "classes": ["health"], "require_evidence": ["token"], "mode": "legal-first"},
    "shop": {"require_evidence": ["geoip"], "mode": "hybrid"},
    "lab": {"purpose": "research", "require_evidence": ["header"]},
}
ROUTES: dict[str, Any] = {
    "fast": {"mode": "hybrid"},
    "care": {"purpose": "care", "classes": ["personal"]},
    "vault": {"require_evidence": ["mtls"]},
    "free": {"classes": ["public"]},
}
PLACE_OF_HOST = {"25.0.0": "DE", "26.0.0": "US", "27.0.0": "CA", "28.0.0": "KP"}
"""`.1` of each is a person's, `.65` an exit's, `.129` a server's."""
HOSTS = [f"{network}.{last}" for network in PLACE_OF_HOST for last in (1, 65, 129)]
UNKNOWN = "9.9.9.9"


class World:
    """A policy, what it asks of requests, and what it says of them."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        evidence = {
            "token": {"issuers": [ISSUER]}, "mtls": {"san_prefix": PREFIX}, **changes.pop("evidence", {})
        }  # fmt: skip
        inline = {"regimes": REGIMES, "data_classes": CLASSES, "no_regime": "refuse", **changes}
        bundle = PolicyBundle.model_validate(
            {"here": {"country": "DE"}, "inline": inline, "evidence": evidence, "tenants": TENANTS, "routes": ROUTES}
        )
        regions = {name: RegionSpec.model_validate(at_home(spec)) for name, spec in REGIONS.items()}
        self.policy: CompiledPolicy = compile_policy(bundle, regions)
        self.events: CompiledEvents = compile_events(EventList(), self.policy)
        networks = {f"{network}.0/24": {"country": {"iso_code": code}} for network, code in PLACE_OF_HOST.items()}
        networks["27.0.0.0/24"]["subdivisions"] = [{"iso_code": "QC"}]
        geo = GeoDatabase.open(write_mmdb(directory / "geo.mmdb", networks, database_type="x"))
        exits = directory / "exits"
        exits.write_text("".join(f"{net}.64/26 vpn\n{net}.128/26 hosting\n" for net in PLACE_OF_HOST))
        locator = Locator(geo, Anonymisers.open([exits]), DISTRUST)
        self.extractor = Extractor(bundle.evidence, bundle.tenants, bundle.routes, locator, mode=bundle.inline.mode)
        self._law = RememberedLaw(self.policy, self.events)

    def facts(self, raw: RawRequest) -> Facts | None:
        extracted = self.extractor.extract(raw)
        return extracted.facts if isinstance(extracted, Extracted) else None

    def legal(self, raw: RawRequest) -> frozenset[str]:
        """Return the regions that may serve a request; none where it is refused before the law is asked."""
        facts = self.facts(raw)
        if facts is None:
            return frozenset()
        law = decide(facts, self.policy, self.events, NOW_US)
        assert self._law.of(facts, NOW_US) == law, "what is remembered of others like it is the law of this one"
        return frozenset(law.legal)


@pytest.fixture(scope="module", params=["strict", "lenient"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    lenient: dict[str, Any] = {
        "no_regime": "allow",
        "mode": "hybrid",
        "evidence": {"unknown": {"treat_as": ["US", "CA"]}, "trust_purpose_header": True},
    }
    yield World(tmp_path_factory.mktemp("world"), **(lenient if request.param == "lenient" else {}))


PLACES = st.sampled_from(["DE", "US", "CA", "CA-QC", "KP", "JP"])
HEADERS = {
    "x-data-residency": PLACES,
    "x-data-class": st.sampled_from(["personal", "health", "public", "health, public"]),
    "x-tenant": st.sampled_from([*TENANTS, "nobody"]),
    "x-model": st.sampled_from(["m", "n"]),
    "x-purpose": st.sampled_from(["care", "research", "other"]),
}


@st.composite
def header_lines(draw: st.DrawFn, *names: str) -> tuple[tuple[str, bytes], ...]:
    chosen = draw(st.lists(st.sampled_from(names or tuple(HEADERS)), max_size=4, unique=True))
    return tuple((name, draw(HEADERS[name]).encode()) for name in chosen)


@st.composite
def requests(draw: st.DrawFn) -> RawRequest:
    token = draw(st.booleans())
    names = ["san:acme", "san:bank", PREFIX + "DE", PREFIX + "US", "other"]
    return RawRequest(
        address=draw(st.sampled_from([*HOSTS, UNKNOWN])) + ":1",
        headers=draw(header_lines()),
        residency_claim=draw(st.none() | PLACES) if token else None,
        tenant_claim=draw(st.none() | st.sampled_from([*TENANTS, "nobody"])) if token else None,
        issuer=draw(st.sampled_from([ISSUER, ISSUER, ISSUER, "https://evil.example/", ""])) if token else None,
        sans=tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True))),
        route=draw(st.none() | st.sampled_from([*ROUTES, "unknown"])),
        route_tenant=draw(st.none() | st.sampled_from(list(TENANTS))),
    )


def without(raw: RawRequest, *names: str) -> RawRequest:
    return raw._replace(headers=tuple(pair for pair in raw.headers if pair[0] not in names))


def requires(world: World, raw: RawRequest, source: str) -> bool:
    """Say whether the route or a tenant by verified means requires a source, worked out apart from the extractor."""
    verified = {raw.tenant_claim, raw.route_tenant, *(san.removeprefix("san:") for san in raw.sans)}
    demands = [spec["require_evidence"] for name, spec in TENANTS.items() if name in verified and len(spec) > 1
               if "require_evidence" in spec]  # fmt: skip
    demands.append(ROUTES.get(raw.route or "", {}).get("require_evidence", []))
    return any(source in demand for demand in demands)


PROPERTY = settings(max_examples=80, deadline=None)


@given(raw=requests())
@PROPERTY
def test_required_evidence_left_out_leaves_no_region(world: World, raw: RawRequest) -> None:
    """Whatever else is sent: nobody who belongs to such a tenant or route gains by silence."""
    bare = raw._replace(residency_claim=None)
    if requires(world, bare, "token"):
        assert world.legal(bare) == frozenset()
    silent = without(raw, "x-data-residency")
    if requires(world, silent, "header"):
        assert world.legal(silent) == frozenset()
    uncertified = raw._replace(sans=tuple(san for san in raw.sans if not san.startswith(PREFIX)))
    if requires(world, uncertified, "mtls"):
        assert world.legal(uncertified) == frozenset()
    if requires(world, raw, "geoip"):
        for address in (UNKNOWN, "26.0.0.65", "26.0.0.129"):
            assert world.legal(raw._replace(address=f"{address}:1")) == frozenset(), "an exit's place is no evidence"


@given(raw=requests(), place=PLACES)
@PROPERTY
def test_asserted_evidence_never_adds_a_region(world: World, raw: RawRequest, place: str) -> None:
    silent = without(raw, "x-data-residency")
    asserted = silent._replace(headers=(*silent.headers, ("x-data-residency", place.encode())))
    if not requires(world, raw, "header") and ("x-tenant", b"lab") not in raw.headers:
        assert world.legal(asserted) <= world.legal(silent)


@given(raw=requests(), host=st.sampled_from(HOSTS), place=PLACES)
@PROPERTY
def test_inferred_evidence_never_adds_a_region_to_a_subject_whose_place_is_proven(
    world: World, raw: RawRequest, host: str, place: str
) -> None:
    proven = raw._replace(residency_claim=place, issuer=ISSUER, address=f"{UNKNOWN}:1")
    demanding = {raw.route_tenant, raw.tenant_claim} | {value.decode() for _, value in raw.headers}
    if "shop" not in demanding:  # which wants an address that is known
        assert world.legal(proven._replace(address=f"{host}:1")) <= world.legal(proven)


@given(raw=requests(), network=st.sampled_from(list(PLACE_OF_HOST)), last=st.sampled_from([65, 129]))
@PROPERTY
def test_a_doubtful_address_is_worth_no_more_than_an_unknown_one(
    world: World, raw: RawRequest, network: str, last: int
) -> None:
    doubtful = world.legal(raw._replace(address=f"{network}.{last}:1"))
    unknown = world.legal(raw._replace(address=f"{UNKNOWN}:1"))
    assert doubtful == (frozenset() if PLACE_OF_HOST[network] == "KP" else unknown)


@given(raw=requests(), added=header_lines("x-data-class", "x-tenant"))
@PROPERTY
def test_class_and_tenant_headers_never_add_a_region(world: World, raw: RawRequest, added: Any) -> None:
    bare = without(raw, "x-data-class", "x-tenant")
    assert world.legal(bare._replace(headers=(*bare.headers, *added))) <= world.legal(bare)


@given(raw=requests(), place=PLACES)
@PROPERTY
def test_a_token_of_another_issuer_gets_nobody_anywhere(world: World, raw: RawRequest, place: str) -> None:
    for issuer in ("https://evil.example/", "", ISSUER + "x"):
        assert world.legal(raw._replace(issuer=issuer, residency_claim=place)) == frozenset()


@given(raw=requests(), purpose=HEADERS["x-purpose"])
@PROPERTY
def test_a_purpose_header_that_is_not_trusted_changes_nothing(world: World, raw: RawRequest, purpose: str) -> None:
    silent = without(raw, "x-purpose")
    named = silent._replace(headers=(*silent.headers, ("x-purpose", purpose.encode())))
    if "x-purpose" not in world.extractor.headers:
        assert world.facts(named) == world.facts(silent)
        assert world.legal(named) == world.legal(silent)


def test_the_world_is_worth_asking(tmp_path: Path) -> None:
    """Regions differ by address, token, exit, purpose and mode, so that the properties above can fail."""
    world = World(tmp_path)

    def legal(address: str, **raw: Any) -> set[str]:
        return set(world.legal(RawRequest(f"{address}:1", **raw)))

    american: dict[str, Any] = {"residency_claim": "US", "issuer": ISSUER, "route": "care"}
    unnamed = {"eu", "ca"}  # what everybody may use whose purpose or tenant is not known
    assert legal("27.0.0.1") == unnamed & legal("27.0.0.1", route="care") != legal("27.0.0.1", route="care")
    assert legal("26.0.0.1") < legal("26.0.0.1", route="care") == {"eu", "us", "us-scc"}
    assert legal("26.0.0.65") == legal(UNKNOWN) == set()
    assert legal("26.0.0.65", **american) == legal(UNKNOWN, **american) == legal("26.0.0.1", **american) != set()
    assert legal("25.0.0.1", **american) < legal("25.0.0.65", **american)
    assert legal("28.0.0.65", **american) == set()
    assert legal("25.0.0.1", route="fast") == {"eu"}, "acme-only may apply to anybody who is not known"
    assert legal("25.0.0.1", route="care") == {"eu", "us-scc"} == legal("25.0.0.1", tenant_claim="acme", issuer=ISSUER)
