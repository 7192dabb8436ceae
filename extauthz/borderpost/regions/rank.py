"""The best of the legal regions: up, near, and among equals the one that the snapshot's seed names.

A pure function of the legal set, the client's area, the latency table and a signals snapshot, so that replay comes to
the same order from what a record names. It can only choose among `legal`, never add to it.

* A region that its probe says is down is never chosen; if all are down, none is, and the request is refused.
* The latency of a region is the first figure that exists in the order of `ranking.prefer`. A region without any comes
  after all that have one.
* Regions are taken in order of latency into bands: the fastest opens a band, and all within the tie margin of it
  belong to it. Inside a band they are ordered by SHA-256 over seed and region id. (Comparing neighbours instead
  would let a chain of small steps tie the nearest with the farthest.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from borderpost.policy.model import Evidence, Source
from borderpost.regions.config import ANY_AREA, LatencySource, RankingSpec
from borderpost.regions.signals import Signals, State
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.memo import Remembered

_FAR_US = 1 << 60
"""Stands for a latency that nobody knows: beyond every figure, so that such regions share the last band."""
_NEAREST_FIRST = (Source.GEOIP, Source.TOKEN, Source.MTLS, Source.HEADER)


class Candidate(NamedTuple):
    """A legal region that is not down."""

    region: str
    latency_us: int | None
    """The figure that counted; None where there is none."""
    source: LatencySource | None
    """Where the figure came from."""


class Ranking(NamedTuple):
    """The legal regions in order."""

    chosen: str | None
    """The best region; None if all are down (HTTP 503)."""
    order: tuple[Candidate, ...]
    """All legal regions that are not down, best first."""
    down: tuple[str, ...]
    """Legal regions that are down, in the order of the legal set."""


def areas_of(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Return the codes that say where the client is in the network, the best word first.

    The address comes before any claim: a traveller's packets start where she is, not where she lives.
    """
    codes = {piece.source: piece.code for piece in evidence}
    return tuple(dict.fromkeys(codes[source] for source in _NEAREST_FIRST if source in codes))


