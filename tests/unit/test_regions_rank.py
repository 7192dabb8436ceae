"""Ranking: inside the legal set alone, up before down, near before far, ties by the seed, the same everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.policy.model import Evidence, Source
from borderpost.regions.config import RankingSpec
from borderpost.regions.rank import Candidate, LatencyTable, Ranking, areas_of, rank
from borderpost.regions.signals import RegionSignal, Signals, State, settle_latency_us
from borderpost_base.errors import BorderpostError

REGIONS = ("eu-1", "eu-2", "sg-1", "us-1", "us-2")
GROUPS = {"EU": frozenset({"DE", "FR", "ES-CN"}), "WIDE": frozenset({"DE", "FR", "CH"}), "QUEBEC": frozenset({"CA-QC"})}


def table_of(latency_ms: Mapping[str, Mapping[str, float]] | None = None, **more: Any) -> LatencyTable:
    spec = RankingSpec.model_validate({"latency_ms": latency_ms or {}, **more})
    return LatencyTable.compile(spec, REGIONS, GROUPS)


def signals_of(seed: str = "0" * 16, **regions: tuple[str, int | None]) -> Signals:
    told = {name.replace("_", "-"): RegionSignal(State(state), us) for name, (state, us) in regions.items()}
    return Signals(told, seed, 1_790_000_000_000_000)


NOTHING = signals_of()


def names(ranking: Ranking) -> list[str]:
    return [candidate.region for candidate in ranking.order]


def test_nearest_by_table_first() -> None:
    table = table_of({"DE": {"eu-1": 40, "eu-2": 8, "us-1": 100}})
    ranking = rank(("eu-1", "eu-2", "us-1"), ("DE",), table, NOTHING)
    assert names(ranking) == ["eu-2", "eu-1", "us-1"]
    assert ranking.chosen == "eu-2"
    assert ranking.order[0] == Candidate("eu-2", 8000, "table")
    assert ranking.down == ()


def test_only_legal_regions_are_ranked() -> None:
    table = table_of({"*": {"eu-1": 40, "eu-2": 8, "us-1": 1}})
    assert names(rank(("eu-1",), ("DE",), table, NOTHING)) == ["eu-1"]
    assert rank((), ("DE",), table, NOTHING) == Ranking(None, (), ())
    with pytest.raises(KeyError):
        rank(("eu-1", "unheard-of"), ("DE",), table, NOTHING)


def test_down_is_never_chosen_and_all_down_chooses_none() -> None:
    table = table_of({"*": {"eu-1": 1, "eu-2": 100}})
    one_down = rank(("eu-1", "eu-2"), ("DE",), table, signals_of(eu_1=("down", 900)))
    assert (one_down.chosen, names(one_down), one_down.down) == ("eu-2", ["eu-2"], ("eu-1",))
    all_down = rank(("eu-1", "eu-2"), ("DE",), table, signals_of(eu_1=("down", None), eu_2=("down", None)))
    assert all_down == Ranking(None, (), ("eu-1", "eu-2"))


def test_unknown_counts_as_up() -> None:
    table = table_of({"*": {"eu-1": 1, "eu-2": 100}})
    assert rank(("eu-1", "eu-2"), (), table, signals_of(eu_1=("unknown", None), eu_2=("up", 5))).chosen == "eu-1"


def test_most_specific_area_counts_for_each_region() -> None:
    table = table_of(
        {
            "*": {"eu-1": 500, "eu-2": 500, "sg-1": 500, "us-1": 500, "us-2": 500},
            "EU": {"eu-1": 300, "eu-2": 300, "sg-1": 300, "us-1": 300},
            "WIDE": {"eu-1": 200, "us-2": 200},
            "DE": {"eu-1": 30, "eu-2": 30, "sg-1": 30},
            "DE-HE": {"eu-1": 3, "eu-2": 3},
        }
    )
    figures = {region: table.latency_us(region, ("DE-HE",)) for region in REGIONS}
    assert figures == {"eu-1": 3000, "eu-2": 3000, "sg-1": 30_000, "us-1": 300_000, "us-2": 200_000}
    assert table.latency_us("eu-1", ("FR",)) == 300_000, "groups in the order of the file"
    assert table.latency_us("eu-1", ("CH-GE",)) == 200_000
    assert table.latency_us("eu-1", ("JP",)) == table.latency_us("eu-1", ()) == 500_000
    assert table.latency_us("us-1", ("ES-CN",)) == 300_000, "a group may hold a part of a country"
    assert table.latency_us("us-1", ("ES",)) == 500_000
    ranking = rank(REGIONS, ("DE-HE",), table, NOTHING)
    assert {one.region: one.latency_us for one in ranking.order} == figures


def test_first_area_that_has_a_figure_counts() -> None:
    table = table_of({"FR": {"eu-1": 1}, "DE": {"eu-1": 2, "eu-2": 2}, "*": {"eu-1": 3, "eu-2": 3, "us-1": 3}})
    figures = [table.latency_us(region, ("FR", "DE")) for region in ("eu-1", "eu-2", "us-1", "us-2")]
    assert figures == [1000, 2000, 3000, None]


def test_areas_begin_with_where_the_packets_come_from() -> None:
    evidence = (Evidence(Source.TOKEN, "DE"), Evidence(Source.HEADER, "FR"), Evidence(Source.GEOIP, "US"))
    assert areas_of(evidence) == ("US", "DE", "FR")
    assert areas_of((Evidence(Source.TOKEN, "DE"), Evidence(Source.GEOIP, "DE"))) == ("DE",)
    assert areas_of(()) == ()


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        (["table", "probe"], [("eu-1", 10_000, "table"), ("eu-2", 50_000, "probe"), ("us-1", None, None)]),
        (["probe", "table"], [("eu-2", 50_000, "probe"), ("eu-1", 90_000, "probe"), ("us-1", None, None)]),
        (["table"], [("eu-1", 10_000, "table")]),
        (["probe"], [("eu-2", 50_000, "probe"), ("eu-1", 90_000, "probe"), ("us-1", None, None)]),
    ],
)
def test_source_of_the_figure(prefer: list[str], expected: list[tuple[str, int | None, str | None]]) -> None:
    table = table_of({"*": {"eu-1": 10}}, prefer=prefer)
    told = signals_of(eu_1=("up", 90_000), eu_2=("up", 50_000))
    assert list(rank(("eu-1", "eu-2", "us-1"), (), table, told).order)[: len(expected)] == expected


def test_ties_are_dealt_by_the_seed_and_by_nothing_else() -> None:
    table = table_of({"*": {"eu-1": 10, "eu-2": 12, "us-1": 15, "us-2": 15.001}}, tie_margin_ms=5)
    firsts = set()
    for number in range(40):
        seed = f"{number:016x}"
        ranking = rank(("eu-1", "eu-2", "us-1", "us-2"), (), table, signals_of(seed))
        tied = sorted(("eu-1", "eu-2", "us-1"), key=lambda r: hashlib.sha256((seed + r).encode()).digest())
        assert names(ranking) == [*tied, "us-2"]
        firsts.add(ranking.chosen)
    assert firsts == {"eu-1", "eu-2", "us-1"}


def test_a_chain_of_small_steps_does_not_tie_near_and_far() -> None:
    table = table_of({"*": {"eu-1": 0, "eu-2": 4, "us-1": 8, "us-2": 12}}, tie_margin_ms=5)
    for number in range(20):
        order = names(rank(("eu-1", "eu-2", "us-1", "us-2"), (), table, signals_of(f"{number:016x}")))
        assert set(order[:2]) == {"eu-1", "eu-2"}


def test_regions_without_figures_come_last_and_tie() -> None:
    table = table_of({"*": {"eu-1": 60_000}})
    assert rank(("eu-1", "eu-2", "us-1"), (), table, NOTHING).chosen == "eu-1"
    chosen = {rank(("eu-2", "us-1"), (), table, signals_of(f"{n:016x}")).chosen for n in range(20)}
    assert chosen == {"eu-2", "us-1"}


def naive(legal: tuple[str, ...], areas: tuple[str, ...], table: LatencyTable, signals: Signals) -> Ranking:
    """A second, slow reading of the module's rules."""
    up = [region for region in legal if signals.of(region).state is not State.DOWN]
    rows = []
    for region in up:
        figures = {"table": table.latency_us(region, areas), "probe": signals.of(region).latency_us}
        source = next((source for source in table.prefer if figures[source] is not None), None)
        rows.append(Candidate(region, figures[source] if source else None, source))
    far = max((row.latency_us or 0 for row in rows), default=0) + table.tie_margin_us + 1
    left, order = rows, []
    while left:
        best = min(far if row.latency_us is None else row.latency_us for row in left)
        band = [
            row for row in left if (far if row.latency_us is None else row.latency_us) <= best + table.tie_margin_us
        ]
        order += sorted(band, key=lambda row: hashlib.sha256((signals.seed + row.region).encode()).digest())
        left = [row for row in left if row not in band]
    down = tuple(region for region in legal if region not in up)
    return Ranking(order[0].region if order else None, tuple(order), down)


