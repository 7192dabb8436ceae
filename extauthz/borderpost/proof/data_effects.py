"""What data classes come to in the law: of two sets joined, what each comes to, joined."""

from __future__ import annotations

from typing import Final, NamedTuple


class Effect(NamedTuple):
    """All that the law of some places makes of some data classes."""

    classes: int
    """Those that are told apart, with what they imply."""
    laws: frozenset[int]
    """For each protected class the regimes that may be its law."""
    width: int | None
    """The least `Mode.width` that a class sets, None where none sets one."""
    silent: bool
    """Whether some class sets no mode, which matters beside one that does."""
    unknown: bool
    """Whether some class is defined nowhere."""

    @property
    def told(self) -> tuple[object, ...]:
        """Return a value that is equal for effects that no law tells apart."""
        return self.classes, self.laws, self.width, self.silent and self.width is not None, self.unknown


NO_EFFECT: Final = Effect(0, frozenset(), None, False, False)


def joined(one: Effect, other: Effect) -> Effect:
    """Return the effect of two sets of classes together."""
    width = one.width
    if width is None or (other.width is not None and other.width < width):
        width = other.width
    laws = one.laws if other.laws <= one.laws else one.laws | other.laws
    return Effect(one.classes | other.classes, laws, width, one.silent or other.silent, one.unknown or other.unknown)
