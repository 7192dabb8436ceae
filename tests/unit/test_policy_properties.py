"""What no policy, no request and no event may break: nothing widens but what must.

Each property is asked of seeded random worlds; what fails names its seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import WIDENING, EventsFile
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.fields import to_us
from borderpost.policy.model import Evidence, Facts, Mode, Ruling, Source, Trust
from borderpost.policy.schema import RegionSpec
from support import policy_cases
from support.agreement import as_answer, compiled
from support.event_cases import DAYS, SIGNATURE
from support.policy_cases import EVIDENCE_CODES, World

pytestmark = pytest.mark.slow

Compiled = tuple[CompiledPolicy, CompiledEvents]


def questions(random: Random, count: int) -> Iterator[tuple[Facts, int]]:
    for _ in range(count):
        yield policy_cases.facts(random), to_us(policy_cases.instant(random))


def legal(facts: Facts, world: Compiled, now: int, *, stale: bool = False) -> set[str]:
    return set(decide(facts, *world, now, stale=stale).legal)


def with_evidence(facts: Facts, added: Evidence) -> Facts:
    order = list(Source)
    evidence = sorted((*facts.evidence, added), key=lambda piece: order.index(piece.source))
    return dataclasses.replace(facts, evidence=tuple(evidence))


def is_placed(facts: Facts) -> bool:
    return any(
        piece.doubt is None and (piece.source is Source.GEOIP or piece.trust is Trust.VERIFIED)
        for piece in facts.evidence
    )


def with_events(policy: CompiledPolicy, file: EventsFile) -> CompiledEvents:
    return compile_events(EventList(file), policy)


def rebuilt(world: World, change: Any) -> World | None:
    """Return a world whose bundle, as plain data, was changed; None where it no longer holds together."""
    data = world.bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
    change(data)
    try:
        return World(PolicyBundle.model_validate(data), world.regions, world.events)
    except ValueError:
        return None


# --- evidence


@pytest.mark.parametrize("chunk", range(4))
def test_asserted_or_inferred_evidence_never_adds_a_region(chunk: int) -> None:
    """GeoIP resolves an unknown place; but for that it is like a header. In doubt, it does not even do that."""
    for seed in range(chunk * 30, chunk * 30 + 30):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for facts, now in questions(random, 20):
            before = legal(facts, world, now)
            spoken = {piece.source for piece in facts.evidence}
            for source, doubt in ((Source.HEADER, None), (Source.GEOIP, None), (Source.GEOIP, "hosting")):
                if source in spoken or (source is Source.GEOIP and doubt is None and not is_placed(facts)):
                    continue
                added = Evidence(source, random.choice(EVIDENCE_CODES), doubt=doubt)
                assert legal(with_evidence(facts, added), world, now) <= before, f"seed {seed}: {facts} + {added}"


def test_verified_evidence_resolves_an_unknown_and_nothing_else() -> None:
    resolved = 0
    for seed in range(1000, 1080):
        random = Random(seed)
        drawn = policy_cases.world(random)
        world = compiled(drawn)
        for facts, now in questions(random, 20):
            source = random.choice([Source.TOKEN, Source.MTLS])
            if source in {piece.source for piece in facts.evidence}:
                continue
            more = with_evidence(facts, Evidence(source, random.choice(EVIDENCE_CODES)))
            before, after = legal(facts, world, now), legal(more, world, now)
            if is_placed(facts):
                assert after <= before, f"seed {seed}: {facts} + {source}"
            else:
                resolved += bool(after - before)
    assert resolved > 15


def test_leaving_required_evidence_out_gains_nothing() -> None:
    """Where a tenant or a route requires a source, facts without it say so, and nothing is legal."""
    for seed in range(2000, 2030):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for facts, now in questions(random, 20):
            for source in Source:
                less = tuple(piece for piece in facts.evidence if piece.source is not source)
                without = dataclasses.replace(facts, evidence=less, missing=str(source))
                law = decide(without, *world, now)
                assert law.legal == ()
                assert law.ruling is not Ruling.LEGAL


def test_a_declared_class_never_adds_a_region() -> None:
    """But a class with a mode of its own may be in a wider one than the policy's; see the modes."""
    for seed in range(3000, 3060):
        random = Random(seed)
        drawn = policy_cases.world(random)
        world = compiled(drawn)
        modes = any(one.mode for one in drawn.bundle.vocabulary.classes.values())
        for facts, now in questions(random, 20):
            name = random.choice(policy_cases.CLASSES)
            if modes and facts.mode is None:
                facts = dataclasses.replace(facts, mode=Mode.LEGAL_FIRST)
            more = dataclasses.replace(facts, classes=tuple(sorted({*facts.classes, name})))
            assert legal(more, world, now) <= legal(facts, world, now), f"seed {seed}: {facts} + {name}"


