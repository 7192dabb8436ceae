"""Words of a decision for people who read law and no code: sources, reasons, conflicts, modes, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from borderpost.catalog import group_members
from borderpost.cli.explanation import Explanation
from borderpost.cli.grounds import EVENT_PREFIX, holds, split
from borderpost.policy.codes import is_code
from borderpost.policy.model import Evidence, Mode, Source
from borderpost.policy.pack import DataClass, Regime, Require
from borderpost.policy.schema import RegionSpec
from borderpost.proof.country_names import named_place

SOURCES: Final = {
    Source.TOKEN: "a signed token that the client presented",
    Source.MTLS: "the client's certificate",
    Source.HEADER: "the client's own word, in a header",
    Source.GEOIP: "the network address, looked up in a database of places",
}
_SHORT: Final = {Source.TOKEN: "token", Source.MTLS: "certificate", Source.HEADER: "header", Source.GEOIP: "address"}
TRUST: Final = {
    Source.TOKEN: "verified by its signature",
    Source.MTLS: "verified by its signature",
    Source.HEADER: "asserted: it can only restrict",
    Source.GEOIP: "inferred",
}
DOUBTS: Final = {
    "anonymiser": "the address is that of a VPN, proxy or Tor exit",
    "hosting": "the address belongs to a hosting network",
    "confidence": "the database is not sure enough",
}
MODES: Final = {
    Mode.LEGAL_FIRST: "the strictest: only legal bases that hold for everybody count",
    Mode.HYBRID: "named cross-border bases count too",
    Mode.PERFORMANCE_FIRST: "data that no law restricts may go anywhere",
}
_REFUSALS: Final = {
    "embargo": "The person is, by some evidence, in a place under embargo.",
    "evidence-required": "Evidence that this tenant or route requires was missing: {}.",
    "unknown-class": "A class of data was declared that no rule defines.",
    "unknown-code": "Some evidence named a place that does not exist.",
    "unknown-subject": "Nothing that may be believed said where the person is.",
    "subdivision-unknown": "A law is about a part of a country, and only the country was known.",
    "no-regime": "No law is known for this place and this protected data, and such requests are refused.",
    "here-not-allowed": "The law does not let the gateway itself, at its own place, see the request.",
    "sink-not-allowed": "The law does not let the place to which the gateway reports ({}) hear of the request.",
    "no-legal-region": "No region may serve the request under every law that applies to it.",
    "no-legal-region-up": "Every region that may serve it was out of service.",
}
_LOCATIONS: Final = {
    "inference": "",
    "retention": " where it keeps what it is sent",
    "telemetry": " where it reports to",
}
_REQUIREMENTS: Final = {
    "operator_certified": "an operator certified under {}",
    "contract": "the contract {}",
    "tia": "an {} transfer impact assessment",
    "attestation": "the attestation {}",
    "encryption": "encryption {}",
}


def place(code: str) -> str:
    """Return a place's name with its code: `Germany (DE)`, `a part of Canada (CA-QC)`; a group or a word as it is."""
    if code == "*":
        return "any place"
    return named_place(code) if is_code(code) else code


def places(explanation: Explanation, refs: Iterable[str]) -> str:
    """Return places named by a rule: countries by name, groups with how many places they have."""
    members = group_members(explanation.compiled.bundle)
    return ", ".join(
        f"the group {ref} ({len(members[ref])} places)" if ref in members else place(ref) for ref in refs
    )  # fmt: skip


def source_and_code(piece: Evidence) -> str:
    """Return what a piece of evidence says, in a few words: `the token says Germany (DE)`."""
    return f"the {_SHORT[piece.source]} says {place(piece.code)}"


def region_words(name: str, spec: RegionSpec) -> str:
    """Return a region with its place and who runs it."""
    operator = spec.operator
    run = f", run by {operator.entity}" if operator.entity is not None else ", run by an operator who is not named"
    if operator.jurisdiction is not None:
        run += f" (who can be compelled in {place(operator.jurisdiction)})"
    return f"{name} in {place(spec.place)}{run}"


def refusal_words(reason: str) -> str:
    """Return why a request was refused as a whole, as a sentence."""
    kind, _, name = reason.partition(":")
    return _REFUSALS.get(kind, f"The request was refused for the reason “{reason}”.").format(name)


