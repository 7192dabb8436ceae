"""The tests of an export: questions around every boundary in time and seeded ones, each with our answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from borderpost.policy.decide import decide
from borderpost.policy.events import CompiledEvents
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.regimes import NEVER_US, CompiledRegime
from borderpost.rego.literals import comment
from borderpost.rego.questions import answer_of, question_of

_SEED = 20261121
_MALFORMED = "ZZ"
_UNKNOWN_CLASS = "a-class-that-nobody-defines"

_TESTS = """package borderpost.tests

import rego.v1

import data.borderpost

agrees(case) if {
	answer := borderpost.decision with input as case.input
	answer == case.answer
}

# The numbers of the cases whose answer is another.
wrong contains number if {
	some number, case in cases
	not agrees(case)
}

test_every_answer_is_the_gateway_s if {
	count(cases) > 0
	count(wrong) == 0
}

test_nothing_is_allowed_where_nothing_is_asked if {
	not borderpost.allow_region with input as {}
	count(borderpost.deny) > 0 with input as {}
}

test_a_misspelt_key_is_refused if {
	answer := borderpost.decision with input as {"facts": {"evidence": [], "classes": [], "tenants": "x"}}
	answer.reason == "invalid-input"
}

"""


class Question(NamedTuple):
    """What is asked, and when."""

    facts: Facts
    now_us: int
    stale: bool


class Questions:
    """Draws questions over one law: its codes, classes, parties and dates. The same law gives the same questions."""

    def __init__(self, events: CompiledEvents) -> None:
        policy = events.policy
        bundle = policy.bundle
        self._random = Random(_SEED)  # noqa: S311 - test cases, no secrets
        self._events = events
        scopes = [event.scope for event in events.counted]
        applies = [regime.applies_when for regime in bundle.regimes]
        self._codes = sorted({*policy.mentioned, "DE", "BR", "US", "US-ZZZ", "FR-NC", "AE-QQQQ"})
        self._classes = sorted(policy.classes)
        self._tenants = _names(bundle.tenants, *(one.tenant or () for one in applies), *(one.tenants for one in scopes))
        self._models = _names(*(one.model or () for one in applies), *(one.models for one in scopes))
        self._purposes = _names(*(one.purpose or () for one in applies))
        self._dates = sorted(at for at in {*self._boundaries()} if abs(at) < NEVER_US)

    def _boundaries(self) -> Iterator[int]:
        yield from self._events.boundaries
        for regime in self._events.policy.regimes:
            yield from (*regime.boundaries, regime.start_us, regime.end_us)

    def at_boundaries(self, most: int) -> Iterator[Question]:
        """Yield a question for each regime one microsecond before, at and after each date, of the next dates if there
        are more than `most`."""
        for at_us in self._dates[:most]:
            for regime in self._events.policy.regimes:
                if at_us in (*regime.boundaries, regime.start_us, regime.end_us):
                    yield from self._around(self._concerned(regime), at_us)
            if at_us in self._events.boundaries:
                yield from self._around(self._facts(), at_us)

    def _around(self, facts: Facts, at_us: int) -> Iterator[Question]:
        for step_us in (-1, 0, 1):
            yield Question(facts, at_us + step_us, False)

    def seeded(self, count: int) -> Iterator[Question]:
        """Yield so many questions, at dates and between them."""
        for _ in range(count):
            facts = self._facts()
            at_us = self._random.choice(self._dates or [0]) + self._random.choice([-1, 0, 1, 86_400_000_000])
            yield Question(facts, at_us, self._random.random() < 0.15)

    def _concerned(self, regime: CompiledRegime) -> Facts:
        """Return facts that the regime is about, as far as its places and data go."""
        policy = self._events.policy
        inside = [code for code in self._codes if not policy.places[code].cells & ~regime.subjects] or self._codes
        data = [name for name in self._classes if policy.classes[name] & regime.data] or self._classes
        evidence = (Evidence(Source.GEOIP, self._random.choice(inside)),)
        return Facts(evidence, tuple(self._random.sample(data, min(1, len(data)))))

    def _facts(self) -> Facts:
        random = self._random
        evidence = tuple(
            Evidence(
                source,
                random.choice(self._codes) if random.random() > 0.01 else _MALFORMED,
                doubt="anonymiser" if source is Source.GEOIP and random.random() < 0.2 else None,
            )
            for source, chance in zip(Source, (0.3, 0.15, 0.4, 0.75), strict=True)
            if random.random() < chance
        )
        classes = random.sample(self._classes, min(random.choice([0, 1, 1, 2]), len(self._classes)))
        classes += [_UNKNOWN_CLASS] if random.random() < 0.02 else []
        return Facts(
            evidence,
            tuple(sorted(classes)),
            random.choice(self._tenants),
            random.choice(self._models),
            "token" if random.random() < 0.03 else None,
            random.choice(self._purposes),
            random.choice([None, None, None, *Mode]),
        )


def _names(*mentioned: Iterable[str]) -> list[str | None]:
    """Return None, the names that rules mention, and one that none does."""
    return [None, *sorted({name for names in mentioned for name in names}), "somebody-else"]


def cases_text(events: CompiledEvents, revision: str, count: int) -> str:
    """Return the test module: `count` seeded questions, and those around as many dates."""
    drawn = Questions(events)
    questions = [*drawn.at_boundaries(count), *drawn.seeded(count)]
    rows = [_case(question, events) for question in questions]
    head = comment(
        f"Questions with the gateway's answers, made from {revision}: around every date of the law, and drawn by "
        "chance from its places, classes and parties, always the same. Run by `opa test`."
    )
    return head + _TESTS + "cases := [\n" + "".join(f"\t{row},\n" for row in rows) + "]\n"


def _case(question: Question, events: CompiledEvents) -> str:
    law = decide(question.facts, events.policy, events, question.now_us, stale=question.stale)
    asked = question_of(question.facts, question.now_us, stale=question.stale)
    return json.dumps({"input": asked, "answer": answer_of(law)}, ensure_ascii=False)