LATENCY_MS = st.sampled_from([0, 1, 4, 5, 5.001, 9, 10, 15, 200])
ROWS = st.dictionaries(
    st.sampled_from(["*", "EU", "WIDE", "QUEBEC", "DE", "CA", "CA-QC"]),
    st.dictionaries(st.sampled_from(REGIONS), LATENCY_MS),
)
SIGNAL = st.builds(RegionSignal, st.sampled_from(State), st.none() | st.sampled_from([100, 4000, 5000, 5001, 9000]))
AREAS = st.lists(st.sampled_from(["DE", "CA", "CA-QC", "CH", "US"]), max_size=2, unique=True).map(tuple)


@given(
    ROWS,
    st.permutations(["table", "probe"]),
    st.sampled_from([0, 1, 5, 1000]),
    st.dictionaries(st.sampled_from(REGIONS), SIGNAL),
    st.sets(st.sampled_from(REGIONS)),
    AREAS,
    st.integers(0, 50),
)
@settings(max_examples=400, deadline=None)
def test_ranking_agrees_with_a_naive_reading(
    rows: Any, prefer: Any, margin: float, told: Any, legal_set: Any, areas: Any, seed: int
) -> None:
    table = table_of(rows, prefer=prefer, tie_margin_ms=margin)
    signals = Signals(told, f"{seed:016x}", 1)
    legal = tuple(sorted(legal_set))
    ranking = rank(legal, areas, table, signals)
    assert ranking == naive(legal, areas, table, signals)
    assert rank(legal, areas, table, signals) == ranking, "remembered"
    again = LatencyTable.from_canonical(table.canonical())
    assert rank(legal, areas, again, Signals.from_canonical(signals.canonical())) == ranking, "replayed"
    assert {*names(ranking), *ranking.down} == legal_set


