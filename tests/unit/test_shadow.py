"""The shadow: compared with every answer, told where it differs, and never able to change one."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost import lawful_answer
from borderpost import shadow as shadow_module
from borderpost.answers import Answer, Leaf, Refusal, Route
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.cli.made_up import view_of
from borderpost.config.load import load_config
from borderpost.geoip import GeoDatabase
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost.shadow import divergence
from borderpost_base.errors import Problems
from borderpost_base.world import SystemClock
from support.audit import lines_of
from support.worker_parts import BRITISH, FakeCall, WorkerParts, question, until, worker_parts

EUROPE_ONLY: dict[str, Any] = {
    "id": "house", "title": "House rule", "source": "Board", "applies_when": {"subject_in": "*"},
    "default": "deny", "allow": [{"to": ["DE", "IE"], "basis": "house"}],
}  # fmt: skip
LAW: dict[str, Any] = {"policy": {"packs": ["starter"], "regimes": [EUROPE_ONLY]}}


def regime(**changes: Any) -> dict[str, Any]:
    return {**EUROPE_ONLY, **changes}


def shadowed(*regimes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a configuration with a candidate of the same packs and these rules."""
    return {**LAW, "shadow": {"policy": {"packs": ["starter"], "regimes": list(regimes), **more}}}


def decisions(parts: WorkerParts) -> list[dict[str, Any]]:
    return [record for record in map(parse, lines_of(parts.audit)) if record["type"] == "decision"]


ROUTE, OTHER = Route("a", "a", "DE", "r/x"), Route("b", "b", "DE", "r/x")
FORBIDDEN, UP = Refusal(451, "BP0801", "no-legal-region"), Refusal(503, "BP0806", "no-legal-region-up")


@pytest.mark.parametrize(
    ("given", "other", "kind"),
    [
        (ROUTE, Route("a", "a", "FR", "r/x"), None),
        (ROUTE, OTHER, "region"),
        (ROUTE, Route("a", "a", "DE", "r/y"), "basis"),
        (ROUTE, Route("a", "ab", "DE", "r/x", (Leaf("b", "r/x"),)), "failover"),
        (
            Route("a", "ab", "DE", "r/x", (Leaf("b", "r/x"),)),
            Route("a", "ab", "DE", "r/x", (Leaf("b", "r/y"),)),
            "basis",
        ),
        (ROUTE, FORBIDDEN, "narrowed"),
        (FORBIDDEN, ROUTE, "widened"),
        (UP, ROUTE, "widened"),
        (FORBIDDEN, UP, "reason"),
        (FORBIDDEN, Refusal(451, "BP0801", "no-legal-region", "FR"), None),
    ],
)
def test_each_kind_of_divergence(given: Answer, other: Answer, kind: str | None) -> None:
    assert divergence(given, other) == kind


CANDIDATES = {
    None: [EUROPE_ONLY],
    "narrowed": [regime(allow=[{"to": ["US"], "basis": "house"}])],
    "region": [regime(allow=[{"to": ["DE", "IE"], "basis": "house"}]),
               regime(id="not-de", default="allow", allow=[], deny=[{"to": ["DE"], "basis": "moved"}])],
    "basis": [regime(allow=[{"to": ["DE", "IE"], "basis": "renamed"}])],
}  # fmt: skip


@pytest.mark.parametrize("kind", CANDIDATES)
def test_a_candidate_is_weighed_and_binds_nobody(tmp_path: Path, kind: str | None) -> None:
    async def main() -> None:
        changes = {"here": {"country": "IE"}, **shadowed(*CANDIDATES[kind])}
        async with worker_parts(tmp_path, changes=changes) as parts:
            for _ in range(3):
                assert (await parts.ask()).cluster == "eu-1"
            for record in decisions(parts):
                assert record["out"]["r"] == "eu-1"
                assert parts.loaded.shadow is not None
                assert record["inputs"]["shadow"] == parts.loaded.shadow.digest
                assert parts.inputs.is_intact(record["inputs"]["shadow"])
                assert record.get("shadow", {}).get("kind") == kind
            for each in ("widened", "narrowed", "region", "reason", "basis", "failed"):
                assert parts.metrics.shadow_divergence_total.get(each) == (3 if each == kind else 0)

    asyncio.run(main())
    assert verify(tmp_path / "audit").findings == []


