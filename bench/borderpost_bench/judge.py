"""Every answer of an open loop, one by one: was it what the policy function says, and is it on record?

The policy function (`borderpost.policy.decide`) is asked with the facts that the request was sent with, as the
sender knows them. The region is the one that answered, by its own word, not the one that anybody meant. The record
is the one with the decision id that the answer names; it must tell of this request (its trace), of these facts, and
of what was answered. Counts cannot hide one wrong answer behind another here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from borderpost.audit.reader import read_log
from borderpost.audit.record import decision_id
from borderpost.config.load import load_config
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import compile_events
from borderpost.policy.model import Facts, Law, Ruling
from borderpost_bench.open_loop import Answer

_TOLD_MAX = 10


class LawBook:
    """The law of one configuration, asked once for each set of facts. Nothing in it may be dated ahead."""

    def __init__(self, config: Path, now_us: int) -> None:
        """Read a configuration file. Raises BorderpostError or Problems for one that cannot be served."""
        loaded = load_config(config, environ={})
        self._policy = compile_policy(loaded.bundle, loaded.regions)
        self._events = compile_events(loaded.events, self._policy)
        self._now_us = now_us
        self._known: dict[Facts, Law] = {}

    def law(self, facts: Facts) -> Law:
        """Return what the policy function says."""
        law = self._known.get(facts)
        if law is None:
            law = self._known[facts] = decide(facts, self._policy, self._events, self._now_us)
        return law


@dataclass(slots=True)
class Judgement:
    """What the answers of a load add up to."""

    answers: int = 0
    """All that came."""
    routed: int = 0
    refused_as_law_says: dict[str, int] = field(default_factory=dict)
    """By reason."""
    illegal: int = 0
    """Requests that a region answered which the law does not allow them. Must be 0."""
    unlogged: int = 0
    """Answers without a durable record of this request, these facts and this answer. Must be 0."""
    over_refused: int = 0
    """Requests refused that the law allows some region, or refused for another reason than the law's. Must be 0."""
    refused_by_envoy: int = 0
    """Refusals without a decision: Envoy had no answer in time and failed closed."""
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)
    """The first answers that are illegal, unlogged or over-refused, each in a sentence without an address."""

    @property
    def passed(self) -> bool:
        """Return True if no answer is illegal, unlogged or over-refused."""
        return not (self.illegal or self.unlogged or self.over_refused)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return asdict(self)

    def note(self, number: int, what: str) -> None:
        """Keep what is wrong with an answer, if not too many are kept already."""
        if len(self.wrong) < _TOLD_MAX:
            self.wrong.append(f"answer {number} {what}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of one request: what the law is to be asked, and the trace that its record must name."""

    facts: Facts
    trace: str


def records_of(audit: Path) -> dict[str, dict[str, Any]]:
    """Return the decisions of an audit directory by their ids."""
    return {
        decision_id(located.record["epoch"], located.record["seq"]): located.record
        for located in read_log(audit)
        if located.record["type"] == "decision"
    }


def judge(
    sent: Sequence[Sent], answers: Sequence[Answer], book: LawBook, records: Mapping[str, Mapping[str, Any]]
) -> Judgement:
    """Judge the answers to some requests, in the order of the requests. Raises ValueError for another number of them.

    A record may answer for one request only.
    """
    found = Judgement()
    taken: set[str] = set()
    for number, (request, answer) in enumerate(zip(sent, answers, strict=True)):
        if not answer.status:
            found.unanswered += 1
            continue
        found.answers += 1
        if answer.status >= 400 and answer.decision is None:
            found.refused_by_envoy += 1
            continue
        law = book.law(request.facts)
        if answer.status < 400:
            _judge_route(found, number, answer, law)
        else:
            _judge_refusal(found, number, answer, law)
        record = records.get(answer.decision or "")
        doubts = list(_doubts(request, answer, record)) if answer.decision not in taken else ["has another's record"]
        if doubts:
            found.unlogged += 1
            found.note(number, doubts[0])
        if answer.decision is not None:
            taken.add(answer.decision)
    return found


def together(judgements: Iterable[Judgement]) -> Judgement:
    """Add up the judgements of several loads."""
    whole = Judgement()
    for one in judgements:
        for name in ("answers", "routed", "illegal", "unlogged", "over_refused", "refused_by_envoy", "unanswered"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for reason, count in one.refused_as_law_says.items():
            whole.refused_as_law_says[reason] = whole.refused_as_law_says.get(reason, 0) + count
        whole.wrong.extend(one.wrong[: _TOLD_MAX - len(whole.wrong)])
    return whole


def _judge_route(found: Judgement, number: int, answer: Answer, law: Law) -> None:
    found.routed += 1
    if law.ruling is not Ruling.LEGAL or answer.region not in law.legal:
        found.illegal += 1
        found.note(number, f"came from {answer.region}; the law says {law.reason}: {', '.join(law.legal) or 'nowhere'}")


def _judge_refusal(found: Judgement, number: int, answer: Answer, law: Law) -> None:
    if law.ruling is Ruling.LEGAL or answer.reason != law.reason:
        found.over_refused += 1
        found.note(number, f"was refused for {answer.reason}; the law says {law.reason}")
    else:
        found.refused_as_law_says[law.reason] = found.refused_as_law_says.get(law.reason, 0) + 1


def _doubts(request: Sent, answer: Answer, record: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield why a record is not the one of this answer."""
    if answer.decision is None:
        yield "names no decision"
        return
    if record is None:
        yield "names a decision that is not on record"
        return
    if record["req"].get("trace") != request.trace:
        yield "names a decision about another request"
    said = [(piece["src"], piece["val"]) for piece in record["jur"]["evidence"]]
    known = [(piece.source.value, piece.code) for piece in request.facts.evidence]
    if said != known or tuple(record["class"]) != request.facts.classes or record.get("model") != request.facts.model:
        yield "is on record with other facts than were sent"
    out = record["out"]
    if answer.status < 400:
        if out["action"] != "route" or out["r"] != answer.region:
            yield f"came from {answer.region}, which is not what is on record"
    elif out["action"] != "refuse" or out["reason"] != answer.reason:
        yield "is a refusal that is not what is on record"