def test_new_snapshot_forgets_the_old_one() -> None:
    table = table_of({"*": {"eu-1": 1, "eu-2": 100}})
    assert rank(("eu-1", "eu-2"), (), table, NOTHING).chosen == "eu-1"
    assert rank(("eu-1", "eu-2"), (), table, signals_of(eu_1=("down", None))).chosen == "eu-2"
    assert rank(("eu-1", "eu-2"), (), table, NOTHING).chosen == "eu-1"


_PROGRAM = """
from borderpost.regions.config import RankingSpec
from borderpost.regions.rank import LatencyTable, rank
from borderpost.regions.signals import Signals
regions = [f"r{i}" for i in range(60)]
spec = RankingSpec(latency_ms={"EU": {r: i % 7 for i, r in enumerate(regions)}})
table = LatencyTable.compile(spec, set(regions), {"EU": frozenset({"DE", "FR"})})
print(table.digest, rank(tuple(sorted(regions)), ("DE",), table, Signals.empty("00000000000000ff", 1)))
"""


@pytest.mark.slow
def test_order_does_not_depend_on_the_hash_seed() -> None:
    outputs = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_signals_have_one_encoding() -> None:
    signals = signals_of("0123456789abcdef", us_1=("down", None), eu_1=("up", 8100))
    told: dict[str, Any] = {
        "kind": "signals",
        "v": 1,
        "seed": "0123456789abcdef",
        "taken_at_us": 1_790_000_000_000_000,
        "regions": {"eu-1": {"state": "up", "latency_us": 8100}, "us-1": {"state": "down"}},
    }
    assert signals.canonical() == rfc8785.dumps(told)
    assert signals.digest == "sha256:" + hashlib.sha256(signals.canonical()).hexdigest()
    assert Signals.from_canonical(signals.canonical()) == signals
    assert signals.of("nobody") == RegionSignal(State.UNKNOWN)


def test_table_has_one_encoding() -> None:
    table = table_of({"EU": {"eu-1": 20.5}, "DE": {"eu-2": 1}})
    assert table.canonical() == rfc8785.dumps(
        {
            "kind": "latency-table",
            "v": 1,
            "regions": sorted(REGIONS),
            "prefer": ["table", "probe"],
            "tie_margin_us": 5000,
            "rows": [{"area": "EU", "latency_us": {"eu-1": 20_500}}, {"area": "DE", "latency_us": {"eu-2": 1000}}],
            "groups": {"EU": sorted(GROUPS["EU"])},
        }
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'{"regions":{},"seed":"x","taken_at_us":1}', NOTHING.canonical() + b" ",
     NOTHING.canonical().replace(b'"v":1', b'"v":2'), NOTHING.canonical().replace(b"{}", b'{"a":{"state":"odd"}}'),
     NOTHING.canonical().replace(b"{}", b'{"a":[]}')],
)  # fmt: skip
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    for read in (Signals.from_canonical, LatencyTable.from_canonical):
        with pytest.raises(BorderpostError) as caught:
            read(data)
        assert caught.value.code == "BP0705"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(BorderpostError):
        Signals.from_canonical(data)


@pytest.mark.parametrize("seed", ["", "0" * 15, "0" * 17, "G" * 16, "A" * 16])
def test_seed_has_one_form(seed: str) -> None:
    with pytest.raises(ValueError):
        Signals.empty(seed, 1)


def test_snapshot_cannot_be_changed() -> None:
    told = {"eu-1": RegionSignal(State.UP)}
    signals = Signals(told, "0" * 16, 1)
    told["eu-1"] = RegionSignal(State.DOWN)
    assert signals.of("eu-1").state is State.UP
    with pytest.raises(TypeError):
        signals.regions["eu-1"] = RegionSignal(State.DOWN)  # type: ignore[index]


@pytest.mark.parametrize(
    ("measured_us", "published_us", "expected_us"),
    [(8149, None, 8100), (8150, None, 8200), (30, None, 100), (8500, 8100, 8100), (9100, 8100, 8100),
     (9200, 8100, 9200), (7000, 8100, 7000), (600, 100, 100), (601, 100, 600),
     (90_000, 100_000, 100_000), (87_000, 100_000, 87_000)],
)  # fmt: skip
def test_latency_settles(measured_us: int, published_us: int | None, expected_us: int) -> None:
    assert settle_latency_us(measured_us, published_us) == expected_us
