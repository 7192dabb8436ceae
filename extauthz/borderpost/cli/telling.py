"""An explanation told to people: a page that names each law with its source, and what each region failed by."""

from __future__ import annotations

from typing import Any

from borderpost.answers import Route
from borderpost.audit.kinds import format_stamp
from borderpost.cli.explanation import Explanation
from borderpost.cli.observed_words import where
from borderpost.cli.output import Output
from borderpost_base.errors import ERRORS

_YES_NO = {True: "yes", False: "no", None: "-"}
_DIVERGENCES = {
    "widened": "would have routed it",
    "narrowed": "would have refused it",
    "region": "would have chosen another region",
    "reason": "would have refused it for another reason",
    "failover": "would have let a retry go elsewhere",
    "basis": "would have chosen the same region on other bases",
    "failed": "could not be asked",
    None: "agrees",
}


def tell(explanation: Explanation, output: Output) -> None:
    """Print the explanation."""
    told = explanation
    if told.decision_id is not None:
        output.data(f"decision  {told.decision_id}")
    output.data(f"at        {format_stamp(told.at_us)}")
    if told.observed is not None:
        observed = output.paint("observed", "yellow", stream=output.stdout)
        output.data(f"{observed}  no law was kept on it: the request went {where(told.observed)}")
    output.data("")
    _tell_facts(told, output)
    _tell_law(told, output)
    _tell_events(told, output)
    rows = [
        (
            "→" if row["chosen"] else "", row["region"], row["place"], _YES_NO[row["legal"]], row["state"],
            "-" if row["latency_us"] is None else f"{row['latency_us'] / 1000:.1f} ms", row["why"],
        )
        for row in told.regions()
    ]  # fmt: skip
    output.table(("", "region", "place", "legal", "state", "latency", "basis, or why not"), rows)
    output.data("")
    _tell_answer(told, output)
    _tell_shadow(told, output)
    for note in told.notes:
        output.data(f"note: {note}")


def _lines(output: Output, label: str, lines: list[str]) -> None:
    """Print lines under one label, which stands before the first."""
    for number, line in enumerate(lines):
        output.data(f"{label if number == 0 else '':<8}  {line}")


def _tell_facts(told: Explanation, output: Output) -> None:
    facts = told.facts
    pieces = []
    for piece in facts.evidence:
        part = ", subdivision unknown" if piece.subdivision_unknown else ""
        doubt = f"; not believed: {piece.doubt}, so it counts for embargoes only" if piece.doubt is not None else ""
        pieces.append(f"{piece.code} by {piece.source.value} ({piece.trust.value}{part}{doubt})")
    _lines(output, "evidence", pieces or ["none: the subject's place is unknown"])
    output.data(f"classes   {', '.join(facts.classes) or '-'}")
    output.data(f"tenant    {facts.tenant or '-'}")
    output.data(f"model     {facts.model or '-'}")
    if facts.purpose is not None:
        output.data(f"purpose   {facts.purpose}")
    if facts.missing is not None:
        output.data(f"missing   {facts.missing}, which tenant or route requires")
    output.data("")


def _tell_law(told: Explanation, output: Output) -> None:
    law = told.law
    if law is None:
        output.data("law       was not asked: the request was refused before\n")
        return
    output.data(f"places    {', '.join(law.effective) or '-'}")
    output.data(f"mode      {law.mode.value}")
    _lines(output, "regimes", [f"{each['id']}: {each['title']} ({each['source']})" for each in told.regimes()])
    own = [f"{each['name']} in {each['place']}{_own_word(each)}" for each in told.own_places()]
    output.data(f"own       {', '.join(own)}")
    if law.conflict is not None:
        output.data(f"conflict  {law.conflict}: sources disagree, and each of them narrows")
    if law.subdivision_unknown:
        output.data("doubt     a law is about a part of a place of which only the whole is known")
    if law.stale:
        output.data("stale     the legal events were older than allowed: no revocable basis counted")
    if law.valid_until_us is not None:
        output.data(f"holds     until {format_stamp(law.valid_until_us)}")
    output.data("")


def _own_word(own: dict[str, Any]) -> str:
    if own["allowed"] is None:
        return ""
    if own["allowed"]:
        return " (allowed)"
    return f" (refused by {own['refused_by']})" if "refused_by" in own else " (refused)"


def _tell_events(told: Explanation, output: Output) -> None:
    found = told.events_taking_part()
    for event in found:
        until = f" until {event['effective_until']}" if event["effective_until"] else ""
        signers = f"signed by {', '.join(event['signed_by'])}" if event["signed_by"] else "signed by nobody"
        output.data(f"event     {event['id']}: {event['type']}, from {event['effective_from']}{until}, {signers}")
        output.data(f"{'':<8}  {event['reason']} ({event['source']})")
    if found:
        output.data("")


def _tell_answer(told: Explanation, output: Output) -> None:
    if isinstance(told.answer, Route):
        verdict = output.paint("routed", "green", stream=output.stdout)
        output.data(f"{verdict} to {told.answer.region} (cluster {told.answer.cluster}) by {told.answer.rule}")
        for ground in told.grounds():
            output.data(f"  {_ground(ground)}")
        for leaf in told.answer.then:
            output.data(f"a retry may go to {leaf.region} by {leaf.rule}")
            for ground in told.grounds_of(leaf.region, leaf.rule):
                output.data(f"  {_ground(ground)}")
        for group in told.failover():
            if not group["answered"]:
                output.data(f"not by the failover group {group['group']}: {group['why_not']}")
        return
    refusal = told.answer
    verdict = output.paint("refused", "red", stream=output.stdout)
    output.data(f"{verdict} with {refusal.status} {refusal.code}: {refusal.reason}")
    output.data(f"  {ERRORS[refusal.code].cause}")


def _ground(ground: dict[str, Any]) -> str:
    if "source" not in ground:
        return f"{ground['basis']}: {ground['note']}"
    dates = "".join(f", {name} {ground[name]}" for name in ("from", "until", "as_of") if name in ground)
    return f"{ground['basis']}: {ground['source']} (to {', '.join(ground['to'])}{dates})"


def _tell_shadow(told: Explanation, output: Output) -> None:
    if told.opinion is None:
        return
    answer, kind = told.opinion.answer, told.opinion.kind
    said = ""
    if kind is not None and answer is not None:
        said = f": {answer.region} by {answer.rule}" if isinstance(answer, Route) else f": {answer.reason}"
        if kind == "failover" and isinstance(answer, Route):
            said = f": {', '.join(answer.regions[1:]) or 'nowhere'}"
    output.data(f"the shadow {_DIVERGENCES[kind]}{said}")