def test_widened_is_told_with_region_and_basis(tmp_path: Path) -> None:
    nowhere = regime(allow=[{"to": ["FR", "US"], "basis": "house"}])

    async def main() -> None:
        changes = {**shadowed(EUROPE_ONLY), "policy": {"packs": ["starter"], "regimes": [nowhere]}}
        async with worker_parts(tmp_path, changes=changes) as parts:
            call = await parts.ask()
            assert call.refusal[0] == 451
            (record,) = decisions(parts)
            assert record["shadow"]["kind"] == "widened"
            assert record["shadow"]["r"] == "eu-1"
            assert "house/house" in record["shadow"]["basis"]
            assert "reason" not in record["shadow"]

    asyncio.run(main())


def test_without_a_shadow_nothing_is_said_of_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, changes=LAW) as parts:
            await parts.ask()
            (record,) = decisions(parts)
            assert "shadow" not in record and "shadow" not in record["inputs"]
            parts.reload(shadowed(regime(allow=[{"to": ["DE", "IE"], "basis": "renamed"}])))
            await parts.take()
            await parts.ask()
            parts.reload({"shadow": {"policy": None}})
            view = await parts.take()
            assert view.shadow is None
            await parts.ask()
            assert ["shadow" in record["inputs"] for record in decisions(parts)] == [False, True, False]
            assert ["shadow" in record for record in decisions(parts)] == [False, True, False]

    asyncio.run(main())


def test_a_bug_in_the_shadow_is_told_once_and_touches_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = CompiledLaw.answer

    def poisoned(self: CompiledLaw, facts: Facts, *rest: Any) -> Any:
        if any(each.id == "candidate" for each in self.bundle.inline.regimes):
            raise RuntimeError("a bug")
        return answer(self, facts, *rest)

    monkeypatch.setattr(CompiledLaw, "answer", poisoned)

    async def main() -> None:
        async with worker_parts(tmp_path, changes=shadowed(regime(id="candidate"))) as parts:
            with capture_logs() as told:
                assert (await parts.ask()).cluster == "eu-1"
                assert (await parts.ask(question("203.0.113.7"))).refusal[0] == 403
            assert len([line for line in told if "shadow" in line["event"]]) == 1
            assert [record["shadow"] for record in decisions(parts)] == [{"kind": "failed"}] * 2
            assert parts.metrics.shadow_divergence_total.get("failed") == 2

    asyncio.run(main())


def test_a_shadow_that_cannot_be_compiled_keeps_no_law_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    async def main() -> None:
        async with worker_parts(tmp_path, changes=LAW) as parts:
            monkeypatch.setattr(shadow_module.Shadow, "of", refuse)
            with capture_logs() as told:
                parts.reload({**shadowed(EUROPE_ONLY), "policy": {"packs": ["starter"], "regimes": []}})
                view = await parts.take()
            assert view.shadow is None
            assert "house" not in {each.id for each in view.compiled.bundle.regimes}
            assert parts.live.shadow_broken
            assert any("the shadow cannot be used" in line["event"] for line in told)
            assert (await parts.ask()).cluster
            assert "shadow" not in decisions(parts)[-1]["inputs"]
            monkeypatch.undo()
            parts.reload(shadowed(EUROPE_ONLY, no_regime="allow"))
            assert (await parts.take()).shadow is not None
            assert not parts.live.shadow_broken

    asyncio.run(main())


class Ahead(SystemClock):
    """The machine's clock, moved forward on request."""

    by_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.by_us


def drill(**changes: Any) -> dict[str, Any]:
    return {
        "id": "drill-1", "type": "region_suspend", "mode": "drill", "scope": {"regions": ["eu-1"]},
        "effective_from": "2035-01-01T00:00:00Z", "effective_until": "2036-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z", "source": "Exercise", "reason": "What if", **changes,
    }  # fmt: skip


def test_a_drill_is_weighed_from_its_instant_to_its_end_and_binds_nobody(tmp_path: Path) -> None:
    clock = Ahead()
    year_us = 366 * 86_400 * 1_000_000
    (tmp_path / "events.yaml").write_text(json.dumps({"events": [drill()]}))

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock, changes={"events": {"file": "events.yaml"}}) as parts:
            for years in (0, 9, 10):
                clock.by_us = years * year_us
                assert (await parts.ask()).cluster == "eu-1"
                assert (await parts.ask()).cluster == "eu-1"
            found = decisions(parts)
            assert all(record["inputs"]["shadow"] == record["inputs"]["policy"] for record in found)
            told = [record.get("shadow", {}).get("r") for record in found]
            assert told == [None, None, "eu-2", "eu-2", None, None]
            kinds = [record for record in map(parse, lines_of(parts.audit)) if record["type"] == "legal_event.apply"]
            assert [record.get("event") for record in kinds] == [None]

    asyncio.run(main())