def required(requirement: Require) -> str:
    """Return what a rule requires of a region, in words."""
    named = ((word, getattr(requirement, name)) for name, word in _REQUIREMENTS.items())
    parts = [word.format(value) for word, value in named if value is not None]
    if requirement.operator_in is not None:
        parts.append(f"an operator who can be compelled in {', '.join(map(place, requirement.operator_in))} only")
    return " and ".join(parts)


def conflict_words(conflict: str) -> str:
    """Return a disagreement between sources as a sentence."""
    if conflict == "header-widen":
        return "The client's header asked for more than the law of the other evidence allows; that was not granted."
    named = {source.value: word for source, word in _SHORT.items()}
    first, _, second = conflict.partition("-vs-")
    return (
        f"The {named.get(first, first)} and the {named.get(second, second)} name different places. The law of each was "
        "applied, and only what all of it allows was left."
    )


def why_not(explanation: Explanation, name: str, reason: str) -> str:
    """Return why the law does not let a region serve the request, as a sentence."""
    label = split(reason)
    regime = next((each for each in explanation.compiled.bundle.regimes if each.id == label.regime), None)
    where = _LOCATIONS[label.location]
    if reason.startswith(EVENT_PREFIX):
        return f"The legal event {label.name} excludes {name}{where}."
    if regime is None:
        return refusal_words(label.name or reason)
    if label.name == "no-basis":
        none = f"{regime.title} gives no legal basis for sending the data to {name}{where}."
        return none + _nearly(regime, explanation, name)
    if label.name == "embargo":
        return f"{name}{where} may lie in a place under embargo ({regime.title})."
    if label.name.startswith(("here-not-allowed", "sink-not-allowed", "no-regime")):
        return refusal_words(label.name)
    return f"{regime.title} forbids {name}{where} by its rule “{label.name}”."


def _nearly(regime: Regime, explanation: Explanation, name: str) -> str:
    """Return what the region would have to bring, where the regime gives a basis for its place on conditions."""
    policy, known = explanation.compiled.policy, explanation.compiled.bundle.vocabulary.classes
    classes = {implied for each in explanation.facts.classes for implied in _closure(each, known)}
    asked = {
        required(entry.require)
        for entry in regime.allow
        if entry.require is not None
        and holds(entry, explanation.at_us)
        and not classes & set(entry.except_data)
        and policy.catalogue.inside(entry.to) & policy.index.bits[name]
    }
    return f" It would give one to a region there with {'; or with '.join(sorted(asked))}." if asked else ""


def conditions(explanation: Explanation, regime: Regime) -> Iterator[str]:
    """Yield each condition of a regime that applied, and the fact that meets it."""
    applies, facts = regime.applies_when, explanation.facts
    yield from _subject_condition(explanation, regime)
    if "*" not in applies.data:
        classes = explanation.compiled.bundle.vocabulary.classes
        met = [name for name in facts.classes if _closure(name, classes) & set(applies.data)]
        yield f"it is about data of the kinds {', '.join(applies.data)}: the request's data is {', '.join(met)}"
    for kind, wanted, value in (
        ("tenant", applies.tenant, facts.tenant), ("model", applies.model, facts.model),
        ("purpose", applies.purpose, facts.purpose),
    ):  # fmt: skip
        if wanted is not None:
            known = f"it is {value}" if value in wanted else "it is not known for sure, which counts as met"
            yield f"it is about the {kind} {' or '.join(wanted)}: {known}"


def _subject_condition(explanation: Explanation, regime: Regime) -> Iterator[str]:
    policy = explanation.compiled.policy
    (compiled,) = (each for each in policy.regimes if each.id == regime.id)
    where = places(explanation, regime.applies_when.subject_in)
    met = []
    for piece in explanation.facts.evidence:
        found = policy.places.find(piece.code)
        if found is None or (piece.doubt is not None and regime.kind != "embargo"):
            continue
        about = policy.applicable(found)
        if about.sure & compiled.bit:
            met.append(source_and_code(piece))
        elif about.partly & compiled.bit:
            met.append(f"{source_and_code(piece)}, of which a part belongs to it")
    if not met:
        met = [f"the place is not known, so the law of {place(code)} counts" for code in policy.treat_as]
    yield f"it is about people in {where}: {'; '.join(met) or 'the person may be there'}"


def _closure(name: str, known: Mapping[str, DataClass]) -> set[str]:
    """Return a class and all that it implies."""
    found: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one not in found and one in known:
            found.add(one)
            left += known[one].implies
    return found
