"""What bodies say, joined with what headers say: it adds, and what their content brings takes nothing away."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from borderpost.facts import Extracted, Extractor, RawRequest, Rejected, Stated
from borderpost.geoip import Locator
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import to_us
from borderpost.policy.model import Facts, Mode
from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec
from borderpost_base import limits
from support import policy_cases

ROUTES = {
    "bare": RouteSpec(classes=()),
    "hybrid": RouteSpec(classes=(), mode=Mode.HYBRID),
    "health": RouteSpec(classes=("health",)),
    "trusted": RouteSpec(tenant="press"),
}
TENANTS = {"press": TenantSpec(classes=("personal",), trust_declared_class=True)}


class EverybodyIn:
    """A locator that finds every address in one country."""

    def __init__(self, country: str) -> None:
        self._found = SimpleNamespace(country=country, subdivision=None, doubt=None)

    def lookup(self, _host: str) -> Any:
        return self._found


def extractor(evidence: EvidenceSpec | None = None, *, country: str = "DE", mode: Mode = Mode.LEGAL_FIRST) -> Extractor:
    locator = cast("Locator", EverybodyIn(country))
    return Extractor(evidence or EvidenceSpec(), TENANTS, ROUTES, locator, mode=mode)


def request(*headers: tuple[str, str], route: str | None = None, body: Stated | None = None) -> RawRequest:
    sent = tuple((name, value.encode()) for name, value in headers)
    return RawRequest("192.0.2.1", sent, route=route, body=body)


def facts(raw: RawRequest, **how: Any) -> Facts:
    found = extractor(**how).extract(raw)
    assert isinstance(found, Extracted), found
    return found.facts


CLASS, MODEL = "x-data-class", "x-model"


def test_a_class_of_the_body_counts_as_one_of_the_header_does() -> None:
    for declared in ((), ("health",), ("health", "public")):
        by_header = request(*([(CLASS, ",".join(declared))] if declared else []))
        by_body = request(body=Stated(declared=declared))
        for route in (None, *ROUTES):
            assert facts(by_header._replace(route=route)) == facts(by_body._replace(route=route))


def test_what_the_content_brings_is_added_even_where_a_tenant_is_trusted() -> None:
    brought = Stated(declared=("public",), brought=("health",))
    assert facts(request(route="trusted", body=brought)).classes == ("health", "public")
    assert facts(request((CLASS, "public"), route="trusted", body=brought)).classes == ("health", "public")
    assert facts(request(route="trusted", body=Stated(brought=("health",)))).classes == ("health", "personal")


def test_a_model_of_the_body_stands_where_no_header_names_one_that_law_relies_on() -> None:
    body = Stated(model="m-1")
    trusting = EvidenceSpec(trust_model_header=True)
    assert facts(request(body=body)).model == "m-1"
    assert facts(request((MODEL, "m-1"), body=body)).model == "m-1"
    assert facts(request((MODEL, "m-1"), body=Stated())).model == "m-1"
    assert facts(request(body=body), evidence=trusting).model is None
    assert facts(request((MODEL, "m-1"), body=body), evidence=trusting).model == "m-1"


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        ((MODEL, "m-2"), Stated(model="m-1"), "body-contradicts:model"),
        ((CLASS, "personal"), Stated(declared=("health",)), "body-contradicts:class"),
        ((CLASS, "personal,health"), Stated(declared=("health",)), "body-contradicts:class"),
    ],
)
def test_a_contradiction_ends_the_request_or_is_read_strictly(
    header: tuple[str, str], body: Stated, reason: str
) -> None:
    found = extractor().extract(request(header, body=body))
    assert isinstance(found, Rejected)
    assert (found.status, found.code, found.reason) == (400, "BP1330", reason)
    strictly = facts(request(header, route="trusted", body=body._replace(strictest=True)))
    assert strictly.model is None
    if header[0] == CLASS:
        assert strictly.classes == ("health", "personal")


def test_what_the_content_brings_makes_no_mode_wider() -> None:
    """A request without classes has the policy's mode; with one that has a mode, it would have that of the class."""
    brought = Stated(brought=("health",))
    assert facts(request(route="bare", body=Stated())).mode is None
    assert facts(request(route="bare", body=brought)).mode is Mode.LEGAL_FIRST
    assert facts(request(route="bare", body=brought), mode=Mode.HYBRID).mode is Mode.HYBRID
    assert facts(request(route="hybrid", body=brought)).mode is Mode.HYBRID  # what tenant and route set stays
    assert facts(request(route="health", body=brought)).mode is None


def test_more_classes_than_a_record_can_name_are_refused() -> None:
    declared = tuple(f"class-{number:02}" for number in range(limits.DATA_CLASSES_MAX))
    assert len(facts(request(route="bare", body=Stated(declared=declared))).classes) == limits.DATA_CLASSES_MAX
    found = extractor().extract(request(route="bare", body=Stated(declared=declared, brought=("health",))))
    assert isinstance(found, Rejected) and (found.status, found.code) == (400, "BP1332")


def test_a_body_that_ends_the_request_leaves_the_evidence_for_the_record() -> None:
    found = extractor().extract(request(body=Stated(refusal=(415, "BP1305", "content-type-not-read"))))
    assert isinstance(found, Rejected)
    assert (found.status, found.code, found.reason) == (415, "BP1305", "content-type-not-read")
    assert [piece.code for piece in found.facts.evidence] == ["DE"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_what_the_content_brings_gains_no_region(seed: int) -> None:
    """In random worlds: whatever classes a detector adds, each region that is legal then was legal before."""
    random = Random(seed)
    for _ in range(10):
        world = policy_cases.world(random)
        policy = compile_policy(world.bundle, world.regions)
        events = compile_events(EventList(world.events), policy)
        country = random.choice(["DE", "FR", "US", "CA"])
        reader = extractor(world.bundle.evidence, country=country, mode=world.bundle.inline.mode)
        for _ in range(20):
            headers = [(CLASS, random.choice(policy_cases.CLASSES))] if random.random() < 0.3 else []
            plain = request(*headers, route=random.choice([None, *ROUTES]), body=Stated())
            brought = tuple(sorted(random.sample(policy_cases.CLASSES, random.randint(1, 2))))
            now_us = to_us(policy_cases.instant(random))
            legal = []
            for body in (Stated(), Stated(brought=brought)):
                found = reader.extract(plain._replace(body=body))
                assert isinstance(found, Extracted), found
                legal.append(set(decide(found.facts, policy, events, now_us).legal))
            before, after = legal
            assert after <= before, (plain, brought)