# --- modes, freshness, clocks


def test_a_wider_mode_holds_all_that_a_stricter_one_does() -> None:
    wider = {Mode.HYBRID: 0, Mode.PERFORMANCE_FIRST: 0}
    for seed in range(4000, 4100):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for facts, now in questions(random, 15):
            sets = [legal(dataclasses.replace(facts, mode=mode), world, now) for mode in Mode]
            assert sets[0] <= sets[1] <= sets[2], f"seed {seed}: {facts}"
            wider[Mode.HYBRID] += sets[0] != sets[1]
            wider[Mode.PERFORMANCE_FIRST] += sets[1] != sets[2]
    assert min(wider.values()) > 0, wider


def test_stale_events_only_narrow() -> None:
    narrowed = 0
    for seed in range(5000, 5060):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for facts, now in questions(random, 20):
            fresh, stale = legal(facts, world, now), legal(facts, world, now, stale=True)
            assert stale <= fresh, f"seed {seed}: {facts}"
            narrowed += stale != fresh
    assert narrowed > 8


def test_a_larger_clock_error_only_narrows() -> None:
    narrowed = 0
    for seed in range(6000, 6120):
        random = Random(seed)
        drawn = policy_cases.world(random)
        if not drawn.events.events:
            continue
        policy = compile_policy(drawn.bundle, drawn.regions)
        worlds = [
            (policy, with_events(policy, drawn.events.model_copy(update={"clock_error_us": error_us})))
            for error_us in (0, 1, 3, 10**6)
        ]
        for facts, now in questions(random, 20):
            sets = [legal(facts, world, now) for world in worlds]
            assert sets[0] >= sets[1] >= sets[2] >= sets[3], f"seed {seed}: {facts}"
            narrowed += sets[0] != sets[3]
    assert narrowed > 0


# --- regimes and packs


def test_one_more_regime_sink_or_denial_never_adds_a_region() -> None:
    for seed in range(7000, 7080):
        random = Random(seed)
        drawn = policy_cases.world(random)
        regime = policy_cases.regime(random, 99, sorted(drawn.bundle.packs[0].groups))
        denial = policy_cases.deny(random, 9, sorted(drawn.bundle.packs[0].groups), [])
        sink = policy_cases.processor(random)

        def one_more(data: dict[str, Any]) -> None:
            kind = random.randrange(3)  # noqa: B023 - called at once
            regimes = data["inline"]["regimes"]
            if kind == 0:
                regimes.append(regime)  # noqa: B023
            elif kind == 1 and regimes and regimes[0]["kind"] == "transfer":
                regimes[0]["deny"] = [*regimes[0].get("deny", ()), {**denial, "basis": "more"}]  # noqa: B023
            else:
                data["sinks"] = {**data["sinks"], "more": sink}  # noqa: B023

        changed = rebuilt(drawn, one_more)
        if changed is None:
            continue
        before, after = compiled(drawn), compiled(changed)
        for facts, now in questions(random, 20):
            was = decide(facts, *before, now)
            if was.reason == "no-regime":
                continue  # a law where none was known is the one thing that may open what was closed
            assert legal(facts, after, now) <= set(was.legal), f"seed {seed}: {facts}"


def test_a_child_pack_never_widens_its_parent() -> None:
    """With a parent it is no law to rely on, so it cannot even open what no law covers."""
    changed = refused = 0
    for seed in range(8000, 8080):
        random = Random(seed)
        drawn = policy_cases.world(random)

        def childless(data: dict[str, Any]) -> None:
            data["packs"][1]["regimes"] = []

        alone = rebuilt(drawn, childless)
        assert alone is not None
        before, after = compiled(alone), compiled(drawn)
        for facts, now in questions(random, 20):
            was = decide(facts, *before, now)
            assert legal(facts, after, now) <= set(was.legal), f"seed {seed}: {facts}"
            changed += legal(facts, after, now) != set(was.legal)
            refused += was.reason == "no-regime"
    assert changed > 20
    assert refused > 20


def test_a_childs_class_is_never_free() -> None:
    for seed in range(8500, 8520):
        random = Random(seed)
        policy, _ = compiled(policy_cases.world(random))
        assert "draft" not in policy.free
        assert "public" in policy.free


def test_a_regime_that_only_denies_is_no_law_to_rely_on() -> None:
    """Under `no_regime: refuse`, a denial of one's own must not open the places that no law covers."""
    own = {"id": "own", "title": "t", "source": "s", "applies_when": {"subject_in": "*"}, "default": "allow"}
    for seed in range(9000, 9050):
        random = Random(seed)
        drawn = policy_cases.world(random)

        def deny_some(data: dict[str, Any]) -> None:
            data["inline"]["regimes"].append({**own, "deny": [{"to": "KP"}]})

        changed = rebuilt(drawn, deny_some)
        if changed is None:
            continue  # a class in performance-first suffers no denial
        before, after = compiled(drawn), compiled(changed)
        for facts, now in questions(random, 20):
            assert legal(facts, after, now) <= legal(facts, before, now), f"seed {seed}: {facts}"


