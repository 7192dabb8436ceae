"""Packs beside one another, stale events and drills: one law more never allows more, where a law was known before."""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from borderpost.config.packs import built_in_packs
from borderpost.policy.built_in import PACKS, STARTER
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.fields import to_us
from borderpost.policy.model import Evidence, Facts, Law, Source
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import RegionSpec
from support.agreement import as_answer, compiled
from support.law_cases import AMERICAS, ASIA, EUROPE, Case, Place
from support.naive_policy import NaivePolicy
from support.policy_builder import Court
from support.policy_cases import World

pytestmark = pytest.mark.slow

SUBJECTS = [
    "DE", "MQ", "GL", "GB", "CH", "AE", "AE-DIFC", "SG", "IN", "BR", "US", "CN", "HK", "RU", "SA", "JP", "KR", "AU",
    "CA", "CA-QC", "KE", "IR", "UA", "UA-43",
]  # fmt: skip
CLASSES = ["public", "personal", "health", "phi", "payment", "national-id", "federal", "controlled-technical"]
REGIONS = [
    Place("DE"),
    Place("DE", operator="US"),
    Place("DE", operator="CN"),
    Place("US", certified="eu-us-dpf", operator="US"),
    Place("US", "hipaa-baa", "fedramp-high", "US"),
    Place("CN", "scc-2021", tia=True, operator="CN"),
    Place("CA-QC"),
    Place("SG", "cn-standard-contract"),
]


@functools.cache
def court(region: Place, packs: tuple[str, ...]) -> Court:
    return Court(
        regions={"r": region.spec()}, here=region.spec(), packs=tuple(built_in_packs(*packs)), no_regime="refuse"
    )


def ask(region: Place, packs: tuple[str, ...], subject: str, data: str, **more: Any) -> Law:
    return court(region, packs).ask(token=subject, geoip=subject, classes=(data,), **more)


@pytest.mark.parametrize("added", ["world", *PACKS[len(STARTER) :]])
def test_one_pack_more_only_narrows_where_a_law_was_known(added: str) -> None:
    """What was refused stays refused, unless it was for want of a law, which the pack may be."""
    seen = {"narrowed": 0, "known": 0}
    for region, subject, data in itertools.product(REGIONS, SUBJECTS, CLASSES):
        before, after = ask(region, ("starter",), subject, data), ask(region, ("starter", added), subject, data)
        if before.reason == "no-regime":
            seen["known"] += after.reason != "no-regime"
            continue
        assert set(after.legal) <= set(before.legal), (region, subject, data, before.reason)
        assert after.reason != "no-regime"
        seen["narrowed"] += before.legal != after.legal
    assert seen["known"] or seen["narrowed"]


HOME = {
    "domestic", "intra-eea", "not-of-concern", "s16-not-restricted", "no-localisation", "unrestricted",
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case in [*EUROPE, *ASIA, *AMERICAS] if not case.says.startswith("no: ")])
def test_old_events_leave_what_no_event_can_take_away(case: Case) -> None:
    """Where the list of events is too old, only bases count that stay at home or that the law does not restrict."""
    region = {**case.region.spec(), "retention": "none", "telemetry": "none"}
    law = Court(
        regions={"r": region}, here=case.region.spec(), packs=tuple(built_in_packs(*case.packs)), no_regime="refuse"
    ).ask(token=case.subject, geoip=case.subject, classes=(case.data,), at=case.at, stale=True)
    assert law.stale
    if law.legal:
        assert {basis.partition("/")[2] for basis in law.bases["r"].split(",")} <= HOME
    assert bool(law.legal) == (case.says.partition("/")[2] in HOME)


