"""One decision as a page for a lawyer: `explain --format lawyer`, as Markdown or HTML.

It says what was known and how far it was believed, which laws applied and by which facts, on which legal basis the
region was chosen, why not another, and how all of it can be checked. Every rule comes with its source and its date.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from borderpost.answers import Route
from borderpost.audit.kinds import format_stamp
from borderpost.cli import lawyer_words as words
from borderpost.cli.explanation import Explanation
from borderpost.cli.pages import Page
from borderpost.policy.pack import PolicyPack, Regime
from borderpost_base.errors import ERRORS

NOT_ADVICE = "This page is made by a program from rules that people have written down. It is not legal advice."


def page_of(explanation: Explanation) -> Page:
    """Return the page of a decision."""
    page = Page()
    page.heading("Where a request was sent, and on what legal grounds", 1)
    page.paragraph(_outcome(explanation))
    _evidence(page, explanation)
    _laws(page, explanation)
    _chosen(page, explanation)
    _others(page, explanation)
    _circumstances(page, explanation)
    _checking(page, explanation)
    page.paragraph(NOT_ADVICE)
    return page


def _outcome(told: Explanation) -> str:
    at = _instant(told.at_us)
    answer = told.answer
    record = f"Decision {told.decision_id}" if told.decision_id is not None else "A made-up request"
    if told.observed is not None:
        return _outcome_observed(told, f"{record}, {at}")
    if isinstance(answer, Route):
        spec = told.compiled.catalog.regions[answer.region]
        sent = f"{record}, {at}: the request was sent to {words.region_words(answer.region, spec)}."
        regions = told.compiled.catalog.regions
        spare = [words.region_words(leaf.region, regions[leaf.region]) for leaf in answer.then]
        if not spare:
            return sent
        return (
            f"{sent} Had that failed, the gateway could have sent it on, without asking again, to {'; '.join(spare)}."
        )
    status = {403: "evidence was missing", 451: "the law forbids it", 503: "nothing that may serve it could"}
    return (
        f"{record}, {at}: the request was refused ({status.get(answer.status, 'it was malformed')}). "
        f"{words.refusal_words(answer.reason)} {ERRORS[answer.code].cause}"
    )


def _outcome_observed(told: Explanation, record: str) -> str:
    observed = told.observed or {}
    answer, regions = told.answer, told.compiled.catalog.regions
    went = "to a place that is not known"
    if "r" in observed:
        allowed = "the law does not allow" if "unlawful" in observed else "the law allows"
        went = f"to {words.region_words(observed['r'], regions[observed['r']])}, which {allowed}"
    if isinstance(answer, Route):
        would = f"it would have been sent to {words.region_words(answer.region, regions[answer.region])}."
    else:
        would = f"it would have been refused. {words.refusal_words(answer.reason)} {ERRORS[answer.code].cause}"
    return (
        f"{record}: the gateway only observed this request, and kept no law on it. The request went {went}. Had the "
        f"law been kept, {would} What follows explains that, not what was done."
    )


def _instant(at_us: int) -> str:
    stamp = format_stamp(at_us)
    return f"{stamp[:10]} {stamp[11:19]} UTC"


def _evidence(page: Page, told: Explanation) -> None:
    facts = told.facts
    page.heading("What was known of the request")
    rows = [
        (
            words.SOURCES[piece.source],
            words.place(piece.code) + (" (no part of it is known)" if piece.subdivision_unknown else ""),
            words.TRUST[piece.source],
            "none" if piece.doubt is None
            else f"{words.DOUBTS.get(piece.doubt, piece.doubt)}: not believed, it counts for embargoes only",
        )
        for piece in facts.evidence
    ]  # fmt: skip
    page.table(("Evidence of where the person is", "It says", "Believed", "Doubt"), rows)
    if not rows:
        page.paragraph("There was no evidence of where the person is.")
    data = [_class_words(name, told) for name in facts.classes]
    items = [f"Kinds of data: {'; '.join(data) or 'none was named'}."]
    items += [f"Tenant (whose request it is), proved: {facts.tenant}."] if facts.tenant is not None else []
    items += [f"Model asked for: {facts.model}."] if facts.model is not None else []
    items += [f"Purpose: {facts.purpose}."] if facts.purpose is not None else []
    items += [f"Missing evidence that was required: {facts.missing}."] if facts.missing is not None else []
    page.items(items)


def _class_words(name: str, told: Explanation) -> str:
    known = told.compiled.bundle.vocabulary.classes.get(name)
    if known is None:
        return f"{name} (defined nowhere)"
    implied = f", which is also {', '.join(known.implies)}" if known.implies else ""
    return f"{name} (sensitivity {known.rank} of 9{implied})"


def _laws(page: Page, told: Explanation) -> None:
    page.heading("Which laws applied, and why")
    if told.law is None:
        page.paragraph("No law was asked: the request was refused before.")
        return
    bundle = told.compiled.bundle
    known = {regime.id: regime for regime in bundle.regimes}
    rows = []
    for name in told.law.regimes:
        regime = known[name]
        pack = next((each for each in bundle.packs if regime in each.regimes), None)
        why = "; ".join(words.conditions(told, regime))
        rows.append(
            (f"{regime.title} (here: {name})", f"{why[:1].upper()}{why[1:]}.", regime.source, _edition(regime, pack))
        )
    page.table(("Law", "It applies because", "Source", "As read on; reviewed"), rows)
    if not rows:
        page.paragraph("No law that is known here is about this person and this data.")


def _edition(regime: Regime, pack: PolicyPack | None) -> str:
    as_of = regime.as_of or (pack.metadata.as_of if pack is not None else None)
    parts = [f"read on {as_of}" if as_of is not None else "day of reading not stated"]
    if pack is None:
        parts.append("a rule of this deployment's own")
    else:
        meta = pack.metadata
        parts.append(f"collection {meta.id}, edition {meta.version}")
        parts.append(f"reviewed by {', '.join(meta.reviewed_by)}" if meta.reviewed_by else "reviewed by nobody yet")
        parts += [f"to be read again by {meta.review_by}"] if meta.review_by is not None else []
    parts += ["must still be checked in its source"] if regime.confidence == "needs-review" else []
    return "; ".join(parts)


def _chosen(page: Page, told: Explanation) -> None:
    answer = told.answer
    if not isinstance(answer, Route):
        return
    page.heading("On which legal basis this region may serve it")
    _grounds(page, told, told.grounds())
    page.paragraph(_why_this(told, answer.region))
    for leaf in answer.then:
        page.heading(f"On which legal basis {leaf.region} could have served it, had that failed")
        _grounds(page, told, told.grounds_of(leaf.region, leaf.rule))


def _grounds(page: Page, told: Explanation, grounds: Iterable[dict[str, Any]]) -> None:
    rows = []
    for ground in grounds:
        if "source" not in ground:
            rows.append((ground["basis"], f"{ground['note'][:1].upper()}{ground['note'][1:]}.", "-", "-"))
            continue
        rows.append((ground["basis"], _allowed(told, ground), ground["source"], _dates(ground)))
    page.table(("Basis (law / name)", "It allows", "Source", "Dates"), rows)


def _allowed(told: Explanation, ground: dict[str, Any]) -> str:
    where = {"inference": "processing", "retention": "keeping", "telemetry": "reporting"}[ground["location"]]
    text = f"{where} in {words.places(told, ground['to'])}"
    if "require" in ground:
        from borderpost.policy.pack import Require

        text += (
            f", for regions that bring {words.required(Require.model_validate(ground['require']))}, as this one does"
        )
    note = f" Note: {ground['note']}" if "note" in ground else ""
    return f"{text[:1].upper()}{text[1:]}.{note}"


def _dates(ground: dict[str, Any]) -> str:
    dates = [f"{name} {str(ground[name])[:10]}" for name in ("from", "until") if name in ground]
    dates += [f"read on {ground['as_of']}"] if "as_of" in ground else []
    dates += ["must still be checked in its source"] if ground.get("confidence") == "needs-review" else []
    return "; ".join(dates) or "-"


def _why_this(told: Explanation, region: str) -> str:
    ranking = told.ranking
    if ranking is None or len(ranking.order) < 2:
        return f"{region} was the only region that the law allows and that was in service."
    first, second = ranking.order[0], ranking.order[1]
    among = f"Of the {len(ranking.order)} regions that the law allows and that were in service, {region} was chosen"
    if first.latency_us is None:
        return f"{among} by lot, since nothing is known of how far away they are."
    margin_us = told.compiled.table.tie_margin_us
    if second.latency_us is not None and abs(second.latency_us - first.latency_us) <= margin_us:
        return (
            f"{among}: it and {second.region} are as good as equally near ({_ms(first.latency_us)} and "
            f"{_ms(second.latency_us)}), and the lot decides between equals."
        )
    then = _ms(second.latency_us) if second.latency_us is not None else "at an unknown distance"
    return f"{among} because it is the nearest: {_ms(first.latency_us)}; the next, {second.region}, {then}."


def _ms(latency_us: int) -> str:
    return f"{latency_us / 1000:.1f} ms"


def _others(page: Page, told: Explanation) -> None:
    rows = []
    reached = told.answer.regions if isinstance(told.answer, Route) else ()
    for row in told.regions():
        if row["region"] in reached:
            continue
        spec = told.compiled.catalog.regions[row["region"]]
        rows.append((words.region_words(row["region"], spec), _why_other(told, row), row.get("source") or "-"))
    if rows:
        page.heading("Why no other region" if isinstance(told.answer, Route) else "Why no region")
        page.table(("Region", "Why not", "Source"), rows)


def _why_other(told: Explanation, row: dict[str, Any]) -> str:
    if row["legal"] is None:
        return "The law was not asked."
    if not row["legal"]:
        return words.why_not(told, row["region"], row["why"])
    if row["state"] == "down":
        return "The law allows it; it was out of service."
    chosen = told.ranking.order[0] if told.ranking is not None and told.ranking.order else None
    if chosen is None or chosen.latency_us is None:
        return "The law allows it; nothing is known of how far away it is, and the lot fell on another."
    if row["latency_us"] is None:
        return f"The law allows it; nothing is known of how far away it is, and {chosen.region} is known to be near."
    if row["latency_us"] <= chosen.latency_us + told.compiled.table.tie_margin_us:
        return (
            f"The law allows it; it is as good as equally near ({_ms(row['latency_us'])}), and the lot fell on another."
        )
    return f"The law allows it; it is farther away ({_ms(row['latency_us'])})."


def _circumstances(page: Page, told: Explanation) -> None:
    law = told.law
    if law is None:
        return
    page.heading("What else counted")
    items = [f"How far speed may count ({law.mode.value}): {words.MODES[law.mode]}."]
    for event in told.events_taking_part():
        until = f" until {event['effective_until'][:10]}" if event["effective_until"] else ""
        signed = ", ".join(event["signed_by"]) or "nobody"
        items.append(
            f"Legal event {event['id']} ({event['type'].replace('_', ' ')}), in force from "
            f"{event['effective_from'][:10]}{until}, known since {event['recorded_at'][:10]}, "
            f"signed by {signed}: {event['reason']} Source: {event['source']}"
        )
    items.append(
        "Conflict: " + words.conflict_words(law.conflict) if law.conflict else "The evidence does not conflict."
    )
    if law.subdivision_unknown:
        items.append("A law is about a part of a place of which only the whole was known.")
    stale = "The list of legal events was older than allowed: bases that can be revoked did not count."
    items.append(stale if law.stale else "The list of legal events was current.")
    for own in told.own_places():
        name = "The gateway itself" if own["name"] == "here" else f"The place it reports to, {own['name']},"
        verdict = {True: "may see the request", False: "may not see the request", None: "was not asked about"}
        items.append(f"{name} stands in {words.place(own['place'])} and {verdict[own['allowed']]}.")
    if law.valid_until_us is not None:
        items.append(f"By what is known now, this holds until {_instant(law.valid_until_us)}.")
    page.items(items)


def _checking(page: Page, told: Explanation) -> None:
    page.heading("How to check this page")
    if told.decision_id is None:
        page.paragraph(
            "This request was made up, so no record of it exists. The same question, asked of the same inputs, has the "
            "same answer; the inputs are known by their digests (SHA-256):"
        )
    else:
        page.paragraph(
            f"The decision stands in the audit log as {told.decision_id}. “borderpost verify LOG” shows that the log "
            f"is whole and unaltered; “borderpost explain --log LOG {told.decision_id}” derives the decision anew. Its "
            "inputs are kept beside the log, by their digests (SHA-256):"
        )
    page.table(("Input", "Digest"), [(part, digest) for part, digest in sorted(told.inputs.items())])
    page.items([f"{note[:1].upper()}{note[1:]}." for note in told.notes])
