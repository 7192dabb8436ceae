"""Recorded decisions derived anew from the inputs that their records name: they must come out as recorded.

What repeats (the same facts, inputs and reasons) is derived once for as long as its law holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from borderpost.answers import Answer
from borderpost.audit.inputs import InputStore
from borderpost.audit.record import decision_id, table_digest
from borderpost.catalog import Catalog
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.decide import decide
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.model import Facts, Law
from borderpost.policy.regimes import NEVER_US
from borderpost.recorded_decision import answer_of
from borderpost.regions.signals import Signals
from borderpost.shared_fields import candidate_table
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.memo import Remembered

UNUSABLE: Final = frozenset({"BP0407", "BP0215"})
"""What is said of an input that is missing, altered, or of another version."""
_EXAMPLES_MAX: Final = 20
_INPUTS_REMEMBERED: Final = 64

_Read = TypeVar("_Read")


class _Derived(NamedTuple):
    """What some facts come to, from an instant until another."""

    from_us: int
    until_us: int
    answer: Answer
    law: Law
    table: str


@dataclass(slots=True)
class Rederivation:
    """Derives records anew and counts how they compare."""

    store: InputStore
    matched: int = 0
    differed: int = 0
    """Decisions that come out otherwise: the log or the engine is not what it was."""
    underivable: int = 0
    """Decisions of which an input is missing, or of another version."""
    examples: list[tuple[str, str]] = field(default_factory=list)
    """The first decisions that differ, by id, and what differs."""
    _laws: Remembered[tuple[str, str], CompiledLaw] = field(default_factory=lambda: Remembered(_INPUTS_REMEMBERED))
    _events: Remembered[tuple[str, str, str], CompiledEvents] = field(
        default_factory=lambda: Remembered(_INPUTS_REMEMBERED)
    )
    _signals: Remembered[str, Signals] = field(default_factory=lambda: Remembered(_INPUTS_REMEMBERED))
    _derived: Remembered[tuple[Facts, bool, str, str, str, str], _Derived] = field(
        default_factory=lambda: Remembered(limits.REMEMBERED_FACTS_MAX)
    )

    def check(self, record: Mapping[str, Any], facts: Facts, at_us: int) -> None:
        """Derive one decision anew and compare its law, its table of regions and its answer with what is recorded."""
        try:
            derived = self._derive(record, facts, at_us)
        except BorderpostError as error:
            if error.code not in UNUSABLE:
                raise
            self.underivable += 1
            return
        differs = _difference(record, derived)
        if differs is None:
            self.matched += 1
            return
        self.differed += 1
        if len(self.examples) < _EXAMPLES_MAX:
            self.examples.append((decision_id(record["epoch"], record["seq"]), differs))

    def _derive(self, record: Mapping[str, Any], facts: Facts, at_us: int) -> _Derived:
        inputs = record["inputs"]
        stale = record.get("stale", False)
        measured = inputs.get("signals", record["seed"])
        key = (facts, stale, inputs["policy"], inputs["catalog"], inputs["events"], measured)
        known = self._derived.get(key)
        if known is None or not known.from_us <= at_us < known.until_us:
            compiled = self._law(inputs)
            events = self._compiled_events(inputs, compiled)
            law = decide(facts, compiled.policy, events, at_us, stale=stale)
            answer, ranking = compiled.answer(facts, law, self._measured(inputs, record["seed"], at_us))
            until_us = NEVER_US if law.valid_until_us is None else law.valid_until_us
            known = _Derived(at_us, until_us, answer, law, table_digest(candidate_table(law, ranking)))
            self._derived.put(key, known)
        return known

    def _law(self, inputs: Mapping[str, str]) -> CompiledLaw:
        def make() -> CompiledLaw:
            bundle = PolicyBundle.from_canonical(self.store.get(inputs["policy"]))
            return CompiledLaw.of(bundle, Catalog.from_canonical(self.store.get(inputs["catalog"])))

        return _kept(self._laws, (inputs["policy"], inputs["catalog"]), make)

    def _compiled_events(self, inputs: Mapping[str, str], compiled: CompiledLaw) -> CompiledEvents:
        def make() -> CompiledEvents:
            return compile_events(EventList.from_canonical(self.store.get(inputs["events"])), compiled.policy)

        key = (inputs["policy"], inputs["catalog"], inputs["events"])
        events = _kept(self._events, key, make)
        if events.policy is not compiled.policy:  # the policy was forgotten and compiled anew meanwhile
            events = make()
            self._events.put(key, events)
        return events

    def _measured(self, inputs: Mapping[str, str], seed: str, at_us: int) -> Signals:
        if "signals" not in inputs:
            return Signals.empty(seed, at_us)
        return _kept(
            self._signals, inputs["signals"], lambda: Signals.from_canonical(self.store.get(inputs["signals"]))
        )


def _kept(memory: Remembered[Any, _Read], key: object, make: Callable[[], _Read]) -> _Read:
    found = memory.get(key)
    if found is None:
        found = make()
        memory.put(key, found)
    return found


def _difference(record: Mapping[str, Any], derived: _Derived) -> str | None:
    """Return what of a recorded decision comes out otherwise; None if nothing does."""
    if list(derived.law.regimes) != record["jur"]["regimes"]:
        return "other regimes apply"
    if derived.answer != answer_of(record):
        return "the answer is another"
    return None if derived.table == record["table"] else "the table of regions is another"
