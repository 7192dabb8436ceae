"""Seeded worlds with tenants and routes of every kind, and requests as clients, routes and addresses make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced
from random import Random
from typing import Any, NamedTuple

from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.decide import decide
from borderpost.policy.model import Evidence, Facts, Law, Mode, Source
from borderpost.proof.grounds import Side
from borderpost.proof.space import Space
from borderpost.proof.standings import BELIEVED, Asking, Doubt, Reader
from borderpost_base.errors import Problems
from support import policy_cases
from support.agreement import compiled
from support.event_cases import some
from support.policy_cases import CLASSES, EVIDENCE_CODES, MODELS, PURPOSES, TENANTS, World

ROUTES = ["chat", "batch"]
DOUBTS = [Doubt("anonymiser", 100), Doubt("hosting", 100), Doubt("confidence", 40)]


class Request(NamedTuple):
    """One request: what it says of itself, and where each of its sources says that its subject is."""

    asking: Asking
    said: tuple[tuple[Source, str], ...]
    doubt: Doubt
    """Of the address."""
    stale: bool


def _standing(random: Random) -> dict[str, Any]:
    return {
        **({"classes": some(random, CLASSES, 0, 2)} if random.random() < 0.6 else {}),
        **({"mode": str(random.choice([Mode.LEGAL_FIRST, Mode.HYBRID]))} if random.random() < 0.4 else {}),
        **({"purpose": random.choice(PURPOSES)} if random.random() < 0.4 else {}),
        **({"require_evidence": some(random, ["token", "header", "geoip"], 1, 2)} if random.random() < 0.3 else {}),
    }


def world(random: Random) -> World:
    """Return a world with tenants and routes."""
    while True:
        drawn = policy_cases.world(random)
        sections: dict[str, Any] = {
            "tenants": {
                name: {**_standing(random), **({"trust_declared_class": True} if random.random() < 0.4 else {})}
                for name in TENANTS
            },
            "routes": {
                name: {**_standing(random), **({"tenant": random.choice(TENANTS)} if random.random() < 0.3 else {})}
                for name in ROUTES
            },
            "evidence": {
                **drawn.bundle.evidence.model_dump(),
                "trust_purpose_header": random.random() < 0.4,
                "default_classes": some(random, CLASSES, 0, 1),
                "geoip": {"hosting": random.choice(["unknown", "believe"])},
            },
        }
        try:
            bundle = PolicyBundle.model_validate({**drawn.bundle.model_dump(by_alias=True), **sections})
        except (ValidationError, Problems):
            continue
        return replaced(drawn, bundle=bundle)


def side(drawn: World) -> Side:
    """Compile one side."""
    return Side(*compiled(drawn))


def request(random: Random) -> Request:
    """Return a request of which the place is known to somebody."""
    sources = {source for source in Source if random.random() < 0.4} - {Source.MTLS}
    if not sources & {Source.TOKEN, Source.GEOIP}:
        sources.add(random.choice([Source.TOKEN, Source.GEOIP]))
    ordered = tuple(source for source in Source if source in sources)
    tenant = random.choice([None, *TENANTS, "stranger"])
    asking = Asking(
        route=random.choice([None, *ROUTES, "unheard-of"]),
        tenant=tenant,
        named=random.choice([None, None, *TENANTS]),
        model=random.choice([None, *MODELS, "unheard-of"]),
        purpose=random.choice([None, *PURPOSES, "unheard-of"]),
        sources=ordered,
        declared=tuple(sorted(some(random, CLASSES, 0, 3))),
    )
    codes = [code for code in EVIDENCE_CODES if len(code) < 7]
    said = tuple((one, random.choice(codes if one is Source.GEOIP else EVIDENCE_CODES)) for one in ordered)
    doubt = random.choice(DOUBTS) if Source.GEOIP in sources and random.random() < 0.25 else BELIEVED
    return Request(asking, said, doubt, random.random() < 0.2)


def facts_of(reader: Reader, asked: Request) -> Facts | None:
    """Return the facts that a side reads from a request."""
    facts = reader.facts(asked.asking, doubted=not reader.believes(asked.doubt))
    if facts is None:
        return None
    places = dict(asked.said)
    return replaced(
        facts, evidence=tuple(Evidence(one.source, places[one.source], doubt=one.doubt) for one in facts.evidence)
    )


def law_of(space: Space, asked: Request, at_us: int, number: int = 0) -> Law | None:
    """Return the law of one side for a request, asked as it is."""
    facts = facts_of(space.readers[number], asked)
    policy, events = space.sides[number]
    return None if facts is None else decide(facts, policy, events, at_us, stale=asked.stale)


def places_of(asked: Request) -> Sequence[tuple[str, Doubt]]:
    """Return each place that somebody names, and whether that is believed."""
    return [(code, asked.doubt if source is Source.GEOIP else BELIEVED) for source, code in asked.said]
