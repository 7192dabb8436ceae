"""Which sets of declared data classes some policies tell apart, in one standing and at some places."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from borderpost.proof.data_effects import Effect, joined
from borderpost.proof.standings import UNDECLARED, Asking, Reader, Scope, alike, without_sample
from borderpost_base import limits
from borderpost_base.errors import BorderpostError


def declarations(
    readers: Sequence[Reader], asking: Asking, names: Sequence[str], scopes: Sequence[Scope]
) -> tuple[tuple[str, ...], ...]:
    """Return the sets of declared classes that the law of some places tells apart in a standing, each the smallest of
    its kind. `scopes` has one for each side.

    Effects join, so it is enough to grow sets by one class at a time and go on from new effects. A declaration may
    stand in a floor's place, so none is another beginning than some.
    """
    sides = tuple(zip(readers, scopes, strict=True))
    effects = {name: tuple(reader.effect((name,), scope) for reader, scope in sides) for name in names}
    names = alike(names, lambda name: tuple(effect.told for effect in effects[name]))
    start = _floors(sides, asking._replace(declared=(UNDECLARED,)))
    found: dict[object, tuple[str, ...]] = {_told_apart(_floors(sides, asking)): ()}
    reached: set[object] = set()
    waiting: deque[tuple[tuple[str, ...], _Effects]] = deque()
    waiting.extend(((name,), _with(start, effects[name])) for name in names)
    while waiting:
        declared, effect = waiting.popleft()
        if len(",".join(declared)) > limits.HEADER_VALUE_BYTES_MAX:
            continue
        key = _told_apart(effect)
        if key in reached:
            continue
        reached.add(key)
        found.setdefault(key, declared)
        if len(reached) >= limits.PROOF_DECLARATIONS_MAX:
            detail = f"{len(names)} data classes make more than {limits.PROOF_DECLARATIONS_MAX:,} kinds of data"
            raise BorderpostError("BP1202", detail)
        if len(declared) < limits.DATA_CLASSES_MAX:
            waiting.extend(
                (tuple(sorted((*declared, name))), _with(effect, effects[name]))
                for name in names
                if name not in declared
            )
    return tuple(found.values())


_Effects = tuple[Effect | None, ...]
"""For each side; None where it refuses the request before the law is asked."""


def _floors(sides: Iterable[tuple[Reader, Scope]], asking: Asking) -> _Effects:
    facts = [(reader.facts(asking), reader, scope) for reader, scope in sides]
    return tuple(
        None if one is None else reader.effect(without_sample(one.classes), scope) for one, reader, scope in facts
    )


def _with(effects: _Effects, others: Iterable[Effect]) -> _Effects:
    return tuple(None if one is None else joined(one, other) for one, other in zip(effects, others, strict=True))


def _told_apart(effects: _Effects) -> tuple[object, ...]:
    return tuple(None if one is None else one.told for one in effects)


def declaration_of(
    readers: Sequence[Reader], asking: Asking, declared: tuple[str, ...], scopes: Sequence[Scope]
) -> tuple[object, ...]:
    """Return what tells a set of declared classes from others in a standing."""
    facts = (reader.facts(asking._replace(declared=declared)) for reader in readers)
    return tuple(
        None if one is None else reader.effect(one.classes, scope).told
        for reader, one, scope in zip(readers, facts, scopes, strict=True)
    )
