"""Failover groups: several regions behind one cluster of Envoy's, which turns to the next where one fails.

Envoy retries by itself, and asks nobody again. So the cluster of a group is answered only for a request that may go to
each of its regions, at the instant of its decision, and none of them is known to be down; for every other request the
region chosen is answered alone. A group can therefore only ever be left out: it never adds a region.

A group counts where the ranking begins with its first region. Of several such groups the one whose further regions
stand nearest the top of the ranking is taken, and of two that begin alike the longer one. Pure functions: replay comes
to the same group from what a record names.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import Field

from borderpost.policy.fields import ClusterName, Identifier
from borderpost.regions.rank import Ranking
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel


class FailoverGroup(StrictModel):
    """Regions that stand in for each other, in order, behind one cluster of Envoy's."""

    regions: tuple[Identifier, ...] = Field(min_length=2, max_length=limits.FAILOVER_REGIONS_MAX)
    """Ids of the regions, the first choice first. Envoy goes on to the next where one cannot be reached, resets the
    request before it answers, or answers 503."""

    cluster: ClusterName | None = None
    """Name of the Envoy cluster; the group's id by default, as for a region."""


class Group(NamedTuple):
    """One group of a catalogue, ready to be chosen."""

    id: str
    cluster: str
    regions: tuple[str, ...]


class FailoverGroups:
    """The groups of one catalogue, by the region that each begins with."""

    def __init__(self, groups: Mapping[str, FailoverGroup]) -> None:
        by_first: dict[str, list[Group]] = {}
        for name, spec in groups.items():
            by_first.setdefault(spec.regions[0], []).append(Group(name, spec.cluster or name, spec.regions))
        self._by_first = {first: tuple(found) for first, found in by_first.items()}

    def beginning_with(self, region: str) -> tuple[Group, ...]:
        """Return the groups whose first choice is this region, in the order of the configuration."""
        return self._by_first.get(region, ())

    def choose(self, ranking: Ranking, legal: tuple[str, ...]) -> Group | None:
        """Return the group to answer in place of the region chosen; None where there is none.

        `legal` is what was ranked, sorted: a region of it that is not in `ranking.down` can serve, and no other can.
        """
        groups = self._by_first.get(ranking.chosen, ()) if ranking.chosen is not None else ()
        fitting = [group for group in groups if all(_can_serve(each, ranking, legal) for each in group.regions)]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        places = _places(ranking, {region for group in fitting for region in group.regions})
        beyond = len(ranking.order)
        return min(fitting, key=lambda group: (*(places[region] for region in group.regions), beyond))


def _places(ranking: Ranking, wanted: set[str]) -> dict[str, int]:
    """Return the place of each of these regions in the ranking; they are near its top, as a rule."""
    places: dict[str, int] = {}
    for place, candidate in enumerate(ranking.order):
        if candidate.region in wanted:
            places[candidate.region] = place
            if len(places) == len(wanted):
                break
    return places


def _can_serve(region: str, ranking: Ranking, legal: tuple[str, ...]) -> bool:
    place = bisect_left(legal, region)  # with hundreds of regions a set of them would be the dearest part of a decision
    return place < len(legal) and legal[place] == region and region not in ranking.down


def mistakes(
    groups: Mapping[str, FailoverGroup], clusters: Mapping[str, str]
) -> Iterator[tuple[tuple[str | int, ...], BorderpostError]]:
    """Yield what is wrong with the groups of a configuration, each with its path in the file.

    `clusters` maps each region to its cluster. BP1420: an unknown region, with the nearest known one, or one named
    twice; BP1421: two groups of the same regions in the same order; BP0108: a cluster's name that is taken.
    """
    taken = {cluster: f"region `{region}`" for region, cluster in clusters.items()}
    seen: dict[tuple[str, ...], str] = {}
    for name, group in groups.items():
        yield from _members(name, group, clusters)
        cluster = group.cluster or name
        if cluster in taken:
            detail = f"failover group `{name}` and {taken[cluster]} share the cluster `{cluster}`"
            yield ("failover", name, "cluster"), BorderpostError("BP0108", detail)
        taken.setdefault(cluster, f"failover group `{name}`")
        if group.regions in seen:
            detail = f"`{name}` and `{seen[group.regions]}` are the same regions in the same order"
            yield ("failover", name, "regions"), BorderpostError("BP1421", detail)
        seen.setdefault(group.regions, name)


def _members(
    name: str, group: FailoverGroup, known: Mapping[str, str]
) -> Iterator[tuple[tuple[str | int, ...], BorderpostError]]:
    for index, region in enumerate(group.regions):
        path = ("failover", name, "regions", index)
        if region not in known:
            near = difflib.get_close_matches(region, known, n=1, cutoff=0.5)
            mend = f"did you mean `{near[0]}`?" if near else None
            yield path, BorderpostError("BP1420", f"`{region}` is no region", mend=mend)
        elif region in group.regions[:index]:
            yield path, BorderpostError("BP1420", f"`{region}` is named twice: Envoy would try it again")