# --- legal events

TWO = [{"by": by, "key": "sha256:" + by[0] * 64, "signature": SIGNATURE} for by in ("ada", "bob")]


def one_more(listed: EventsFile, event: dict[str, Any]) -> EventsFile:
    return EventsFile.model_validate({"events": [*listed.events, event]})


@pytest.mark.parametrize("chunk", range(2))
def test_only_widening_events_with_two_signatures_widen(chunk: int) -> None:
    """Of one more event: what narrows adds no region, what widens adds one only with two people's approval."""
    widened = narrowed = 0
    last = datetime(2027, 9, 1, tzinfo=UTC)
    for seed in range(10_000 + chunk * 80, 10_080 + chunk * 80):
        random = Random(seed)
        drawn = policy_cases.world(random)
        event = policy_cases.one_event(random, drawn)
        event |= {"mode": "enforce", "recorded_at": last, "effective_from": DAYS[0], "effective_until": None}
        one = {**event, "approvals": [{**TWO[0], "at": last}]}
        two = {**event, "approvals": [{**approval, "at": last} for approval in TWO]}
        policy = compile_policy(drawn.bundle, drawn.regions)
        listed = EventsFile(events=drawn.events.events)
        lists = (listed, one_more(listed, one), one_more(listed, two))
        before, signed, approved = ((policy, with_events(policy, events)) for events in lists)
        at = to_us(last) + 1
        for facts, _ in questions(random, 20):
            was, once, twice = (legal(facts, world, at) for world in (before, signed, approved))
            told = f"seed {seed}: {facts} with {event}"
            if event["type"] in WIDENING:
                assert once == was, told
                widened += twice > was
            else:
                assert once <= was, told
                assert twice == once, told
                narrowed += once < was
    assert widened > 0
    assert narrowed > 15


# --- time


def test_a_law_holds_until_the_instant_it_names() -> None:
    """Between now and `valid_until_us` nothing changes: asked at every date of the world and microseconds around."""
    changed = 0
    for seed in range(11_000, 11_060):
        random = Random(seed)
        policy, events = compiled(policy_cases.world(random))
        dates = sorted(to_us(day) + step for day in DAYS for step in range(-3, 4))
        for facts, now in questions(random, 10):
            law = decide(facts, policy, events, now)
            until = law.valid_until_us
            assert until is None or until > now
            for at in dates:
                if now < at and (until is None or at < until):
                    said = as_answer(decide(facts, policy, events, at))
                    assert said == as_answer(law), f"seed {seed}: {facts} at {at}, asked at {now}"
            if until is not None:
                changed += as_answer(decide(facts, policy, events, until)) != as_answer(law)
    assert changed > 40  # the instants named are not only cautious


# --- form


def test_law_is_the_same_after_its_canonical_form_and_in_any_order() -> None:
    """Workers and replay read law from canonical bytes; the order in which a file says things is for its readers."""
    for seed in range(12_000, 12_040):
        random = Random(seed)
        drawn = policy_cases.world(random)
        bundle = PolicyBundle.from_canonical(drawn.bundle.canonical())
        events = EventList.from_canonical(EventList(drawn.events).canonical()).file
        regions = {
            name: RegionSpec.model_validate_json(region.model_dump_json()) for name, region in drawn.regions.items()
        }
        shuffled = rebuilt(drawn, lambda data: reorder(data, random))  # noqa: B023 - called at once
        assert shuffled is not None
        mixed = dict(random.sample(sorted(drawn.regions.items()), len(drawn.regions)))
        first, second, third = (
            compiled(world)
            for world in (drawn, World(bundle, regions, events), dataclasses.replace(shuffled, regions=mixed))
        )
        for facts, now in questions(random, 10):
            said = decide(facts, *first, now)
            assert decide(facts, *second, now) == said, f"seed {seed}: {facts}"
            again = decide(facts, *third, now)
            assert as_answer(again) == as_answer(said), f"seed {seed}: {facts}"
            assert again.valid_until_us == said.valid_until_us


def reorder(data: Any, random: Random) -> None:
    """Shuffle every mapping, and the lists whose order means nothing."""
    if isinstance(data, dict):
        items = random.sample(sorted(data.items()), len(data))
        data.clear()
        data.update(items)
        for name, value in items:
            if name in ("regimes", "allow", "deny", "to", "subject_in", "plus", "minus", "all_of", "implies", "data"):
                random.shuffle(value)
            reorder(value, random)
    elif isinstance(data, list):
        for value in data:
            reorder(value, random)
