"""What records share: the inputs, and what is said of the regions (the best, counts of the rest, a digest of all).

With hundreds of regions this is the dear part of a record, and it is the same for all facts with the same reasons and
the same ranking: so it is made, and held to the schema, once for them. A flood of tenants, models or places makes no
more of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from borderpost.audit.fields import check_given
from borderpost.audit.record import refusal_counts, table_digest
from borderpost.policy.model import Law
from borderpost.policy.reasons import FirstReasons
from borderpost.regions.rank import Ranking
from borderpost_base import limits
from borderpost_base.memo import Remembered

DOWN = "down"
"""Why a legal region is no candidate: its probe says that it cannot serve."""


class _Made(NamedTuple):
    """Fields, and the ranking that they were made from: while it is held, no other has its identity."""

    ranking: Ranking | None
    fields: Mapping[str, Any]


class SharedFields:
    """Makes and remembers the shared fields for one set of inputs; another needs another one."""

    def __init__(self, *, inputs: Mapping[str, str], seed: str, here: str) -> None:
        self._inputs = {"inputs": dict(inputs), "seed": seed, "here": here, "mode": "enforce"}
        self._made: Remembered[tuple[int, object], _Made] = Remembered(limits.REMEMBERED_TABLES_MAX)

    def of(self, law: Law | None, ranking: Ranking | None) -> Mapping[str, Any]:
        """Return the fields, not to be changed. Raises ProfileError for what no record can hold.

        `law` and `ranking` are None where the request was refused before.
        """
        # Of a ranking the identity, which tells the legal regions too: to compare hundreds of candidates is dear.
        key = (id(ranking), _key(law))
        made = self._made.get(key)
        if made is None:
            fields = {**self._inputs, **_of_regions(law, ranking)}
            check_given("decision", fields)
            made = _Made(ranking, fields)
            self._made.put(key, made)
        return made.fields


def _key(law: Law | None) -> object:
    if law is None:
        return None
    return law.refused.key if isinstance(law.refused, FirstReasons) else tuple(law.refused.items())


def _of_regions(law: Law | None, ranking: Ranking | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"cand": _candidates(ranking)}
    if law is None:
        return fields
    refused = _reasons(law)
    if ranking is not None:
        refused |= dict.fromkeys(ranking.down, DOWN)
    if refused:
        fields["refused"] = refusal_counts(refused.values())
    fields["table"] = table_digest(candidate_table(law, ranking))
    return fields


def candidate_table(law: Law, ranking: Ranking | None) -> list[dict[str, Any]]:
    """Return one row a region, in order of region id: legal or why not, up or down, latency if ranked."""
    rows: dict[str, dict[str, Any]] = {
        region: {"r": region, "ok": False, "why": why} for region, why in _reasons(law).items()
    }
    for region in law.legal:
        rows[region] = {"r": region, "ok": True}
    if ranking is not None:
        for region in ranking.down:
            rows[region] = {"r": region, "ok": False, "why": DOWN}
        for candidate in ranking.order:
            if candidate.latency_us is not None:
                rows[candidate.region]["lat_us"] = candidate.latency_us
    return [rows[region] for region in sorted(rows)]


def _reasons(law: Law) -> dict[str, str]:
    return law.refused.spelled() if isinstance(law.refused, FirstReasons) else dict(law.refused)


def _candidates(ranking: Ranking | None) -> list[dict[str, Any]]:
    """Return the region chosen and at most eight runners-up, in order of rank, then legal regions that are down."""
    if ranking is None:
        return []
    rows_max = 1 + limits.RUNNERS_UP_MAX
    rows: list[dict[str, Any]] = []
    for candidate in ranking.order[:rows_max]:
        row: dict[str, Any] = {"r": candidate.region, "ok": True}
        if candidate.latency_us is not None:
            row["lat_us"] = candidate.latency_us
        rows.append(row)
    rows += [{"r": region, "ok": False, "why": DOWN} for region in ranking.down[: rows_max - len(rows)]]
    return rows
