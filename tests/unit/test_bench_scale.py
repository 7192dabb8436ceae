"""The bench's experiments about size: configurations that grow while their law stays, and what is made of figures."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.config.load import load_config
from borderpost.demo.scenery import write_events
from borderpost.geoip import GeoDatabase
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.model import Evidence, Facts, Source
from borderpost_base import limits
from borderpost_bench import alone, check, cold, compiling, flood, idle, load, scaling, sizes, soak, streams, traffic
from borderpost_bench.experiments import EXPERIMENT_BY_NAME
from borderpost_bench.features import Features, parse_features
from borderpost_bench.measure import Settings
from borderpost_bench.sizes import Size
from borderpost_bench.unavailable import Unavailable
from borderpost_envoy import Via
from borderpost_proto import ext_proc_pb2
from borderpost_wire.health import WATCH, WATCHERS_MAX
from borderpost_wire.hpack.decoder import Decoder

LOAD = load.Load(100, 0, 0, 1.0, 1.0, 2.0, 1.5, 3.0)


def loaded(directory: Path, size: Size) -> Any:
    write_events(directory, [])
    path = directory / "borderpost.yaml"
    path.write_text(yaml.safe_dump(sizes.sized_configuration(size, admin_port=1), sort_keys=False))
    return load_config(path, environ={})


@pytest.mark.parametrize("size", [Size(3, 10), Size(30, 777), Size(300, 10)], ids=str)
def test_a_configuration_has_the_size_asked_for(tmp_path: Path, size: Size) -> None:
    config = loaded(tmp_path, size)
    assert len(config.regions) == size.regions
    regimes = config.bundle.regimes
    assert sum(len(regime.allow) + len(regime.deny) for regime in regimes) == size.entries


@pytest.mark.parametrize("size", [Size(3, 10), Size(7, 300), Size(30, 2000)], ids=str)
def test_the_law_is_the_same_at_every_size(tmp_path: Path, size: Size) -> None:
    config = loaded(tmp_path, size)
    policy = compile_policy(config.bundle, config.regions)
    events = compile_events(EventList(), policy)
    for client in traffic.TRAFFIC["sized"]:
        evidence = [Evidence(Source.GEOIP, client.country, True)]
        if client.residency is not None:
            evidence.insert(0, Evidence(Source.HEADER, client.residency, True))
        classes = {"personal", *([client.data_class] if client.data_class else [])}
        law = decide(Facts(tuple(evidence), tuple(sorted(classes))), policy, events, time.time_ns() // 1000)
        expected = {region for region in config.regions if sizes.copied_from(region) in client.legal}
        assert set(law.legal) == expected != set(), client


def test_a_size_has_a_least() -> None:
    for regions, entries in ((2, 10), (3, 9)):
        with pytest.raises(ValueError, match="at least"):
            Size(regions, entries)


def test_copies_tell_what_they_are_copies_of() -> None:
    ids = sizes.region_ids(300)
    assert len(set(ids)) == 300
    assert Counter(map(sizes.copied_from, ids)) == dict.fromkeys(ids[:5], 60)


def test_a_record_is_held_against_the_law_of_what_its_region_is_a_copy_of() -> None:
    def record(header: str | None, region: str) -> dict[str, Any]:
        evidence = [{"src": "header", "val": header}] if header else []
        evidence.append({"src": "geoip", "val": "DE"})
        return {"jur": {"evidence": evidence}, "class": ["personal"], "out": {"action": "route", "r": region}}

    count = check.LogCount()
    for header, region in ((None, "eu-west-1-x0006"), ("DE-0AB", "eu-west-1"), (None, "us-east-1-x0007")):
        count.add(alone.as_of_five_regions(record(header, region)), 1)
    assert (count.routed["eu-west-1"], count.illegal) == (2, 1)
    assert (
        alone.as_of_five_regions(record("FR", "eu-west-1"))["jur"]["evidence"] == record("FR", "x")["jur"]["evidence"]
    )


def log(routed: int, refused: int = 0, **more: Any) -> check.LogCount:
    return check.LogCount(Counter({"a": routed}), Counter({"no": refused}), **more)


def test_a_worker_s_answers_are_held_against_its_records() -> None:
    refused = replace(LOAD, refused=100)
    assert alone.faults_of(log(100, 100), [LOAD], [refused]) == ()
    assert alone.faults_of(log(100 + alone.IN_FLIGHT), [LOAD]) == (), "what was cut off"
    for faulty, lawful, unlawful in (
        (log(99), [LOAD], []),
        (log(101 + alone.IN_FLIGHT), [LOAD], []),
        (log(100, illegal=1), [LOAD], []),
        (log(100, over_refused=1), [LOAD], []),
        (log(100), [replace(LOAD, failed=1)], []),
        (log(99, 1), [replace(LOAD, refused=1)], []),
        (log(100), [], [LOAD]),
        (log(100, 99), [LOAD], [refused]),
    ):
        assert len(alone.faults_of(faulty, lawful, unlawful)) == 1


def test_growth_is_the_dearest_of_all_by_the_smallest() -> None:
    assert scaling.growth([10.0, 12.0, 11.0]) == 1.2
    assert scaling.growth([10.0, 9.0]) == 1.0
    assert scaling.growth([0.0, 9.0]) == 0.0


def test_all_sizes_together_give_growths_and_curves() -> None:
    every = dict.fromkeys((*scaling.BY_REGIONS, *scaling.BY_ENTRIES))
    costs = {
        size: scaling.Cost(10.0 + size.regions / 100, 1.0 + size.entries / 10_000, 1500.0, 50.0, ()) for size in every
    }
    costs[Size(300, 100)] = replace(costs[Size(300, 100)], faults=("1 wrong",))
    told = scaling.summed_up(costs)
    assert told.figures["cpu_growth_by_regions"] == pytest.approx(13 / 10.03, abs=0.001)
    assert told.figures["p50_growth_by_regions"] == 1.0
    assert told.figures["p50_growth_by_entries"] == pytest.approx(2.0 / 1.001, abs=0.001)
    assert [x for x, _ in told.curves["cpu_us_by_regions"].points] == [3, 10, 30, 100, 300]
    assert [x for x, _ in told.curves["cpu_us_by_entries"].points] == [10, 100, 1000, 10_000]
    assert len(told.faults) == 1
    assert "300" in told.faults[0]


@pytest.mark.parametrize("kind", flood.KINDS, ids=lambda kind: kind.name)
def test_a_flood_never_repeats_what_is_remembered(kind: flood.Kind) -> None:
    requests = kind.requests()
    if kind.name == "place":
        said = {(one.headers["x-data-residency"]) for one in requests}
        assert len(said) == len(requests) > max(limits.REMEMBERED_FACTS_MAX, limits.REMEMBERED_MESSAGES_MAX)
    else:
        assert all(sum(streams.MARKER in value for value in one.headers.values()) == 1 for one in requests)
    asked = ext_proc_pb2.ProcessingRequest.FromString(load.question(requests[0], Via.EXT_PROC))
    told = {one.key: one.raw_value.decode() for one in asked.request_headers.headers.headers}
    own = {name: value for name, value in requests[0].headers.items() if name != "x-forwarded-for"}
    assert own.items() <= told.items()


def test_a_flood_s_places_are_no_other_law() -> None:
    places = next(kind for kind in flood.KINDS if kind.name == "place").requests()
    with_country = {one.address: one.headers["x-data-residency"][:2] for one in places[:24]}
    database = GeoDatabase.open()
    assert all(database.lookup(address).country == country for address, country in with_country.items())
    database.close()


def test_a_flood_is_told_beside_what_repeats() -> None:
    def taken(cpu_us: float, memory_mib: float) -> flood.Taken:
        return flood.Taken(LOAD, cpu_us, memory_mib)

    told = flood.figures_of(taken(10.0, 50.0), {"model": taken(110.0, 90.0)}, taken(12.0, 88.0))
    assert told == {
        "repeating_cpu_us": 11.0, "model_cpu_us": 110.0, "model_extra_cpu_us": 99.0, "memory_before_mib": 50.0,
        "memory_mib": 90.0, "repeating_after_to_before": 1.2,
    }  # fmt: skip


def test_memory_is_flat_by_its_end_against_where_it_had_settled() -> None:
    points = [(0.0, 50.0), (10.0, 80.0), (30.0, 100.0), (60.0, 130.0), (100.0, 110.0)]
    assert soak.figures_of(points) == {"memory_mib": 130.0, "memory_at_start_mib": 50.0, "memory_growth": 1.1}


def test_a_soak_tells_what_was_lost() -> None:
    assert soak.faults_of([LOAD, LOAD], 200, 203) == ()
    assert soak.faults_of([LOAD], 200, 100) == ("100 requests not asked",)
    assert soak.faults_of([LOAD, LOAD], 200, 199) == ("1 answers without a record",)
    assert len(soak.faults_of([LOAD], 100, 1000)) == 1
    assert len(soak.faults_of([replace(LOAD, refused=1, failed=1)], 100, 100)) == 2


def test_only_closed_segments_are_removed(tmp_path: Path) -> None:
    for first in (0, 100, 2000):
        (tmp_path / f"{first:020d}.jsonl").touch()
    (tmp_path / "lock").touch()
    assert soak.remove_closed(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{2000:020d}.jsonl", "lock"]
    assert soak.remove_closed(tmp_path) == 0


def test_a_soak_comes_from_one_country_whatever_the_address() -> None:
    database = GeoDatabase.open()
    for request in soak.requests_from_anywhere():
        assert request.address.count(streams.ADDRESS_MARKER) == 1
        for number in (0, 1, soak.ADDRESSES - 1, (1 << 32) - 1):
            host = request.address.replace(streams.ADDRESS_MARKER, f"{number >> 16:04x}:{number & 0xFFFF:04x}")
            assert database.lookup(host).country == "DE"
    database.close()


def test_a_process_s_resident_set_is_read() -> None:
    pid = int(Path("/proc/self").resolve().name)
    kept = bytearray(b"\1" * (32 << 20))
    with_it = soak.resident_bytes(pid)
    assert with_it > len(kept)


def test_an_idle_stream_asks_as_grpc_does() -> None:
    named = {str(name, "ascii"): str(value, "ascii") for name, value in Decoder(16_384).decode(idle.fields(WATCH))}
    assert named[":path"] == idle.WATCH == WATCH
    assert (named[":method"], named["content-type"], named["te"]) == ("POST", "application/grpc", "trailers")
    assert idle.frame(0, 1, 5, b"abc") == b"\0\0\3\0\1\0\0\0\5abc"
    assert idle.STREAMS // idle.WATCHING <= WATCHERS_MAX


def test_idle_streams_are_told_as_what_they_slow() -> None:
    told = idle.figures_of({False: [(10e-6, 1.0), (12e-6, 1.0)], True: [(11e-6, 1.0), (11e-6, 2.0)]},
                           {False: 1000, True: 21_000}, 10)  # fmt: skip
    assert told == {
        "cpu_slowdown": 1.0, "p50_slowdown": 1.5, "cpu_us": 11.0, "cpu_with_idle_us": 11.0,
        "memory_a_stream_bytes": 2000.0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", cold.KINDS)
def test_facts_of_a_cold_decision_are_all_distinct(kind: str) -> None:
    assert len(set(cold.distinct_facts(kind, 2000))) == 2000


@pytest.mark.slow
def test_a_cold_decision_is_measured_for_each_kind() -> None:
    told = cold.measure_cold(Settings(), "auto", size=Size(10, 30), count=20)
    kinds = {f"{kind}_us" for kind in cold.KINDS}
    assert set(told.figures) == {*kinds, "first_of_all_us", "worst_us", "law_us", "remembered_us"}
    assert told.figures["worst_us"] == max(told.figures[kind] for kind in kinds) > 0
    assert 0 < told.figures["remembered_us"] < told.figures["worst_us"]


def test_reading_and_compiling_are_measured_apart() -> None:
    told = compiling.measure_compiling(Settings(), "auto", size=Size(10, 30))
    assert set(told.figures) == {"read_s", "compile_ms", "whole_s"}
    assert told.figures["whole_s"] >= told.figures["read_s"] > 0


def test_the_experiments_can_be_asked_for_by_name() -> None:
    assert {"scaling", "cold", "compile", "flood", "idle-streams", "soak"} <= EXPERIMENT_BY_NAME.keys()
    assert not EXPERIMENT_BY_NAME["soak"].by_default, "it takes minutes"


def test_without_law_nothing_is_held_against_it() -> None:
    features = Features(parse_features("law=off"))
    for name in ("scaling", "flood", "idle-streams", "soak"):
        with pytest.raises(Unavailable, match="law"):
            EXPERIMENT_BY_NAME[name].need(Settings(features=features), "auto")