def test_a_drill_counts_in_a_candidate_too(tmp_path: Path) -> None:
    (tmp_path / "events.yaml").write_text(
        json.dumps({"events": [drill(effective_from="2026-01-01", effective_until=None)]})
    )

    async def main() -> None:
        changes = {**shadowed(EUROPE_ONLY), "events": {"file": "events.yaml"}}
        async with worker_parts(tmp_path, changes=changes) as parts:
            assert (await parts.ask()).cluster == "eu-1"
            assert decisions(parts)[0]["shadow"]["r"] == "eu-2"

    asyncio.run(main())


def test_other_signals_are_weighed_anew_and_the_shadow_s_law_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        changes = {"here": {"country": "IE"}, **shadowed(*CANDIDATES["region"])}
        async with worker_parts(tmp_path, changes=changes) as parts:
            await parts.ask()
            before = parts.live.view
            signals = Signals({"eu-1": RegionSignal(State.DOWN)}, "0" * 16, parts.world.now_us())
            parts.publication._take_signals(signals)
            view = await parts.take()
            assert before is not None and view.shadow is before.shadow
            await parts.ask()
            assert [record.get("shadow", {}).get("kind") for record in decisions(parts)] == ["region", None]

    asyncio.run(main())


def test_an_event_does_not_wait_for_a_slow_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    compiled = lawful_answer.compile_policy

    def slow(bundle: PolicyBundle, *rest: Any) -> Any:
        if any(each.id == "slow" for each in bundle.regimes):
            assert go_on.wait(20)
        return compiled(bundle, *rest)

    monkeypatch.setattr(lawful_answer, "compile_policy", slow)
    events = tmp_path / "events.yaml"
    events.write_text(json.dumps({"events": []}))

    async def main() -> None:
        changes = {**shadowed(EUROPE_ONLY), "events": {"file": "events.yaml"}}
        async with worker_parts(tmp_path, changes=changes) as parts:
            first = parts.live.view
            assert first is not None and first.shadow is not None
            real = drill(mode="enforce", effective_from="2026-01-01", effective_until=None)
            events.write_text(json.dumps({"events": [real]}))
            parts.reload(shadowed(regime(id="slow")))
            try:
                await until(lambda: parts.look() is not first)
                between = parts.live.view
                assert between is not None and between.shadow is not None
                assert between.shadow.compiled is first.shadow.compiled, "the old candidate, not compiled anew"
                assert (await parts.ask()).cluster == "eu-2"
                assert "shadow" not in decisions(parts)[-1], "the event counts in the shadow as well"
            finally:
                go_on.set()
            last = await parts.take()
            assert last.shadow is not None
            assert last.inputs["shadow"] != first.inputs["shadow"]
            parts.reload({**shadowed(regime(id="slow")), "regions": {"eu-3": {"country": "FR"}}})
            grown = await parts.take()
            assert grown.shadow is not None
            assert "eu-3" in grown.shadow.compiled.catalog.regions
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_mistakes_of_a_candidate_are_told_at_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "borderpost.yaml").write_text(
        "here: {country: DE}\n"
        "regions: {eu-1: {country: DE}}\n"
        "policy: {packs: [starter]}\n"
        "shadow:\n"
        "  policy:\n"
        "    packs: [starter, nowhere]\n"
    )
    with pytest.raises(Problems) as caught:
        load_config(tmp_path / "borderpost.yaml", environ={})
    (error,) = caught.value.errors
    assert (error.code, error.place.line, error.place.key) == ("BP0213", 6, "shadow.policy.packs[1]")
    assert error.detail.startswith("in the shadow: ")
    (tmp_path / "borderpost.yaml").write_text(
        "here: {country: DE}\n"
        "regions: {eu-1: {country: DE}}\n"
        "tenants: {acme: {classes: [mine]}}\n"
        "policy: {packs: [starter], data_classes: {mine: {}}}\n"
        "shadow:\n"
        "  policy:\n"
        "    packs: [starter]\n"
        "    regimes:\n"
        "      - {id: r, title: t, source: s, applies_when: {subject_in: NOWHERE}}\n"
    )
    with pytest.raises(Problems) as caught:
        load_config(tmp_path / "borderpost.yaml", environ={})
    found = {(error.code, error.place.line, error.place.key) for error in caught.value.errors}
    assert ("BP0203", 9, "shadow.policy.regimes[0].applies_when.subject_in[0]") in found
    assert ("BP0204", 3, "tenants.acme.classes[0]") in found


