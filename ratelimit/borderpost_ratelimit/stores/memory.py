"""Counters in this process's memory: no server, no wait, and a bound on how many there are.

    key ── counters ──▶ Counter            one look-up for a charge
    limit ── shares ──▶ Share              how many places its counters have taken, and its leases and reservations

A counter that would say the same as a new one is dropped a few at a time, with the charges that come. Where a limit has
no place left for a new key (`counter.HUNGER`), the keys that come then share one counter, so a flood of keys lets
through less, never more. A key that gets a counter of its own later begins with what the shared one holds. Leases and
reservations have a room of their own; where a limit has no place left in that, its requests are over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from borderpost_ratelimit.algorithms.counter import Counter, Room, Share
from borderpost_ratelimit.algorithms.making import new_counter
from borderpost_ratelimit.charges import Charge, Done, Phase, Verdict, Verdicts
from borderpost_ratelimit.limits import Algorithm, Limit
from borderpost_ratelimit.stores.expiry import Expiry

_BEGIN: Final = Phase.BEGIN
_DONE: Final = Phase.DONE
_FIXED_WINDOW: Final = Algorithm.FIXED_WINDOW
_WAITING: Final = Verdict(False, 0, 0, 0)
"""Stands in the place of a verdict until all of a request's are known."""
DROPPED_A_TURN: Final = 64
"""Counters looked at for expiry a turn of the loop, beside two for each request of it: some 20 µs at most."""


