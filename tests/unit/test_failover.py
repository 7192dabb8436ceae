"""Failover groups: what may be configured, which one is answered, and who is told of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from borderpost.answers import Leaf, Route
from borderpost.audit.inputs import InputStore
from borderpost.catalog import Catalog
from borderpost.cli.events.exposure import examine
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.counters.rebuild import counts_of
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost.foresight.rederivation import Rederivation
from borderpost.geoip import GeoDatabase
from borderpost.geoip.config import GeoipSpec
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.schema import RegionSpec
from borderpost.recorded_decision import answer_of, facts_of
from borderpost.regions.config import RankingSpec
from borderpost.regions.failover import FailoverGroup, FailoverGroups
from borderpost.regions.rank import Candidate, Ranking
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost_base import limits
from borderpost_base.errors import Problems
from borderpost_base.world import World
from support import policy_cases
from support.audit import open_writer
from support.naive_policy import NaivePolicy

CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-1: {country: DE}
  eu-2: {country: FR}
  us-1: {country: US}
failover:
  union: {regions: [eu-1, eu-2]}
  atlantic: {regions: [eu-1, us-1], cluster: "outbound|443||atlantic"}
ranking: {latency_ms: {EU: {eu-1: 8, eu-2: 20, us-1: 95}, US: {eu-1: 5, us-1: 12, eu-2: 90}}}
"""
SEED = "0123456789abcdef"
AT = parse_instant("2026-11-20T10:00:00Z")
AT_US = to_us(AT)
GERMAN = RawRequest("", residency_claim="DE")
AMERICAN = RawRequest("", residency_claim="US")
WORLDS, REQUESTS = 100, 24


def problems(folder: Path, failover: str) -> dict[str, tuple[str, int | None, str | None]]:
    """Return what is said of a `failover` section: by code and key, the detail, the line and the mend."""
    head = CONFIG.partition("failover:")[0]
    (folder / "borderpost.yaml").write_text(head + failover)
    with pytest.raises(Problems) as raised:
        load_config(folder / "borderpost.yaml", {}, {})
    return {f"{e.code} {e.place.key}": (e.detail, e.place.line, e.mend) for e in raised.value.errors}


def test_a_group_that_cannot_be_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
failover:
  a: {regions: [eu-1, eu2]}
  b: {regions: [eu-1, eu-1]}
  c: {regions: [eu-1, us-1], cluster: us-1}
  d: {regions: [eu-1, us-1], cluster: e}
  e: {regions: [us-1, eu-1]}