DRILL = {
    "id": "drill-dpf-invalidated",
    "type": "adequacy_revoke",
    "mode": "drill",
    "scope": {"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]},
    "effective_from": "2026-11-01T00:00:00Z",
    "recorded_at": "2026-11-01T00:00:00Z",
    "source": "test",
    "reason": "test",
}


@pytest.mark.parametrize(("drills", "legal"), [(False, ("r",)), (True, ())])
def test_a_drill_of_the_framework_s_end_binds_nobody(drills: bool, legal: tuple[str, ...]) -> None:
    """T-553/23 Latombe is under appeal."""
    region = Place("US", certified="eu-us-dpf").spec()
    law = Court(
        regions={"r": region}, packs=tuple(built_in_packs("world")), no_regime="refuse", events=(DRILL,), drills=drills
    ).ask(token="DE", geoip="DE")
    assert law.legal == legal


def test_a_child_of_a_built_in_pack_opens_nothing() -> None:
    """A pack with a parent is no law of its own: an allowance in it changes nothing."""
    child = PolicyPack.model_validate(
        {
            "apiVersion": "residency/v1",
            "kind": "PolicyPack",
            "metadata": {
                "id": "child",
                "version": "1",
                "as_of": "2026-11-20",
                "parent": "eu-gdpr",
                "not_legal_advice": True,
            },
            "regimes": [
                {
                    "id": "open-doors",
                    "title": "t",
                    "source": "s",
                    "applies_when": {"subject_in": "*"},
                    "default": "allow",
                    "basis": "anything",
                }
            ],
        }
    )
    with_child = Court(
        regions={"r": "KE"}, here={"country": "KE"}, packs=(*built_in_packs("world"), child), no_regime="refuse"
    )
    assert with_child.ask(token="KE", geoip="KE").reason == "no-regime"
    assert with_child.ask(token="DE", geoip="DE").legal == ()


ALL = tuple(built_in_packs("world"))
ENTRIES = [entry for pack in ALL for regime in pack.regimes for entry in regime.allow]
CONTRACTS = sorted({entry.require.contract for entry in ENTRIES if entry.require and entry.require.contract})
CERTIFICATES = sorted(
    {entry.require.operator_certified for entry in ENTRIES if entry.require and entry.require.operator_certified}
)
COUNTERS = [entry.below for entry in ENTRIES if entry.below is not None]
DAYS = sorted({at for entry in ENTRIES for at in (entry.from_, entry.until) if at})
CODES = [*SUBJECTS, "UA-14", "PR", "NO", "CA-ON", "FR-NC", "AE-DU", "TW"]


def processor(random: Random) -> dict[str, Any]:
    country, _, suffix = random.choice([code for code in CODES if code != "FR-NC"]).partition("-")
    return {
        "country": country,
        **({"subdivision": f"{country}-{suffix}"} if suffix else {}),
        "operator": {
            "certifications": random.sample(CERTIFICATES, 6),
            **random.choice([{}, {"jurisdiction": random.choice(["US", "DE", "CN", "CA"])}]),
        },
        "contracts": [*random.sample(CONTRACTS, 9), "hipaa-baa"],
        **random.choice([{}, {"tia": "approved"}]),
    }


def drawn(random: Random) -> World:
    kept = ["same", "none", "unknown", "DE", "CN", "zone:EEA", "zone:US_NOT_OF_CONCERN"]
    regions = {
        f"r{number}": RegionSpec.model_validate(
            {**processor(random), "retention": random.choice(kept), "telemetry": random.choice(kept[:3])}
        )
        for number in range(5)
    }
    brings_all = {"contracts": [*CONTRACTS, "hipaa-baa"], "tia": "approved"}
    operator = {"certifications": CERTIFICATES, "jurisdiction": "US"}
    here = {"country": random.choice(["DE", "US", "CA"]), "operator": operator, **brings_all}
    bundle = PolicyBundle.model_validate(
        {"here": here, "packs": ALL, "inline": {"no_regime": random.choice(["refuse", "allow"])}}
    )
    counted = {"effective_from": "2026-01-01T00:00:00Z", "recorded_at": "2026-01-01T00:00:00Z"}
    reached = [
        {"id": f"reached-{number}", "type": "threshold_reached", "counter": one.counter, "count": one.count}
        for number, one in enumerate(random.sample(COUNTERS, 4))
    ]
    events = [{**one, **counted, "source": "test", "reason": "test"} for one in (*reached, DRILL)]
    return World(bundle, regions, EventsFile.model_validate({"events": sorted(events, key=lambda e: e["recorded_at"])}))


@pytest.mark.parametrize("seed", range(8))
def test_the_naive_reading_of_every_pack_agrees(seed: int) -> None:
    """A second evaluator, written from the rules alone, reads the same law out of the same packs."""
    random = Random(seed)
    world = drawn(random)
    policy, events = compiled(world)
    naive = NaivePolicy(world.bundle, world.regions, world.events)
    reasons = set()
    for _ in range(40):
        subject = random.choice(CODES)
        said = [(Source.TOKEN, subject), (Source.HEADER, random.choice(CODES)), (Source.GEOIP, subject)]
        evidence = tuple(Evidence(source, code) for source, code in said if random.random() < 0.7)
        facts = Facts(evidence, tuple(sorted(random.sample(sorted(ALL[0].data_classes), random.choice([1, 1, 2])))))
        now = random.choice([*DAYS, datetime(2026, 11, 20, tzinfo=UTC)]) + timedelta(
            microseconds=random.choice([-1, 0])
        )
        law = decide(facts, policy, events, to_us(now), stale=random.random() < 0.1)
        assert as_answer(law) == naive.decide(facts, now, stale=law.stale), (facts, now)
        reasons.add(law.reason)
    assert len(reasons) > 1
