"""What is said of each region, kept as layers of bit masks and spelt out only for the regions asked about.

With hundreds of regions, writing a reason for each costs more than deciding; a request needs the basis of one
region and the counts of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress

Layer = tuple[int, str]
"""Mask of regions, and what is said of them."""

UNRESTRICTED = "unrestricted"
"""The basis of a region that no applying regime speaks of."""

_BITS = bytes.maketrans(b"01", b"\x00\x01")


class RegionIndex:
    """The processors of one deployment: bit i is the i-th region id in sorted order, then `here`, then the sinks."""

    __slots__ = ("bits", "everyone", "here", "ids", "own", "sinks", "width")

    def __init__(self, ids: tuple[str, ...], sinks: tuple[str, ...] = ()) -> None:
        self.ids = ids
        """Region ids, sorted."""
        self.bits = {region_id: 1 << index for index, region_id in enumerate(ids)}
        """Mask of each region."""
        self.everyone = (1 << len(ids)) - 1
        """Mask of all regions, without `here`."""
        self.here = 1 << len(ids)
        """Mask of this gateway's own place."""
        self.sinks = {name: self.here << 1 + index for index, name in enumerate(sorted(sinks))}
        """Mask of each sink."""
        self.width = len(ids) + 1 + len(sinks)
        """Number of bits."""
        self.own = (1 << self.width) - 1 - self.everyone
        """Mask of `here` and all sinks: what every request meets, wherever it is routed."""

    def own_reason(self, mask: int) -> str:
        """Return why a request is refused for the first of its own processors in a mask that the law refuses."""
        if mask & self.here:
            return "here-not-allowed"
        return "sink-not-allowed:" + next(name for name, bit in self.sinks.items() if bit & mask)

    def named(self, mask: int) -> tuple[str, ...]:
        """Return the ids of a mask, sorted."""
        selected = f"{mask & self.everyone:0{len(self.ids)}b}"[::-1].encode().translate(_BITS)
        return tuple(compress(self.ids, selected)) if self.ids else ()


class RegionTexts(Mapping[str, str]):
    """A mapping from region id to text; equal to the dict of the same items."""

    __slots__ = ("_index", "_layers", "_mask")

    def __init__(self, index: RegionIndex, mask: int, layers: tuple[Layer, ...]) -> None:
        """Say the layers' texts of the regions in `mask`; every region there is in a layer."""
        self._index = index
        self._mask = mask & index.everyone
        self._layers = layers

    @property
    def key(self) -> tuple[int, tuple[Layer, ...]]:
        """Return a value that is equal for texts of the same regions that are the same by their parts."""
        return self._mask, self._layers

    def __getitem__(self, region_id: str) -> str:
        bit = self._index.bits[region_id] & self._mask
        if not bit:
            raise KeyError(region_id)
        return self._text(bit)

    def _text(self, bit: int) -> str:
        return next(text for mask, text in self._layers if mask & bit)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index.named(self._mask))

    def __len__(self) -> int:
        return self._mask.bit_count()

    def __repr__(self) -> str:
        return repr(dict(self))


class FirstReasons(RegionTexts):
    """The first reason against each region."""

    __slots__ = ()

    def spelled(self) -> dict[str, str]:
        """Return the reason of each region, as `dict` would, in the order of the reasons."""
        told: dict[str, str] = {}
        left = self._mask
        for mask, text in self._layers:
            if hit := left & mask:
                told.update(dict.fromkeys(self._index.named(hit), text))
                left &= ~hit
        return told

    def counts(self) -> dict[str, int]:
        """Return how many regions each reason refuses, without spelling out the regions."""
        counted: dict[str, int] = {}
        left = self._mask
        for mask, text in self._layers:
            if hit := left & mask:
                counted[text] = counted.get(text, 0) + hit.bit_count()
                left &= ~hit
        return counted


class AllBases(RegionTexts):
    """Every basis that allows each region, joined by a comma; `unrestricted` where none is needed."""

    __slots__ = ()

    def _text(self, bit: int) -> str:
        return ",".join(text for mask, text in self._layers if mask & bit) or UNRESTRICTED
