"""Counters in memory: two steps within a request, bounds under hostile keys, expiry, newer files."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_ratelimit.algorithms.counter import HUNGER, Room, Share
from borderpost_ratelimit.algorithms.making import new_counter
from borderpost_ratelimit.charges import Charge, Phase, Store, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Limit, Unit
from borderpost_ratelimit.stores.expiry import SLOT_BITS, Expiry
from borderpost_ratelimit.stores.memory import DROPPED_A_TURN, MemoryStore
from support.ratelimit_models import ModelStore

T0_US = 1_800_000_000 * SECOND_US
CONDITIONAL = [one for one in Algorithm if one is not Algorithm.FIXED_WINDOW]


def a_limit(algorithm: Algorithm, amount: int, window_s: int = 1, *, burst: int = 0, binding: bool = True) -> Limit:
    return Limit(
        "d", algorithm, amount, Unit.SECOND, window_s * SECOND_US, burst=burst or amount, binding=binding
    )  # fmt: skip


def take(store: Store, charges: Sequence[Charge], now_us: int = T0_US) -> Verdicts:
    """Return the verdicts of one request."""
    told: list[Sequence[Verdicts | Unanswered]] = []
    store.take([tuple(charges)], now_us, told.append)
    [[verdicts]] = told
    assert not isinstance(verdicts, Unanswered)
    return verdicts


def one(store: Store, limit: Limit, key: str, now_us: int = T0_US, hits: int = 1, request: str = "") -> Verdict:
    return take(store, [Charge(limit, key, hits, Phase.BEGIN, request)], now_us)[0]


LIMITS = {
    **{f"{a.value}": a_limit(a, 5) for a in Algorithm},
    **{f"{a.value} of two seconds": a_limit(a, 3, 2, burst=4) for a in Algorithm},
    **{f"{a.value} in shadow": a_limit(a, 2, binding=False) for a in Algorithm},
    "nothing": a_limit(Algorithm.SLIDING_WINDOW, 0, 7),
}
charges = st.builds(
    lambda key, hits, phase, request: Charge(LIMITS[key], key, hits, phase, request),
    st.sampled_from(sorted(LIMITS)),
    st.sampled_from([1, 1, 1, 1, 2, 3, 0, -1]),
    st.sampled_from([Phase.BEGIN, Phase.BEGIN, Phase.BEGIN, Phase.DONE, Phase.LOOK]),
    st.sampled_from(["", "a", "b"]),
)
requests = st.lists(
    st.tuples(st.sampled_from([0, 1, 90_000, 333_334, 1_000_000, 2_500_000]), st.lists(charges, max_size=4)),
    min_size=1,
    max_size=40,
)


@given(requests)
def test_streams_of_requests_are_counted_as_by_a_model_that_keeps_everything(
    stream: list[tuple[int, list[Charge]]],
) -> None:
    store, model, now_us = MemoryStore(1000), ModelStore(), T0_US
    for gone_us, request in stream:
        now_us += gone_us
        told = [(verdict.over, verdict.used) for verdict in take(store, request, now_us)]
        assert told == model.take(request, now_us)


def test_it_answers_a_batch_in_order_at_once() -> None:
    store = MemoryStore(10)
    limit = a_limit(Algorithm.FIXED_WINDOW, 2)
    told: list[Sequence[Verdicts | Unanswered]] = []
    charge = Charge(limit, "k", 1)
    store.take([(charge,), (), (charge, charge)], T0_US, told.append)
    assert told == [
        [
            (Verdict(False, 1, 1, SECOND_US),),
            (),
            (Verdict(False, 2, 0, SECOND_US), Verdict(True, 3, 0, SECOND_US, SECOND_US)),
        ]
    ]


@pytest.mark.parametrize("algorithm", CONDITIONAL)
def test_a_refused_request_uses_up_nothing_but_fixed_windows(algorithm: Algorithm) -> None:
    store = MemoryStore(10)
    mine, full = a_limit(algorithm, 2), a_limit(Algorithm.FIXED_WINDOW, 0)
    both = [Charge(mine, "mine", 1, Phase.BEGIN, "r"), Charge(full, "full", 1)]
    assert [(v.over, v.used) for v in take(store, both)] == [(False, 0), (True, 1)]
    assert [(v.over, v.used) for v in take(store, both[::-1])] == [(True, 2), (False, 0)]
    shadow = [both[0], Charge(a_limit(Algorithm.FIXED_WINDOW, 0, binding=False), "shadow", 1)]
    assert [(v.over, v.used) for v in take(store, shadow)] == [(False, 1), (True, 1)]


@pytest.mark.parametrize("algorithm", CONDITIONAL)
def test_two_charges_of_one_request_to_one_counter_have_to_fit_together(algorithm: Algorithm) -> None:
    store = MemoryStore(10)
    charge = Charge(a_limit(algorithm, 3), "k", 2, Phase.BEGIN, "r")
    verdicts = take(store, [charge, charge])
    assert [(v.over, v.used) for v in verdicts] == [(False, 0), (True, 0)]
    assert algorithm is not Algorithm.SLIDING_WINDOW or verdicts[1].retry_us == 1, "the second by itself"
    third = Charge(charge.limit, "k", 1, Phase.BEGIN, "r")
    assert [(v.over, v.used) for v in take(store, [third] * 4)] == [(False, 0)] * 3 + [(True, 0)]
    assert [v.used for v in take(store, [third] * 3)] == [1, 2, 3]
    back = Charge(charge.limit, "k", -3, Phase.BEGIN, "r")
    assert [v.over for v in take(store, [back, third])] == [False, True], "what is given back makes room afterwards"
    store = MemoryStore(10)
    shadow = Charge(a_limit(algorithm, 3, binding=False), "k", 2, Phase.BEGIN, "r")
    assert [(v.over, v.used) for v in take(store, [shadow, shadow])] == [(False, 2), (True, 2)]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_looking_charges_nothing_and_makes_nothing(algorithm: Algorithm) -> None:
    store, limit = MemoryStore(10), a_limit(algorithm, 1)
    look = Charge(limit, "k", 0, Phase.LOOK)
    assert take(store, [look])[0][:3] == (False, 0, 1)
    assert len(store) == 0
    one(store, limit, "k")
    assert take(store, [look])[0][:3] == (True, 1, 0)
    assert take(store, [look])[0][:3] == (True, 1, 0)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_ends_of_what_nobody_began_keep_nothing_where_they_charge_nothing(algorithm: Algorithm) -> None:
    store, limit = MemoryStore(10), a_limit(algorithm, 1)
    assert take(store, [Charge(limit, "k", 0, Phase.DONE, "r")])[0][:3] == (False, 0, 1)
    assert len(store) == 0
    verdict = take(store, [Charge(limit, "k", 5, Phase.DONE, "r")])[0]
    assert verdict[:3] == ((False, 0, 1) if algorithm is Algorithm.CONCURRENCY else (False, 5, 0))
    assert verdict.reset_us in (0, SECOND_US, 2 * SECOND_US, 5 * SECOND_US)
    assert len(store) == (algorithm is not Algorithm.CONCURRENCY)


def flood(store: MemoryStore, limit: Limit, keys: int, now_us: int = T0_US, *, first: int = 0) -> int:
    """Charge as many new keys; return how many pass."""
    batch = [(Charge(limit, f"key {at}", 1, Phase.BEGIN, f"r{at}"),) for at in range(first, first + keys)]
    told: list[Sequence[Verdicts | Unanswered]] = []
    store.take(batch, now_us, told.append)
    return sum(not verdicts[0].over for verdicts in told[0] if not isinstance(verdicts, Unanswered))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_flood_of_keys_shares_one_counter_where_there_is_no_place(algorithm: Algorithm) -> None:
    store, limit = MemoryStore(900), a_limit(algorithm, 7, 60)
    through = flood(store, limit, 2000)
    own = 900 * HUNGER // (HUNGER + 1)
    assert len(store) == own
    assert store.overflowed == 2000 - own
    held = algorithm in (Algorithm.CONCURRENCY, Algorithm.BUDGET)
    assert through == own + (0 if held else 7), "leases and reservations need places, too"
    other = a_limit(algorithm, 3, 60)
    assert not one(store, other, "of another rule").over
    assert store.overflowed == 2000 - own, "other rules keep a part of the room"


@pytest.mark.parametrize("algorithm", [Algorithm.CONCURRENCY, Algorithm.BUDGET])
def test_a_limit_whose_requests_find_no_place_is_over_for_as_long(algorithm: Algorithm) -> None:
    store, limit = MemoryStore(9), a_limit(algorithm, 100, 60)
    for at in range(8):
        assert not one(store, limit, "k", request=f"r{at}").over
    assert one(store, limit, "k", request="r8").over
    assert one(store, limit, "k", hits=0).over is (algorithm is Algorithm.CONCURRENCY)
    take(store, [Charge(limit, "k", 1, Phase.DONE, "r3")])
    assert not one(store, limit, "k", request="r8").over


def crowded(limit: Limit) -> MemoryStore:
    """Return a store in which the limit gets no place for another second."""
    store = MemoryStore(9)
    short = Limit("d", Algorithm.FIXED_WINDOW, 1, Unit.SECOND, SECOND_US)
    for at in range(10):
        one(store, short, f"short {at}")
    assert not one(store, limit, "the last place").over
    return store


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_key_that_was_counted_together_goes_on_with_that(algorithm: Algorithm) -> None:
    limit = a_limit(algorithm, 3, 60)
    store = crowded(limit)
    for request in ("a", "b"):
        assert not one(store, limit, "mine", request=request).over
    assert (store.shared, len(store)) == (2, 9)
    for now_us in (T0_US + 2 * SECOND_US, T0_US + 3 * SECOND_US):
        take(store, [], now_us)
    assert len(store) == 1, "there is room again"
    later_us = T0_US + 3 * SECOND_US
    assert one(store, limit, "mine", later_us).used == 3
    assert one(store, limit, "mine", later_us).over
    assert one(store, limit, "another", later_us).used == 3
    long_after_us = T0_US + 1200 * SECOND_US
    assert not one(store, limit, "third", long_after_us).over
    take(store, [], long_after_us)
    assert (store.shared, len(store)) == (0, 1)


@pytest.mark.parametrize("algorithm", [Algorithm.CONCURRENCY, Algorithm.BUDGET])
def test_leases_and_reservations_of_a_shared_counter_end_there(algorithm: Algorithm) -> None:
    limit = a_limit(algorithm, 3, 60)
    store = crowded(limit)
    ended = [Charge(limit, "mine", 0, Phase.DONE, "a")]
    assert one(store, limit, "mine", hits=3, request="a").used == 3
    assert one(store, limit, "another", request="b").over
    assert take(store, ended)[0].used == 0
    assert one(store, limit, "mine", hits=2, request="a").used == 2
    for now_us in (T0_US + 2 * SECOND_US, T0_US + 3 * SECOND_US):
        take(store, [], now_us)
    assert one(store, limit, "mine", T0_US + 3 * SECOND_US, request="c").used == 3, "two may be its own"
    assert take(store, ended, T0_US + 3 * SECOND_US)[0].used == 0, "told of the shared counter, which held it"
    assert one(store, limit, "another", T0_US + 3 * SECOND_US, hits=3).used == 3


@pytest.mark.parametrize("algorithm", [Algorithm.TOKEN_BUCKET, Algorithm.BUDGET])
def test_a_key_with_its_own_counter_ends_there_while_others_share_one(algorithm: Algorithm) -> None:
    limit = a_limit(algorithm, 10, 60)
    store = MemoryStore(9)
    one(store, limit, "own", hits=4, request="own")
    short = Limit("d", Algorithm.FIXED_WINDOW, 1, Unit.SECOND, SECOND_US)
    for at in range(10):
        one(store, short, f"short {at}")
    assert one(store, limit, "other", hits=5, request="other").used == 5
    ended = take(store, [Charge(limit, "own", 1, Phase.DONE, "own")])[0]
    assert ended.used == (1 if algorithm is Algorithm.BUDGET else 5)
    assert take(store, [Charge(limit, "third", 1, Phase.LOOK)])[0].used == 5, "what a new key would meet"
    assert take(store, [Charge(limit, "own", 1, Phase.DONE, "nobody")])[0].used == ended.used + 1


def test_a_shared_counter_may_outlive_the_counters_of_its_limit() -> None:
    limit = a_limit(Algorithm.TOKEN_BUCKET, 60, 60)
    store = crowded(limit)
    late_us = T0_US + 50 * SECOND_US
    for at in range(10):
        one(store, Limit("d", Algorithm.FIXED_WINDOW, 1, Unit.HOUR, 3600 * SECOND_US), f"hour {at}", late_us)
    assert one(store, limit, "another", late_us, hits=30).used == 30
    take(store, [], T0_US + 61 * SECOND_US)
    assert one(store, limit, "another", T0_US + 61 * SECOND_US).used == 20
    for turn in range(4):
        take(store, [], T0_US + (100 + turn) * SECOND_US)
    assert not one(store, limit, "another", T0_US + 200 * SECOND_US).over


def test_there_are_no_more_shared_counters_than_places() -> None:
    store = MemoryStore(1)
    verdicts = [one(store, a_limit(Algorithm.SLIDING_WINDOW, amount, 60), f"{amount}") for amount in range(1, 9)]
    assert [verdict.over for verdict in verdicts] == [False, False] + [True] * 6
    assert (len(store), store.shared, len(store._shares)) == (1, 1, 2)


def test_equal_limits_share_one_counter_and_one_count_of_places() -> None:
    store = MemoryStore(2)
    for _ in range(3):
        assert not one(store, a_limit(Algorithm.FIXED_WINDOW, 5, 60), f"key {_}").over
    assert one(store, a_limit(Algorithm.FIXED_WINDOW, 5, 60), "another").used == 2
    assert (len(store), store.shared, len(store._shares)) == (2, 1, 1)


def test_counters_are_looked_at_when_their_time_has_come_and_not_before() -> None:
    expiry, share = Expiry(), Share(a_limit(Algorithm.FIXED_WINDOW, 1), Room(9), Room(9))
    dues = [5_000_000, 1_000_000, 3_000_000, 1_000_000]
    for at, due_us in enumerate(dues):
        expiry.add(new_counter(share.limit, f"{at}", share, 0), due_us)
    found = []
    for now_us in range(0, 7_000_000, 10_000):
        while (counter := expiry.due(now_us)) is not None:
            found.append(counter.key)
            assert 0 <= now_us - dues[int(counter.key)] <= 1 << SLOT_BITS
        assert expiry.next_us > now_us
    assert found == ["3", "1", "2", "0"]


def test_what_has_run_out_is_dropped_a_few_at_a_time() -> None:
    store, limit = MemoryStore(10_000), a_limit(Algorithm.FIXED_WINDOW, 7)
    flood(store, limit, 1000, T0_US + 900_000)
    assert (store.room.free, store.holds.free) == (9000, 10_000)
    take(store, [], T0_US + SECOND_US)
    assert len(store) == 1000
    later_us = T0_US + SECOND_US + 300_000
    take(store, [], later_us)
    assert len(store) == 1000 - DROPPED_A_TURN - 2
    store.take([()] * 10, later_us, lambda _: None)
    assert len(store) == 1000 - 2 * DROPPED_A_TURN - 2 - 20
    for _ in range(14):
        take(store, [], later_us)
    assert len(store) == 0
    assert store.room.free == 10_000
    assert not store._shares


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_places_come_back_when_all_has_run_out(algorithm: Algorithm) -> None:
    store, limit = MemoryStore(300), a_limit(algorithm, 7)
    for second in range(5):
        flood(store, limit, 400, T0_US + second * SECOND_US, first=second * 400)
        assert store.room.free >= 0
    for turn in range(40):
        take(store, [], T0_US + (2000 + turn) * SECOND_US)
    assert (len(store), store.room.free, store.shared, store._shares, store._expiry._slots) == (0, 300, 0, {}, {})


def test_what_goes_on_is_kept() -> None:
    store, limit = MemoryStore(100), a_limit(Algorithm.CONCURRENCY, 3, 2)
    for second in range(10):
        one(store, limit, "k", T0_US + second * SECOND_US, request=f"r{second}")
    assert len(store) == 1
    assert one(store, limit, "k", T0_US + 9 * SECOND_US).used == 3


def test_memory_is_bounded_under_a_flood_of_keys() -> None:
    store, limit = MemoryStore(2250), a_limit(Algorithm.FIXED_WINDOW, 7, 60)
    tracemalloc.start()
    try:
        for turn in range(4):
            flood(store, limit, 2500, T0_US + turn * 40 * SECOND_US, first=turn * 2500)
            held_bytes, _ = tracemalloc.get_traced_memory()
            assert held_bytes < 2250 * 450
    finally:
        tracemalloc.stop()
    assert len(store) <= 2000


def test_what_is_dropped_needs_no_garbage_collector() -> None:
    store = MemoryStore(900)
    limits = [a_limit(algorithm, 7) for algorithm in Algorithm]
    gc.collect()
    gc.disable()
    try:
        for at, limit in enumerate(limits):
            flood(store, limit, 1000, first=at * 1000)
            for phase in (Phase.BEGIN, Phase.DONE):
                for request in ("a", "a", "a", "b"):
                    take(store, [Charge(limit, f"key {at * 1000}", 1, phase, request)])
        for turn in range(40):
            take(store, [], T0_US + (2000 + turn) * SECOND_US)
        assert (len(store), store.shared, store.room.free, store.holds.free) == (0, 0, 900, 900)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_newer_file_goes_on_with_what_was_counted() -> None:
    store = MemoryStore(10)
    one(store, a_limit(Algorithm.FIXED_WINDOW, 5), "k", hits=3)
    assert one(store, a_limit(Algorithm.FIXED_WINDOW, 9), "k").remaining == 5
    assert one(store, a_limit(Algorithm.FIXED_WINDOW, 3), "k").over
    assert take(store, [Charge(a_limit(Algorithm.FIXED_WINDOW, 20), "k", 1, Phase.DONE)])[0].remaining == 14
    assert take(store, [Charge(a_limit(Algorithm.FIXED_WINDOW, 21), "k", 1, Phase.LOOK)])[0].remaining == 15
    one(store, a_limit(Algorithm.TOKEN_BUCKET, 5), "b", hits=3)
    raised = Charge(a_limit(Algorithm.TOKEN_BUCKET, 5, burst=9), "b", 1)
    assert [verdict.remaining for verdict in take(store, [raised, raised])] == [5, 4]


def test_one_key_charged_for_two_windows_has_two_counters() -> None:
    store = MemoryStore(10)
    second, minute = a_limit(Algorithm.FIXED_WINDOW, 5), a_limit(Algorithm.FIXED_WINDOW, 5, 60)
    for used in (1, 2, 3):
        assert one(store, second, "k").used == used
        assert one(store, minute, "k").used == used
    take(store, [], T0_US + 2 * SECOND_US)
    assert one(store, minute, "k", T0_US + 2 * SECOND_US).used == 4, "also when the other's window is over"
    more = a_limit(Algorithm.FIXED_WINDOW, 9, 60)
    assert one(store, more, "k", T0_US + 2 * SECOND_US).remaining == 4


def test_it_starts_and_forgets_everything_when_closed() -> None:
    store, limit = MemoryStore(9), a_limit(Algorithm.FIXED_WINDOW, 5, 60)
    asyncio.run(store.start())
    flood(store, limit, 20)
    one(store, a_limit(Algorithm.CONCURRENCY, 1), "lease")
    asyncio.run(store.close())
    assert (store.name, len(store), store.room.free, store.holds.free, store.shared) == ("memory", 0, 9, 9, 0)
    take(store, [], T0_US + 3600 * SECOND_US)
    assert one(store, limit, "k").used == 1


def test_room_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="room for one"):
        MemoryStore(0)
    assert not one(MemoryStore(1), a_limit(Algorithm.FIXED_WINDOW, 1), "k").over
