"""What a pack says, in words: for `borderpost packs show` and for the reference page, which say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from borderpost.policy.fields import format_instant
from borderpost.policy.pack import (
    AllowEntry,
    Applies,
    Counter,
    DenyEntry,
    Group,
    GroupRule,
    PolicyPack,
    Regime,
    Require,
)

_MIDNIGHT = "T00:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class EntryWords:
    """One entry of a regime."""

    rule: str
    """`allow` or `deny`."""
    to: str
    basis: str
    """As it stands in reasons and records, without the regime."""
    holds: str
    """From when until when; empty if always."""
    conditions: tuple[str, ...]
    source: str
    """Its own, or the regime's."""
    as_of: str
    confidence: str
    note: str | None


def entries_of(pack: PolicyPack, regime: Regime) -> Iterator[EntryWords]:
    """Yield what a regime says, in its order: what it allows, what it denies."""
    entries: tuple[AllowEntry | DenyEntry, ...] = (*regime.allow, *regime.deny)
    for entry in entries:
        yield EntryWords(
            "allow" if isinstance(entry, AllowEntry) else "deny",
            ", ".join(entry.to),
            entry.basis,
            window(entry),
            tuple(_allow_conditions(entry) if isinstance(entry, AllowEntry) else _deny_conditions(entry)),
            entry.source or regime.source,
            str(entry.as_of or regime.as_of or pack.metadata.as_of),
            regime.confidence if entry.source is None and entry.confidence == "sourced" else entry.confidence,
            entry.note,
        )


def otherwise(regime: Regime) -> str:
    """Say what holds for destinations that no entry names."""
    if regime.kind == "embargo":
        return "refuses every request of a subject there, and no region there serves anybody"
    if regime.default == "deny":
        return "anything else is denied"
    return f"anything else is allowed on `{regime.basis}`" if regime.basis else "says nothing of anything else"


def condition(applies: Applies) -> str:
    """Say which requests a regime is about."""
    named = {
        "subject": None if "*" in applies.subject_in else applies.subject_in,
        "data": None if "*" in applies.data else applies.data,
        "tenant": applies.tenant,
        "model": applies.model,
        "purpose": applies.purpose,
    }
    return "; ".join(f"{what} in {', '.join(values)}" for what, values in named.items() if values) or "any request"


def window(dated: AllowEntry | DenyEntry | Regime) -> str:
    """Say from when until when something holds; empty if always. Whole days are days of UTC."""
    words = [("from", dated.from_), ("until", dated.until)]
    return ", ".join(
        f"{word} {format_instant(at).removesuffix(_MIDNIGHT).replace('.000000Z', 'Z')}" for word, at in words if at
    )


def counting(counter: Counter) -> str:
    """Say what a counter counts, and in which window."""
    return f"{counter.window} at {counter.zone}, on {', '.join(counter.bases)}"


def group_words(group: Group) -> str:
    """Say what makes a group."""
    if not isinstance(group, GroupRule):
        return ", ".join(group)
    parts = [*group.all_of, *group.plus]
    return ", ".join(parts) + (f"; without {', '.join(group.minus)}" if group.minus else "")


def _allow_conditions(entry: AllowEntry) -> Iterator[str]:
    if entry.require is not None:
        yield f"requires {_requirements(entry.require)}"
    if entry.except_data:
        yield f"not for {', '.join(entry.except_data)}"
    if entry.below is not None:
        yield f"until `{entry.below.counter}` has reached {entry.below.count:,}"
    if entry.only_in is not None:
        yield f"only in {entry.only_in} mode"
    if not entry.revocable:
        yield "not revocable"


def _deny_conditions(entry: DenyEntry) -> Iterator[str]:
    if "*" not in entry.data:
        yield f"for {', '.join(entry.data)}"
    if entry.operator_in is not None:
        yield f"if the operator may be in {', '.join(entry.operator_in)}"
    if entry.unless is not None:
        yield f"unless it brings {_requirements(entry.unless)}"
    if entry.above is not None:
        yield f"once `{entry.above.counter}` has reached {entry.above.count:,}"


def _requirements(require: Require) -> str:
    """Name all that a region must bring, by the keys that packs use."""
    named: Mapping[str, object] = require.model_dump(exclude_none=True)
    return " and ".join(
        f"{name} {', '.join(value) if isinstance(value, tuple) else value}" for name, value in named.items()
    )