class LatencyTable:
    """The ranking section compiled for one catalogue: rows of integers, aligned with the regions."""

    def __init__(
        self, *, regions: Sequence[str], prefer: Sequence[LatencySource], tie_margin_us: int,
        latency_us: Sequence[tuple[str, Mapping[str, int]]], groups: Mapping[str, frozenset[str]],
    ) -> None:  # fmt: skip
        self.regions = tuple(sorted(regions))
        self.prefer = tuple(prefer)
        self.tie_margin_us = tie_margin_us
        self._named_rows = tuple((area, dict(row)) for area, row in latency_us)
        self._groups = {area: groups[area] for area, _ in self._named_rows if area in groups}
        self._by_area = dict(self._named_rows)
        self._names: Remembered[tuple[str, ...], tuple[str, ...]] = Remembered(limits.REMEMBERED_AREAS_MAX)
        self._joined: _Prepared | None = None

    @classmethod
    def compile(cls, spec: RankingSpec, regions: Iterable[str], groups: Mapping[str, frozenset[str]]) -> LatencyTable:
        """Compile the section for these region ids; `groups` are the policy's, as sets of place codes.

        The caller has shown `spec.mistakes` to people; a row of an unknown region is left out here.
        """
        known = set(regions)
        rows = [
            (area, {region: round(latency_ms * 1000) for region, latency_ms in row.items() if region in known})
            for area, row in spec.latency_ms.items()
        ]
        return cls(
            regions=tuple(known),
            prefer=spec.prefer,
            tie_margin_us=round(spec.tie_margin_ms * 1000),
            latency_us=rows,
            groups=groups,
        )

    def canonical(self) -> bytes:
        """Return the one encoding of everything in the table that ranks (sorted keys, integers only)."""
        told = {
            "kind": "latency-table",
            "v": 1,
            "regions": self.regions,
            "prefer": self.prefer,
            "tie_margin_us": self.tie_margin_us,
            "rows": [{"area": area, "latency_us": row} for area, row in self._named_rows],
            "groups": {name: sorted(codes) for name, codes in self._groups.items()},
        }
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

    @property
    def digest(self) -> str:
        """Return `sha256:` and 64 hex digits over `canonical`."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    @classmethod
    def from_canonical(cls, data: bytes) -> LatencyTable:
        """Read a table back. Raises BorderpostError BP0705 if the bytes are not what `canonical` writes."""
        try:
            told: dict[str, Any] = orjson.loads(data)
            table = cls(
                regions=told["regions"],
                prefer=told["prefer"],
                tie_margin_us=told["tie_margin_us"],
                latency_us=[(row["area"], row["latency_us"]) for row in told["rows"]],
                groups={name: frozenset(codes) for name, codes in told["groups"].items()},
            )
            same = table.canonical() == data
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BorderpostError("BP0705", f"not a latency table: {error}") from error
        if not same:
            raise BorderpostError("BP0705", "not the canonical form of a latency table")
        return table

    def latency_us(self, region: str, areas: Sequence[str]) -> int | None:
        """Return the table's figure for a region as seen from these areas; None if it has none."""
        rows = map(self._by_area.__getitem__, self.rows_for(tuple(areas)))
        return next((row[region] for row in rows if region in row), None)

    def rows_for(self, areas: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the rows that may speak for these areas, the most specific first.

        For each area its subdivision, its country, then groups in the order of the file; then the next area; `*` last.
        Areas with the same rows look the same from there, and there are few rows: a flood of areas does not matter.
        """
        found = self._names.get(areas)
        if found is None:
            found = self._find_rows(areas)
            self._names.put(areas, found)
        return found

    def _find_rows(self, areas: tuple[str, ...]) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for area in areas:
            country = area[:2]
            names |= dict.fromkeys((area, country))
            names |= dict.fromkeys(name for name, codes in self._groups.items() if area in codes or country in codes)
        names[ANY_AREA] = None
        return tuple([name for name in names if name in self._by_area])

    def row(self, names: tuple[str, ...]) -> _Row:
        """Return the table's candidates by these rows, aligned with `regions`; None where it has no figure."""
        figures: dict[str, int] = {}
        for name in reversed(names):
            figures |= self._by_area[name]
        return [Candidate(region, figures[region], "table") if region in figures else None for region in self.regions]

    def prepared(self, signals: Signals) -> _Prepared:
        """Return what ranking by this snapshot needs; kept until another snapshot comes."""
        if self._joined is None or self._joined.signals is not signals:
            self._joined = _Prepared(self, signals)
        return self._joined


_Row = list[Candidate | None]


class _View(NamedTuple):
    """All regions as seen by some rows of the table and one snapshot, in the order that its seed deals."""

    candidates: list[Candidate]
    latencies: list[int]
    nearest_first: list[int]
    """Places, in the two lists above, of the regions that are not down."""


class _Prepared:
    """A table and a snapshot joined: what is the same for every client while the snapshot lasts.

    The seed deals all regions into an order, and every list here is in that order, so that inside a band of equals
    a smaller place is all that it takes to come first.
    """

    def __init__(self, table: LatencyTable, signals: Signals) -> None:
        self.signals = signals
        self.rankings: Remembered[tuple[tuple[str, ...], tuple[str, ...]], Ranking] = Remembered(
            limits.REMEMBERED_RANKINGS_MAX
        )
        seed = signals.seed.encode()
        keys = [(hashlib.sha256(seed + region.encode()).digest(), region) for region in table.regions]
        self._dealt = sorted(range(len(keys)), key=keys.__getitem__)
        dealt_regions = [table.regions[index] for index in self._dealt]
        self.place_of = {region: place for place, region in enumerate(dealt_regions)}
        told = [signals.of(region) for region in dealt_regions]
        self.down = frozenset(
            region for region, signal in zip(dealt_regions, told, strict=True) if signal.state is State.DOWN
        )
        self._probed: _Row = [
            None if signal.latency_us is None else Candidate(region, signal.latency_us, "probe")
            for region, signal in zip(dealt_regions, told, strict=True)
        ]
        self._figureless = [Candidate(region, None, None) for region in dealt_regions]
        self._table = table
        self._views: Remembered[tuple[str, ...], _View] = Remembered(limits.REMEMBERED_AREAS_MAX)

    def view(self, names: tuple[str, ...]) -> _View:
        """Return how all regions look by these rows of the table and this snapshot."""
        view = self._views.get(names)
        if view is None:
            rows = [self._row(names) if source == "table" else self._probed for source in self._table.prefer]
            candidates = [next(filter(None, known)) for known in zip(*rows, self._figureless, strict=True)]
            latencies = [_FAR_US if one.latency_us is None else one.latency_us for one in candidates]
            up = [place for place, one in enumerate(candidates) if one.region not in self.down]
            view = _View(candidates, latencies, sorted(up, key=latencies.__getitem__))
            self._views.put(names, view)
        return view

    def _row(self, names: tuple[str, ...]) -> _Row:
        row = self._table.row(names)
        return [row[index] for index in self._dealt]


def rank(legal: tuple[str, ...], areas: tuple[str, ...], table: LatencyTable, signals: Signals) -> Ranking:
    """Order the legal regions for a client in these areas (`areas_of`); the first area that has a figure counts.

    Raises KeyError for a legal region that is not in the table: the two were not made from one catalogue.
    """
    prepared = table.prepared(signals)
    names = table.rows_for(areas)
    key = (legal, names)
    ranking = prepared.rankings.get(key)
    if ranking is None:
        ranking = _rank(legal, names, table.tie_margin_us, prepared)
        prepared.rankings.put(key, ranking)
    return ranking


def _rank(legal: tuple[str, ...], names: tuple[str, ...], margin_us: int, prepared: _Prepared) -> Ranking:
    candidates, latencies, nearest_first = prepared.view(names)
    wanted = frozenset(map(prepared.place_of.__getitem__, legal))
    down = tuple([region for region in legal if region in prepared.down]) if prepared.down else ()
    count = len(candidates)
    banded: list[int] = []
    first_of_band, limit_us = -count, -1
    for place in filter(wanted.__contains__, nearest_first):
        latency_us = latencies[place]
        if latency_us > limit_us:  # beyond the margin of this band's fastest: opens the next one
            first_of_band, limit_us = first_of_band + count, latency_us + margin_us
        banded.append(first_of_band + place)
    banded.sort()
    order = tuple([candidates[number % count] for number in banded])
    return Ranking(order[0].region if order else None, order, down)
