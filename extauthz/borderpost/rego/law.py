"""The law as Rego: one rule for each regime and each of its entries, with the source of each above it."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.policy.events import CompiledEvents
from borderpost.policy.pack import AllowEntry, Applies, DenyEntry, Regime
from borderpost.policy.regimes import CompiledRegime, allowed_by, denied_by, window
from borderpost.rego.literals import comment, mapping, reference, rule, set_of, text, within
from borderpost.rego.names import Names


class LawText:
    """The regimes of one policy in Rego."""

    def __init__(self, events: CompiledEvents, names: Names) -> None:
        self._policy = events.policy
        self._names = names

    def rules(self) -> Iterator[str]:
        """Yield each rule with the comment above it."""
        for compiled, regime in zip(self._policy.regimes, self._policy.bundle.regimes, strict=True):
            yield self._live(regime)
            if compiled.covers:
                yield self._governs(regime)
            for number, allow in enumerate(regime.allow, 1):
                yield self._allows(compiled, number, allow, regime)
            for number, deny in enumerate(regime.deny, 1):
                yield self._denies(compiled, number, deny, regime)

    def _live(self, regime: Regime) -> str:
        """Return when a regime is live (rule 9)."""
        applies = regime.applies_when
        head = comment(
            f"{regime.id}: {regime.title}",
            f"Source: {regime.source}",
            *([f"Note: {regime.note}"] if regime.note else []),
            *(["To be checked by somebody who knows this law."] if regime.confidence == "needs-review" else []),
            f"{regime.kind.capitalize()}; about subjects in {', '.join(applies.subject_in)}.",
        )
        conditions = within(window(regime.from_, regime.until))
        if "*" not in applies.data:
            conditions.append(f"request.has_any({set_of(applies.data, 1)})")
        for key, wanted in _party(applies):
            conditions.append(f"request.may_be(request.{key}, {set_of(wanted, 1)})")
        return head + rule(f"live contains {text(regime.id)}", conditions)

    def _governs(self, regime: Regime) -> str:
        """Return of which data a regime surely is the law (rule 13)."""
        conditions = [f"request.{key} in {set_of(wanted, 1)}" for key, wanted in _party(regime.applies_when)]
        data = ["*"] if "*" in regime.applies_when.data else regime.applies_when.data
        head = comment(f"What it is the law of, so that `no_regime` asks for no other: {', '.join(data)}.")
        value = mapping({"regime": text(regime.id), "data": set_of(data, 1)})
        return head + rule(f"governs contains {value}", conditions)

    def _allows(self, compiled: CompiledRegime, number: int, entry: AllowEntry, regime: Regime) -> str:
        """Return an allow entry (rule 16)."""
        conditions = within(window(entry.from_, entry.until))
        if entry.except_data:
            conditions.append(f"not request.has_any({set_of(entry.except_data, 1)})")
        if entry.only_in is not None:
            conditions.append("not request.legal_first")
        if entry.below is not None:
            conditions.append(f"not events.reached({text(entry.below.counter)}, {entry.below.count})")
        if entry.revocable:
            conditions.append("not request.stale")
        at = self._names.locations(allowed_by(entry, compiled.catalogue))
        required = _required(entry.require)
        told = f"{regime.id} allows {', '.join(entry.to)}{f' with {required}' if required else ''}: {entry.basis}"
        return _said(told, entry, regime) + _entry("allows", regime.id, number, entry.basis, at, conditions)

    def _denies(self, compiled: CompiledRegime, number: int, entry: DenyEntry, regime: Regime) -> str:
        """Return a deny entry (rule 17)."""
        conditions = within(window(entry.from_, entry.until))
        if "*" not in entry.data:
            conditions.append(f"request.has_any({set_of(entry.data, 1)})")
        if entry.above is not None:
            conditions.append(f"events.reached({text(entry.above.counter)}, {entry.above.count})")
        at = self._names.locations(denied_by(entry, compiled.catalogue))
        told = f"{regime.id} denies {', '.join(entry.to)}"
        told += f" to operators of {', '.join(entry.operator_in)}" if entry.operator_in else ""
        required = _required(entry.unless)
        told += f" unless they bring {required}" if required else ""
        return _said(f"{told}: {entry.basis}", entry, regime) + _entry(
            "denies", regime.id, number, entry.basis, at, conditions
        )


def _party(applies: Applies) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key in ("tenant", "model", "purpose"):
        wanted: tuple[str, ...] | None = getattr(applies, key)
        if wanted is not None:
            yield key, wanted


def _required(require: object | None) -> str:
    """Return what an entry requires, in words."""
    if require is None:
        return ""
    named = {name: getattr(require, name) for name in sorted(type(require).model_fields)}  # type: ignore[attr-defined]
    wanted = {name: value for name, value in named.items() if value is not None}
    return ", ".join(f"{key} {' '.join(v) if isinstance(v, tuple) else v}" for key, v in wanted.items())


def _said(told: str, entry: AllowEntry | DenyEntry, regime: Regime) -> str:
    """Return the comment above an entry."""
    return comment(
        told,
        f"Source: {entry.source or regime.source}",
        *([f"Note: {entry.note}"] if entry.note else []),
        *(["To be checked by somebody who knows this law."] if entry.confidence == "needs-review" else []),
    )


def _entry(word: str, regime_id: str, number: int, basis: str, at: list[str], conditions: list[str]) -> str:
    value = mapping({"basis": text(basis), "at": set_of(at, 1)})
    return rule(f"{reference(word, regime_id, f'{number} {basis}')} := {value}", conditions)
