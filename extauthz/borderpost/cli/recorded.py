"""A decision of the log, explained: derived anew from the inputs that its record names, and compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import parse_stamp
from borderpost.audit.reader import find
from borderpost.audit.record import table_digest
from borderpost.audit.segment import INPUTS_NAME
from borderpost.catalog import Catalog
from borderpost.cli.body_words import body_notes
from borderpost.cli.explanation import Explanation
from borderpost.cli.limit_words import limit_notes
from borderpost.cli.observed_words import observed_notes
from borderpost.decision_record import shadow_field
from borderpost.engine_identity import engine_identity
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.model import Law
from borderpost.recorded_decision import answer_of, facts_of
from borderpost.regions.rank import Ranking
from borderpost.regions.signals import Signals
from borderpost.shadow import Shadow
from borderpost.shared_fields import candidate_table
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World


def explain_recorded(log: Path, decision_id: str) -> Explanation:
    """Find a decision in an audit directory (or a stream of it) and derive it anew.

    Raises BorderpostError: BP0408 for what is no log, BP0409 where the id is not in it or is no decision's, BP0407
    where an input is missing or altered.
    """
    located = find(log, decision_id)
    record = located.record
    if record.get("type") != "decision":
        detail = f"the record is of type `{record.get('type')}`, not a decision"
        raise BorderpostError("BP0409", detail, place=Place(str(located.file), located.number))
    directory = log if (log / INPUTS_NAME).is_dir() else log.absolute().parent  # inputs lie beside the streams
    store = InputStore(directory, World())
    return _derived(record, store, decision_id, tuple(limit_notes(directory, decision_id)))


def _derived(record: Mapping[str, Any], store: InputStore, decision_id: str, limited: tuple[str, ...]) -> Explanation:
    inputs = record["inputs"]
    catalog = Catalog.from_canonical(store.get(inputs["catalog"]))
    compiled = CompiledLaw.of(PolicyBundle.from_canonical(store.get(inputs["policy"])), catalog)
    events = EventList.from_canonical(store.get(inputs["events"]))
    at_us = parse_stamp(record["ts"])
    measured = "signals" in inputs
    signals = Signals.from_canonical(store.get(inputs["signals"])) if measured else Signals.empty(record["seed"], at_us)
    facts = facts_of(record)
    answer = answer_of(record)
    stale = record.get("stale", False)
    notes = [*limited, *body_notes(record["req"].get("body"))]
    law = ranking = opinion = None
    if "table" in record:  # else it was refused before law was asked
        policy = compiled.policy
        law = decide(facts, policy, compile_events(events, policy), at_us, stale=stale)
        _, ranking = compiled.answer(facts, law, signals)
        notes.append(_compared(record, law, ranking))
        if "shadow" in inputs:
            shadow = _shadow(inputs["shadow"], compiled, events, store).turned(stale=stale)
            opinion = shadow.opinion(facts, answer, signals, at_us)
            if shadow_field(opinion) != record.get("shadow"):
                notes.append("what the shadow says DIFFERS from what is recorded of it")
    notes = [*observed_notes(record, law), *notes]
    if inputs["engine"] != engine_identity():
        notes.append(f"the record was made by engine {inputs['engine']}, this is {engine_identity()}")
    return Explanation(
        at_us, facts, law, ranking, answer, compiled, events, signals, dict(inputs), opinion, decision_id, tuple(notes),
        observed=record.get("observed"),
    )  # fmt: skip


def _shadow(digest: str, compiled: CompiledLaw, events: EventList, store: InputStore) -> Shadow:
    candidate = CompiledLaw.of(PolicyBundle.from_canonical(store.get(digest)), compiled.catalog)
    return Shadow.of(candidate, events, digest)


def _compared(record: Mapping[str, Any], law: Law, ranking: Ranking | None) -> str:
    if table_digest(candidate_table(law, ranking)) == record["table"]:
        return "derived anew from the inputs that the record names: the same table of regions"
    return "derived anew from the inputs that the record names, the table of regions DIFFERS from the recorded one"
