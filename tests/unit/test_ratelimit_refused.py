"""Refusals: recorded before they are answered, without values, and refused whatever becomes of the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost_ratelimit.charges import Source, Unanswered
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.refusals import Refusal
from borderpost_ratelimit.settings import QuotaRule
from support.ratelimit_parts import asked_of, descriptor_of, limit_of, request_of
from support.ratelimit_served import OK, OVER, Served, on


class Recorded:
    """A log of refusals that says when they are durable."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.released: list[Callable[[bool], None]] = []

    def refused(self, refusals: Sequence[Refusal], at_us: int, released: Callable[[bool], None]) -> None:
        self.refusals += refusals
        self.released.append(released)


def refusing(**more: Any) -> tuple[Served, Recorded]:
    log = Recorded()
    return Served(on("a", limit_of(1)), on("b", limit_of(0, Unit.HOUR)), log=log, **more), log


def test_a_refusal_is_answered_once_it_is_recorded() -> None:
    served, log = refusing()
    named = descriptor_of(("a", "x"), ("borderpost.request", "r-1"))
    passed, refused, second = asked_of(served.service, *[request_of(named)] * 3)
    assert passed.answers == 1
    assert (refused.answers, second.answers) == (0, 0)
    (release,) = log.released
    release(True)
    assert refused.answer is not None and refused.answer.overall_code == OVER
    assert second.answers == 1
    assert log.refusals[0] == Refusal("r-1", "shop", "shop.a", 1, 60_000_000, "fixed_window", Source.STORE)
    assert served.statistics.unrecorded == 0


def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same_and_counted() -> None:
    served, log = refusing()
    (call,) = asked_of(served.service, request_of(descriptor_of(("b", "x"))))
    log.released[0](False)
    assert call.answer is not None and call.answer.overall_code == OVER
    assert served.statistics.unrecorded == 1


def test_the_first_rule_that_refuses_is_recorded_without_values() -> None:
    served, log = refusing()
    asked_of(served.service, *[request_of(descriptor_of(("a", "ann")), descriptor_of(("b", "ann")))] * 2)
    assert [refusal.rule for refusal in log.refusals] == ["shop.b", "shop.a"]
    assert "ann" not in repr(log.refusals)
    assert [refusal.request for refusal in log.refusals] == ["", ""]


def test_names_are_each_requests_own() -> None:
    served, log = refusing()
    names = [f"r-{index}" for index in range(6)]
    asked_of(served.service, *[request_of(descriptor_of(("b", "x"), ("borderpost.request", name))) for name in names])
    assert [refusal.request for refusal in log.refusals] == names


@pytest.mark.parametrize("settings", [{"shadow": True}, {"quota": True, "quota_rule": QuotaRule.NEVER}], ids=str)
def test_what_passes_after_all_is_no_refusal(settings: dict[str, Any]) -> None:
    served, log = refusing(**settings)
    assert served.ask("b").overall_code == OK
    assert not log.refusals


def test_a_log_that_fails_does_not_let_pass() -> None:
    class Broken(Recorded):
        def refused(self, refusals: Sequence[Refusal], at_us: int, released: Callable[[bool], None]) -> None:
            raise RuntimeError("broken")

    served = Served(on("a", limit_of(0)), log=Broken())
    with capture_logs() as logs:
        (call,) = asked_of(served.service, request_of(descriptor_of(("a", "x"))))
    assert [log["event"] for log in logs] == ["refusals could not be recorded"]
    assert call.answer is not None and call.answer.overall_code == OVER
    assert served.statistics.unrecorded == 1


def test_no_answer_is_no_refusal() -> None:
    served, log = refusing()
    served.store.unanswered = Unanswered("unreachable")
    (call,) = asked_of(served.service, request_of(descriptor_of(("b", "x"))))
    assert call.failure is not None and not log.refusals
