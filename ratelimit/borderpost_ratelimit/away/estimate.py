"""Answers without the store: each limit as its file says, from this process's own counters, or as assumed.

`LOCAL` counters begin from what the store last said of them, as far as that is still in use, and from nothing where
nobody knows; they never fall below what the store says. What has a beginning and an end (a lease, a reservation) is
counted here as well while the store answers, so that an end finds its beginning whichever of the two is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from borderpost_ratelimit.away.told import NOBODY, Told
from borderpost_ratelimit.charges import Charge, Phase, Source, Store, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import Algorithm, Limit, WhenAway

Requests = Sequence[tuple[Charge, ...]]
Answers = Sequence[Verdicts | Unanswered]


class Estimate:
    """Decides for requests to which the store has no answer. `local` must answer at once, as the memory store does."""

    def __init__(self, local: Store, told: Told, retry_us: int) -> None:
        self._local = local
        self._told = told
        self._retry_us = retry_us
        self.estimated = 0
        """Charges counted by this process alone."""
        self.allowed = 0
        """Charges let pass uncounted."""
        self.refused = 0
        """Charges refused because their limit says so."""

    def answer(self, requests: Requests, now_us: int) -> list[Verdicts | Unanswered]:
        """Return an answer to each request, as its limits say for the time that the store is away.

        Unanswered only where the local store is.
        """
        self._begin_from_told(requests, now_us)
        counted = [_local_charges(charges) for charges in requests]
        answers = self._ask([charges for charges in counted if charges], now_us)
        found = iter(answers)
        return [
            self._joined(charges, next(found) if local else ())
            for charges, local in zip(requests, counted, strict=True)
        ]

    def follow(self, requests: Requests, answers: Answers, now_us: int) -> None:
        """Count leases and reservations along with the store's answers."""
        along: list[tuple[Charge, ...]] = []
        for charges, verdicts in zip(requests, answers, strict=True):
            if isinstance(verdicts, Unanswered):
                continue
            for charge in charges:
                limit = charge.limit
                if limit.when_away is not WhenAway.LOCAL or not has_end(limit) or charge.phase is Phase.LOOK:
                    continue
                if charge.phase is Phase.DONE or not refuses(charges, verdicts):
                    along.append((charge,))
        self._ask(along, now_us)

    def _begin_from_told(self, requests: Requests, now_us: int) -> None:
        """Raise local counters to what the store last said of them, where it has said something since they were."""
        raised: dict[str, tuple[Limit, int]] = {}
        for charges in requests:
            for charge in charges:
                if charge.limit.when_away is WhenAway.LOCAL and (used := self._told.begin(charge, now_us)):
                    raised[charge.key] = (charge.limit, used)
        if not raised:
            return
        looks = [(Charge(limit, key, 0, Phase.LOOK),) for key, (limit, _) in raised.items()]
        missing: list[tuple[Charge, ...]] = []
        for (look,), verdicts in zip(looks, self._ask(looks, now_us), strict=True):
            here = verdicts[0].used if not isinstance(verdicts, Unanswered) else 0
            used = raised[look.key][1]
            if used > here:
                missing.append((Charge(look.limit, look.key, used - here, Phase.DONE, NOBODY),))
        if missing:
            self._ask(missing, now_us)

    def _ask(self, requests: Requests, now_us: int) -> Answers:
        answered: list[Answers] = []
        if requests:
            self._local.take(requests, now_us, answered.append)
        else:
            answered.append(())
        if not answered:
            raise RuntimeError(f"the store {self._local.name} does not answer at once: it is no local one")
        return answered[0]

    def _joined(self, charges: tuple[Charge, ...], local: Verdicts | Unanswered) -> Verdicts | Unanswered:
        """Return the verdicts of all charges, given those of the local ones."""
        if isinstance(local, Unanswered):
            return local
        found = iter(local)
        verdicts = []
        for charge in charges:
            if charge.limit.when_away is WhenAway.LOCAL:
                self.estimated += 1
                over, used, remaining, reset_us, retry_us, _ = next(found)
                verdicts.append(Verdict(over, used, remaining, reset_us, retry_us, Source.ESTIMATE))
            elif _assumed_over(charge):
                self.refused += 1
                capacity = _capacity(charge.limit)
                verdicts.append(Verdict(True, capacity, 0, self._retry_us, self._retry_us, Source.ASSUMED))
            else:
                self.allowed += 1
                verdicts.append(Verdict(False, 0, _capacity(charge.limit), 0, 0, Source.ASSUMED))
        return tuple(verdicts)


def has_end(limit: Limit) -> bool:
    """Return True if what a request's beginning charges is settled at its end."""
    return limit.algorithm is Algorithm.CONCURRENCY or limit.algorithm is Algorithm.BUDGET


def refuses(charges: tuple[Charge, ...], verdicts: Verdicts) -> bool:
    """Return True if a binding limit does not let the request pass."""
    for charge, verdict in zip(charges, verdicts, strict=True):  # noqa: SIM110 - a generator costs twice as much
        if verdict.over and charge.limit.binding:
            return True
    return False


def _local_charges(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """Return those that this process counts. Where another limit refuses the request, only windows that count what is
    over are charged, as a store does it."""
    for charge in charges:
        if charge.limit.when_away is not WhenAway.LOCAL:
            break
    else:
        return charges
    refused = any(_assumed_over(charge) and charge.limit.binding for charge in charges)
    local = [charge for charge in charges if charge.limit.when_away is WhenAway.LOCAL]
    if refused:
        local = [
            charge._replace(phase=Phase.LOOK)
            if charge.phase is Phase.BEGIN and charge.limit.algorithm is not Algorithm.FIXED_WINDOW
            else charge
            for charge in local
        ]
    return tuple(local)


def _assumed_over(charge: Charge) -> bool:
    """Return True for what nobody may pass: what ends, or gives back, is never over."""
    return charge.limit.when_away is WhenAway.REFUSE and charge.phase is not Phase.DONE and charge.hits >= 0


def _capacity(limit: Limit) -> int:
    return limit.burst if limit.algorithm is Algorithm.TOKEN_BUCKET else limit.amount