""",
    )
    assert found["BP1420 failover.a.regions[1]"] == ("`eu2` is no region", 8, "did you mean `eu-2`?")
    assert found["BP1420 failover.b.regions[1]"][1] == 9
    assert found["BP0108 failover.c.cluster"][0] == "failover group `c` and region `us-1` share the cluster `us-1`"
    assert found["BP1421 failover.d.regions"][0] == "`d` and `c` are the same regions in the same order"
    assert found["BP0108 failover.e.cluster"][1] == 12
    assert len(found) == 5


@pytest.mark.parametrize(
    "section",
    [
        "failover: {a: {regions: [eu-1]}}",
        "failover: {a: {}}",
        "failover: {a: {regions: [eu-1, eu-2], clutser: x}}",
        'failover: {a: {regions: [eu-1, eu-2], cluster: "a b"}}',
        f"failover: {{a: {{regions: [{', '.join(['eu-1'] * (limits.FAILOVER_REGIONS_MAX + 1))}]}}}}",
        "failover: {"
        + ", ".join(f"g{n}: {{regions: [eu-1, eu-2]}}" for n in range(limits.FAILOVER_GROUPS_MAX + 1))
        + "}",
    ],
    ids=["one region", "no regions", "unknown key", "a space", "too many regions", "too many groups"],
)
def test_a_section_that_does_not_fit_is_refused(tmp_path: Path, section: str) -> None:
    assert all(line is not None for _, line, _ in problems(tmp_path, section + "\n").values())


def ranking(*order: str, down: tuple[str, ...] = ()) -> Ranking:
    return Ranking(order[0] if order else None, tuple(Candidate(region, None, None) for region in order), down)


def test_which_of_several_groups_is_chosen() -> None:
    named = {"ab": "ab", "ac": "ac", "abc": "abc", "acb": "acb", "ba": "ba", "ad": "ad"}
    groups = FailoverGroups({name: FailoverGroup(regions=tuple(regions)) for name, regions in named.items()})

    def chosen(ranking: Ranking) -> str | None:
        legal = tuple(sorted([*(each.region for each in ranking.order), *ranking.down]))
        group = groups.choose(ranking, legal)
        return None if group is None else group.id

    assert chosen(ranking("a", "b", "c")) == "abc"
    assert chosen(ranking("a", "c", "b")) == "acb"
    assert chosen(ranking("a", "c")) == "ac"
    assert chosen(ranking("b", "c", "a")) == "ba"
    assert chosen(ranking("a", "b", down=("c",))) == "ab"
    assert chosen(ranking("a", down=("b", "c"))) is None
    assert chosen(ranking("c", "a", "b")) is None
    assert chosen(ranking()) is None


def deployed(folder: Path, events: tuple[LegalEvent, ...] = (), config: str = CONFIG, **states: State) -> View:
    """Return what decides in the deployment, its inputs stored beside a log."""
    (folder / "borderpost.yaml").write_text(config)
    loaded = load_config(folder / "borderpost.yaml", {"evidence.token": "{}"}, {})
    signals = Signals({name.replace("_", "-"): RegionSignal(state) for name, state in states.items()}, SEED, AT_US)
    file = EventList(EventsFile(events=events))
    made = view_of(dataclasses.replace(loaded, events=file), GeoDatabase.of(loaded.config.geoip), signals)
    store = InputStore(folder / "audit", World())
    for part in (loaded.bundle, file, made.compiled.catalog, signals):
        store.put(part.canonical())
    store.put_file(made.geo.path)
    return made


def order(**changes: object) -> LegalEvent:
    fields = {
        "id": "order", "type": "injunction", "scope": {"regions": ["eu-2"]}, "effective_from": AT, "recorded_at": AT,
        "source": "a court", "reason": "an order",
    }  # fmt: skip
    return LegalEvent.model_validate({**fields, **changes})


def test_a_group_is_answered_only_while_each_region_may_serve(tmp_path: Path) -> None:
    view = deployed(tmp_path, (order(effective_from=AT + timedelta(seconds=1), recorded_at=AT),))
    german = view.answer(GERMAN, AT_US).answer
    assert isinstance(german, Route)
    assert (german.region, german.cluster) == ("eu-1", "union")
    assert german.then == (Leaf("eu-2", "eu-gdpr/intra-eea"),)
    american = view.answer(AMERICAN, AT_US).answer
    assert isinstance(american, Route)
    assert (american.cluster, american.regions) == ("outbound|443||atlantic", ("eu-1", "us-1"))
    at_us = AT_US + 1_000_000
    for now_us, cluster in ((at_us - 1, "union"), (at_us, "eu-1"), (at_us + 1, "eu-1")):
        route = view.answer(GERMAN, now_us).answer
        assert isinstance(route, Route)
        assert (route.region, route.cluster, bool(route.then)) == ("eu-1", cluster, cluster == "union"), now_us


def test_a_region_that_is_down_ends_its_groups(tmp_path: Path) -> None:
    german, american = (deployed(tmp_path, eu_2=State.DOWN).answer(who, AT_US).answer for who in (GERMAN, AMERICAN))
    assert isinstance(german, Route) and isinstance(american, Route)
    assert (german.cluster, german.then) == ("eu-1", ())
    assert american.cluster == "outbound|443||atlantic"
    other = deployed(tmp_path, eu_1=State.DOWN).answer(GERMAN, AT_US).answer
    assert isinstance(other, Route)
    assert (other.cluster, other.then) == ("eu-2", ())


def test_the_record_says_where_a_retry_may_go_and_is_derived_anew(tmp_path: Path) -> None:
    view = deployed(tmp_path)
    writer = open_writer(tmp_path / "audit")
    decision = view.answer(GERMAN, AT_US)
    record = {**decision.record, "req": {}, "via": "ext_proc"}
    assert record["out"] == {
        "action": "route", "r": "eu-1", "cluster": "union", "cc": "DE", "basis": "eu-gdpr/intra-eea",
        "then": [{"r": "eu-2", "cc": "FR", "basis": "eu-gdpr/intra-eea"}],
    }  # fmt: skip
    assert answer_of(record) == decision.answer
    alone = {**record, "out": {**record["out"], "cluster": "eu-1"}}
    further = {**record, "out": {**record["out"], "then": [{"r": "us-1", "cc": "US", "basis": "x/y"}]}}
    dropped = {**record, "out": {name: value for name, value in record["out"].items() if name != "then"}}
    for number, fields in enumerate((record, alone, further, dropped)):
        writer.append("decision", fields, at_us=AT_US + number)
    writer.commit()
    writer.close()
    check = Rederivation(InputStore(tmp_path / "audit", World()))
    for number, fields in enumerate((record, alone, further, dropped)):
        check.check({**fields, "epoch": "0" * 20, "seq": number}, facts_of(fields), AT_US)
    assert (check.matched, check.differed) == (1, 3)
    assert {what for _, what in check.examples} == {"the answer is another"}


def test_what_an_event_would_have_kept_from_a_retry_is_exposed(tmp_path: Path) -> None:
    view = deployed(tmp_path)
    writer = open_writer(tmp_path / "audit")
    for who in (GERMAN, AMERICAN):
        decision = view.answer(who, AT_US)
        writer.append("decision", {**decision.record, "req": {}, "via": "ext_proc"}, at_us=AT_US)
    writer.commit()
    writer.close()
    report = examine(tmp_path / "audit", order(recorded_at=AT + timedelta(hours=1)))
    assert (report.decisions, report.refused, report.rebased, report.underivable) == (2, 1, 0, 0)
    (exposed,) = report.listed
    assert (exposed.region, exposed.refused, exposed.instead) == ("eu-2", True, "event/order")


COUNTED = """\
policy:
  regimes:
    - id: house
      title: A threshold
      source: Test
      applies_when: {subject_in: [EEA]}
      default: deny
      allow:
        - {to: [DE], basis: home}
        - {to: [FR], basis: exempt, below: {counter: exports, count: 100}}
      counters: [{id: exports, bases: [exempt]}]