def test_a_candidate_is_held_to_its_own_word_on_this_gateway_s_place(tmp_path: Path) -> None:
    (tmp_path / "borderpost.yaml").write_text(
        "here: {country: US}\n"
        "regions: {eu-1: {country: DE}}\n"
        "shadow:\n"
        "  policy:\n"
        "    packs: [starter]\n"
        "    processors: {checked: at-load, subjects: [DE]}\n"
    )
    with pytest.raises(Problems) as caught:
        load_config(tmp_path / "borderpost.yaml", environ={})
    (error,) = caught.value.errors
    assert (error.code, error.place.key) == ("BP0223", "here")
    assert error.detail.startswith("in the shadow: ")


@pytest.mark.parametrize("seed", range(5))
def test_no_shadow_changes_an_answer_and_each_divergence_is_what_both_say(tmp_path: Path, seed: int) -> None:
    """Random facts, asked of a view with a shadow, of one without, and of the candidate as if it were the law."""
    random = Random(seed)
    places = ["DE", "FR", "GB", "US", "CU", "IE", "CN"]
    allow = [{"to": random.sample(places, 3), "basis": f"b-{n}"} for n in range(3)]
    candidate = regime(allow=allow, applies_when={"subject_in": random.sample(places, 4)})
    config = {
        "here": {"country": "DE"},
        "region_defaults": {"retention": "same", "telemetry": "same"},
        "regions": {place.lower(): {"country": place} for place in places},
        "policy": {"packs": ["starter"]},
        "ranking": {"latency_ms": {"*": {place.lower(): random.randint(1, 9) for place in places}}},
    }
    shadow = {"policy": {"packs": ["starter"], "regimes": [candidate], "no_regime": random.choice(["allow", "refuse"])}}
    views = []
    for changes in ({}, {"shadow": shadow}, shadow):
        (tmp_path / "borderpost.yaml").write_text(json.dumps({**config, **changes}))
        loaded = load_config(tmp_path / "borderpost.yaml", environ={})
        signals = Signals({random.choice(places).lower(): RegionSignal(State.DOWN)}, "0" * 16, 1)
        views.append(view_of(loaded, GeoDatabase.of(loaded.config.geoip), views[0].signals if views else signals))
    plain, shadowed_view, as_law = views
    kinds = set()
    for _ in range(300):
        sources = random.sample(list(Source), random.randint(0, 3))
        evidence = tuple(Evidence(source, random.choice(places)) for source in Source if source in sources)
        classes = tuple(sorted(random.sample(["personal", "health", "public"], random.randint(0, 2))))
        facts = Facts(evidence, classes)
        decision = shadowed_view.decide(facts, 1_800_000_000_000_000)
        assert decision.answer == plain.decide(facts, 1_800_000_000_000_000).answer
        assert decision.opinion is not None
        kind = divergence(decision.answer, as_law.decide(facts, 1_800_000_000_000_000).answer)
        assert decision.opinion.kind == kind == decision.record.get("shadow", {}).get("kind")
        kinds.add(kind)
    assert len(kinds) > 1


def test_what_a_candidate_says_at_too_great_length_is_left_out_of_the_record(tmp_path: Path) -> None:
    wordy = [regime(id=f"wordy-{n}", allow=[{"to": "*", "basis": "b" * 127 + str(n)}]) for n in range(9)]

    async def main() -> None:
        async with worker_parts(tmp_path, changes=shadowed(*wordy)) as parts:
            assert (await parts.ask()).cluster == "eu-1"
            assert [record["shadow"] for record in decisions(parts)] == [{"kind": "basis"}]

    asyncio.run(main())


def test_a_flood_of_requests_asks_the_shadow_once_for_all_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    opinion = shadow_module.Shadow.opinion

    def counting(self: shadow_module.Shadow, *arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return opinion(self, *arguments)

    monkeypatch.setattr(shadow_module.Shadow, "opinion", counting)

    async def main() -> None:
        async with worker_parts(tmp_path, changes=shadowed(regime(allow=[{"to": ["US"], "basis": "x"}]))) as parts:
            calls = [FakeCall() for _ in range(200)]
            parts.processor.messages([(call, question(BRITISH, f"r-{n}")) for n, call in enumerate(calls)])
            await until(lambda: all(call.answered for call in calls))
            assert asked == 1
            assert parts.metrics.shadow_divergence_total.get("narrowed") == 200

    asyncio.run(main())
