"""Naive exact models of the rate-limit algorithms: they keep every event, and count anew each time, in fractions."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

from borderpost_ratelimit.algorithms.budget import RESERVATION_US
from borderpost_ratelimit.charges import Charge, Phase
from borderpost_ratelimit.limits import Algorithm, Limit

Told = tuple[bool, int]
"""Whether a charge is over, and how much is in use after it."""


class Model:
    """What one key has had charged by one limit, event by event."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit

    @abstractmethod
    def used(self, now_us: int) -> Fraction:
        """Return how much is in use."""

    @abstractmethod
    def charge(self, hits: int, now_us: int, request: str, *, ended: bool) -> None:
        """Charge hits, at a request's beginning or end."""

    def capacity(self) -> int:
        """Return how much may be in use."""
        return self.limit.amount

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether so many more are over the limit."""
        return hits >= 0 and self.used(now_us) + max(hits, 1) > self.capacity()


class FixedModel(Model):
    """Hits by window."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.windows: dict[int, int] = {}

    def used(self, now_us: int) -> Fraction:
        return Fraction(self.windows.get(now_us // self.limit.window_us, 0))

    def charge(self, hits: int, now_us: int, request: str, *, ended: bool) -> None:
        window = now_us // self.limit.window_us
        self.windows[window] = max(0, self.windows.get(window, 0) + hits)

    def over(self, hits: int, now_us: int) -> bool:
        return self.used(now_us) + hits > self.limit.amount


class SlidingModel(FixedModel):
    """Hits by window, the one before weighted by the share of it that has not slid out."""

    def used(self, now_us: int) -> Fraction:
        window_us = self.limit.window_us
        window, gone_us = divmod(now_us, window_us)
        before = Fraction(self.windows.get(window - 1, 0) * (window_us - gone_us), window_us)
        return Fraction(self.windows.get(window, 0) + math.ceil(before))

    def over(self, hits: int, now_us: int) -> bool:
        return Model.over(self, hits, now_us)


class BucketModel(Model):
    """Every charge, drained one after the other at the exact rate."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.charges: list[tuple[int, int]] = []

    def capacity(self) -> int:
        return self.limit.burst if self.limit.amount else 0

    def used(self, now_us: int) -> Fraction:
        rate = Fraction(self.limit.amount, self.limit.window_us)
        level, last_us = Fraction(0), 0
        for at_us, hits in [*self.charges, (now_us, 0)]:
            level = max(max(level - (at_us - last_us) * rate, Fraction(0)) + hits, Fraction(0))
            last_us = at_us
        return level

    def charge(self, hits: int, now_us: int, request: str, *, ended: bool) -> None:
        self.charges.append((now_us, hits))


class LeaseModel(Model):
    """A list of leases."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.leases: list[tuple[str, int, int]] = []

    def used(self, now_us: int) -> Fraction:
        return Fraction(sum(hits for _, hits, until_us in self.leases if until_us > now_us))

    def charge(self, hits: int, now_us: int, request: str, *, ended: bool) -> None:
        if hits > 0 and not ended:
            self.leases.append((request, hits, now_us + self.limit.window_us))
        elif hits < 0 or ended:
            for lease in self.leases:
                if lease[0] == request and lease[2] > now_us:
                    self.leases.remove(lease)
                    break


class BudgetModel(Model):
    """What is in each window's book, and the reservations that nobody has settled."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.windows: dict[int, int] = {}
        self.reservations: list[tuple[str, int, int, int]] = []

    def used(self, now_us: int) -> Fraction:
        return Fraction(self.windows.get(now_us // self.limit.window_us, 0))

    def charge(self, hits: int, now_us: int, request: str, *, ended: bool) -> None:
        window = now_us // self.limit.window_us
        if ended:
            known_us = max(self.limit.window_us, RESERVATION_US)
            mine = [one for one in self.reservations if one[0] == request and one[3] + known_us > now_us]
            if mine:
                _, reserved, reserved_in, _ = mine[0]
                self.reservations.remove(mine[0])
                hits = hits - reserved if reserved_in == window else max(0, hits - reserved)
        elif hits > 0:
            self.reservations.append((request, hits, window, now_us))
        self.windows[window] = max(0, self.windows.get(window, 0) + hits)


MODELS: dict[Algorithm, type[Model]] = {
    Algorithm.FIXED_WINDOW: FixedModel,
    Algorithm.SLIDING_WINDOW: SlidingModel,
    Algorithm.TOKEN_BUCKET: BucketModel,
    Algorithm.CONCURRENCY: LeaseModel,
    Algorithm.BUDGET: BudgetModel,
}


class ModelStore:
    """A store without bounds: a model for each key."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}

    def take(self, charges: Sequence[Charge], now_us: int) -> list[Told]:
        """Make the charges of one request."""
        models = [self.models.setdefault(one.key, MODELS[one.limit.algorithm](one.limit)) for one in charges]
        told: dict[int, Told] = {}
        waiting: list[int] = []
        over: dict[int, bool] = {}
        pending: dict[str, int] = {}
        for at, (charge, model) in enumerate(zip(charges, models, strict=True)):
            hits = max(charge.hits, 1) if charge.phase is Phase.LOOK else charge.hits
            if charge.phase is Phase.BEGIN and charge.limit.algorithm is not Algorithm.FIXED_WINDOW:
                before = pending.get(charge.key, 0)
                over[at] = hits >= 0 and model.over(max(hits, 1) + before, now_us)
                pending[charge.key] = before + (max(hits, 0) if not over[at] else 0)
                waiting.append(at)
                continue
            before = pending.get(charge.key, 0)
            over[at] = charge.phase is not Phase.DONE and model.over(hits + before, now_us)
            if charge.phase is not Phase.LOOK:
                model.charge(hits, now_us, charge.request, ended=charge.phase is Phase.DONE)
            told[at] = (over[at], math.ceil(model.used(now_us)))
        refused = any(over[at] and charge.limit.binding for at, charge in enumerate(charges))
        for at in waiting:
            charge, model = charges[at], models[at]
            if not refused and not over[at]:
                model.charge(charge.hits, now_us, charge.request, ended=False)
            told[at] = (over[at], math.ceil(model.used(now_us)))
        return [told[at] for at in range(len(charges))]