"""


def test_a_retry_s_basis_counts_from_the_start(tmp_path: Path) -> None:
    """Nobody tells the engine of a retry, so a request that may make one has used the basis."""
    view = deployed(tmp_path, config=CONFIG + COUNTED)
    decision = view.answer(GERMAN, AT_US)
    assert isinstance(decision.answer, Route)
    assert decision.answer.rules.count("house/exempt") == 1
    assert "house/exempt" not in decision.answer.rule
    assert [counter.id for counter in decision.counts] == ["exports"]
    writer = open_writer(tmp_path / "audit")
    writer.append("decision", {**decision.record, "req": {}, "via": "ext_proc"}, at_us=AT_US)
    writer.commit()
    writer.close()
    assert counts_of(tmp_path / "audit", World()) == ({"exports/2026-11": 1}, 1)


def test_explain_tells_the_group_and_why_another_was_not_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    words = ["explain", "--config", str(tmp_path / "borderpost.yaml"), "--country", "DE"]
    assert main([*words, "--down", "eu-2"]) == 0
    assert "not by the failover group union: eu-2: down\n" in capsys.readouterr().out
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "routed to eu-1 (cluster union)" in told
    assert "a retry may go to eu-2 by eu-gdpr/intra-eea" in told
    assert "not by the failover group atlantic: us-1: eu-gdpr/no-basis" in told
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["then"] == [{"region": "eu-2", "basis": "eu-gdpr/intra-eea"}]
    assert [(each["group"], each["answered"]) for each in found["failover"]] == [("union", True), ("atlantic", False)]
    assert main([*words, "--format", "lawyer"]) == 0
    page = capsys.readouterr().out
    assert "Had that failed, the gateway could have sent it on, without asking again, to" in page
    assert "On which legal basis eu-2 could have served it, had that failed" in page
    assert main(["explain", "--config", str(tmp_path / "borderpost.yaml"), "--country", "US"]) == 0
    assert "not by the failover group union: another group comes first" in capsys.readouterr().out


def test_a_catalogue_without_groups_is_what_it_was_before_there_were_any() -> None:
    spec = {"eu-1": RegionSpec.model_validate({"country": "DE", "cluster": "eu-1"})}
    plain = Catalog.of(spec, RankingSpec())
    assert b"failover" not in plain.canonical()
    assert Catalog.from_canonical(plain.canonical()) == plain
    grouped = Catalog.of(spec, RankingSpec(), {"a": FailoverGroup(regions=("eu-1", "eu-2"))})
    assert Catalog.from_canonical(grouped.canonical()) == grouped
    assert grouped.digest != plain.digest


@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(1, 6))])
def test_no_answer_ever_reaches_an_illegal_region(chunk: int) -> None:
    """Random law, events, health and groups, instants that run on, held against the naive reading of the rules."""
    geo = GeoDatabase.of(GeoipSpec())
    seen: Counter[str] = Counter()
    for seed in range(chunk * WORLDS, (chunk + 1) * WORLDS):
        random = Random(seed)
        world = policy_cases.world(random)
        names = sorted(world.regions)
        if len(names) < 2:
            continue
        groups = {
            f"g{number}": FailoverGroup(regions=tuple(random.sample(names, random.randint(2, min(4, len(names))))))
            for number in range(random.randint(1, 6))
        }
        latency_ms = {"*": {name: float(random.randint(1, 40)) for name in names}}
        catalog = Catalog.of(world.regions, RankingSpec(latency_ms=latency_ms), groups)
        states = {name: RegionSignal(State.DOWN if random.random() < 0.15 else State.UP) for name in names}
        view = View.of(
            CompiledLaw.of(world.bundle, catalog), EventList(world.events), Signals(states, SEED, 0), geo,
            dict.fromkeys(("policy", "events", "catalog", "signals"), "sha256:" + "0" * 64),
        )  # fmt: skip
        stale = random.random() < 0.15
        view = view.turned(stale=stale)
        naive = NaivePolicy(world.bundle, world.regions, world.events)
        drawn = [policy_cases.facts(random) for _ in range(REQUESTS // 4)]
        pool = [facts for facts in drawn if {piece.code for piece in facts.evidence} <= {*policy_cases.EVIDENCE_CODES}]
        for now in sorted(policy_cases.instant(random) for _ in range(REQUESTS if pool else 0)):
            facts = random.choice(pool)
            answer = view.decide(facts, to_us(now)).answer
            if not isinstance(answer, Route):
                continue
            law = naive.decide(facts, now, stale=stale)
            usable = {region for region in law.legal if states[region].state is State.UP}
            assert set(answer.regions) <= usable, (seed, now, facts)
            assert [answer.rule, *(leaf.rule for leaf in answer.then)] == [law.bases[each] for each in answer.regions]
            beginning = {name: group.regions for name, group in groups.items() if group.regions[0] == answer.region}
            fitting = {name: regions for name, regions in beginning.items() if set(regions) <= usable}
            if fitting:
                assert fitting.get(answer.cluster) == answer.regions, (seed, now, facts)
            else:
                assert (answer.cluster, answer.then) == (answer.region, ()), (seed, now, facts)
            seen["answered" if fitting else "alone"] += 1
            for regions in beginning.values():
                seen["withheld by law"] += not set(regions) <= set(law.legal)
                seen["withheld by health"] += set(regions) <= set(law.legal) and not set(regions) <= usable
    assert min(seen[kind] for kind in ("answered", "alone", "withheld by law", "withheld by health")) > 15, seen