class MemoryStore:
    """A `charges.Store` in memory.

    `counters_max` bounds counters, and likewise what requests hold: leases and reservations together. A counter takes
    some 300 bytes with its key, and a lease or reservation as many.
    """

    def __init__(self, counters_max: int) -> None:
        self.room = Room(counters_max)
        self.holds = Room(counters_max)
        self.overflowed = 0
        """Charges that were counted by a shared counter, for want of a place."""
        self.shared = 0
        """How many limits have a shared counter now: as many as there are places for counters at most."""
        self._counters: dict[str, Counter] = {}
        self._shares: dict[Limit, Share] = {}
        self._last: Share | None = None
        """The share asked for last: hashing a limit takes longer than charging it."""
        self._expiry = Expiry()
        self._doubled = False
        """Whether some key was charged for windows of two lengths, as a request's own limits may in
        envoyproxy/ratelimit's style of keys, and then has two counters."""

    @property
    def name(self) -> str:
        """Return `memory`."""
        return "memory"

    async def start(self) -> None:
        """Do nothing: it is ready."""

    async def close(self) -> None:
        """Forget everything."""
        self._counters.clear()
        self._shares.clear()
        self._last = None
        self._expiry = Expiry()
        self.room = Room(self.room.places)
        self.holds = Room(self.room.places)
        self.shared = 0

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Make the charges and tell the verdicts before returning."""
        if now_us >= self._expiry.next_us:
            self._drop(now_us, DROPPED_A_TURN + 2 * len(requests))
        answers: list[Verdicts] = []
        for charges in requests:
            if len(charges) == 1:
                answers.append((self._single(charges[0], now_us),))
            else:
                answers.append(self._several(charges, now_us))
        done(answers)

    def __len__(self) -> int:
        """Return how many keys have a counter of their own."""
        return len(self._counters)

    def _single(self, charge: Charge, now_us: int) -> Verdict:
        """Make the only charge of a request."""
        limit, key, hits, phase, request = charge
        if phase is not _BEGIN:
            return self._ended(charge, now_us) if phase is _DONE else self._looked(charge, now_us)
        counter = self._counters.get(key)
        if counter is None or counter.limit is not limit:
            counter = self._counter(limit, key, now_us)
        if limit.algorithm is not _FIXED_WINDOW and counter.over(hits, now_us):
            return counter.tell(True, hits, now_us)
        return counter.charge(hits, now_us, request)

    def _several(self, charges: tuple[Charge, ...], now_us: int) -> Verdicts:
        """Make the charges of a request: fixed windows and ends in any case, the others if no binding one is over."""
        verdicts: list[Verdict] = []
        waiting: list[tuple[int, Counter, bool]] = []
        refused = False
        for place, charge in enumerate(charges):
            limit, key, hits, phase, _ = charge
            if phase is not _BEGIN or limit.algorithm is _FIXED_WINDOW:
                verdict = self._single(charge, now_us)
                verdicts.append(verdict)
                over = verdict.over
            else:
                counter = self._counters.get(key)
                if counter is None or counter.limit is not limit:
                    counter = self._counter(limit, key, now_us)
                over = counter.over(hits, now_us)
                if hits > 0 and not over:
                    counter.pending += hits
                waiting.append((place, counter, over))
                verdicts.append(_WAITING)
            refused = refused or (over and limit.binding)
        if not waiting:
            return tuple(verdicts)
        for _, counter, _ in waiting:
            counter.pending = 0
        for place, counter, over in waiting:
            charge = charges[place]
            if refused or over:
                verdicts[place] = counter.tell(over, charge.hits, now_us)
            else:
                verdicts[place] = counter.charge(charge.hits, now_us, charge.request)
        return tuple(verdicts)

    def _ended(self, charge: Charge, now_us: int) -> Verdict:
        """Make a charge at a request's end: where it holds something, otherwise where its key counts."""
        limit, key, hits, _, request = charge
        counter = self._counters.get(key)
        if counter is not None and counter.limit is not limit:
            counter = self._counter(limit, key, now_us)
        if self.shared and (counter is None or not counter.remembers(request)):
            shared = self._share(limit).overflow
            if shared is not None and shared.remembers(request):
                counter = shared
        if counter is None:
            if limit.algorithm is Algorithm.CONCURRENCY or hits <= 0:
                return self._unknown(limit, key, now_us).tell(False, hits, now_us)
            counter = self._counter(limit, key, now_us)
        return counter.done(hits, now_us, request)

    def _looked(self, charge: Charge, now_us: int) -> Verdict:
        """Tell what the hits would find."""
        limit, key, hits, _, _ = charge
        counter = self._counters.get(key)
        if counter is None or counter.limit is not limit:
            counter = self._unknown(limit, key, now_us) if counter is None else self._counter(limit, key, now_us)
        hits = max(hits, 1)
        return counter.tell(counter.over(hits, now_us), hits, now_us)

    def _unknown(self, limit: Limit, key: str, now_us: int) -> Counter:
        """Return what counts a key that has no counter: the shared one, or one that nobody keeps."""
        share = self._share(limit)
        return share.overflow or new_counter(limit, key, share, now_us)

    def _counter(self, limit: Limit, key: str, now_us: int) -> Counter:
        """Return the counter of a key that has none, or whose limit is another than it was."""
        counter = self._counters.get(key)
        if counter is not None and counter.adopt(limit, now_us):
            return counter
        if counter is not None or self._doubled:
            self._doubled = True
            key = f"{key}\0{limit.algorithm.value}{limit.window_us}"
            counter = self._counters.get(key)
            if counter is not None and counter.adopt(limit, now_us):
                return counter
        return self._created(limit, key, now_us)

    def _created(self, limit: Limit, key: str, now_us: int) -> Counter:
        """Return a new counter, or the one that is shared for want of a place."""
        share = self._share(limit)
        shared = share.overflow
        if share.counters.full():
            self.overflowed += 1
            return shared or self._overflow(share, now_us)
        if not share.counters.taken:
            self._shares[limit] = share
        share.counters.take()
        counter = self._counters[key] = new_counter(limit, key, share, now_us)
        if shared is not None:
            counter.inherit(shared, now_us)
        due_us = counter.expires_us()
        self._expiry.add(counter, due_us if due_us > now_us else now_us + limit.window_us)
        return counter

    def _overflow(self, share: Share, now_us: int) -> Counter:
        """Return a new counter for all keys of a limit that have no place; one of nothing if there are too many."""
        limit = share.limit
        if self.shared >= self.room.places:
            return new_counter(dataclasses.replace(limit, amount=0), "", share, now_us)
        counter = share.overflow = new_counter(limit, "", share, now_us)
        self._shares[limit] = share
        self.shared += 1
        self._expiry.add(counter, now_us + limit.window_us)
        return counter

    def _share(self, limit: Limit) -> Share:
        """Return the share of all limits that are equal to this one; a new one, kept nowhere, if there is none."""
        last = self._last
        if last is not None and last.limit is limit:
            return last
        share = self._shares.get(limit)
        if share is None:
            return Share(limit, self.room, self.holds)
        share.limit = limit
        self._last = share
        return share

    def _drop(self, now_us: int, most: int) -> None:
        """Drop counters that hold nothing any more, looking at so many at most."""
        for _ in range(most):
            counter = self._expiry.due(now_us)
            if counter is None:
                return
            expires_us = counter.expires_us()
            share = counter.share
            if counter is not share.overflow and self._counters.get(counter.key) is not counter:
                continue
            if expires_us > now_us:
                self._expiry.add(counter, expires_us)
            else:
                self._forget(counter)

    def _forget(self, counter: Counter) -> None:
        """Drop a counter."""
        share = counter.share
        counter.drop()
        if counter is share.overflow:
            share.overflow = None
            self.shared -= 1
        else:
            del self._counters[counter.key]
            share.counters.give(1)
        if not share.counters.taken and share.overflow is None:
            del self._shares[share.limit]
            self._last = None
