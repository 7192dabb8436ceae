"""After a run: what the load generator, Envoy and the regions counted, held against the audit log.

Counts that know nothing of each other must agree: the client's answers, the requests that reached each region,
and the records. And each record must send its client where the traffic's own expectation allows.

Two things make them differ without a fault of the log, and Envoy counts both: a question that got no answer in
time is refused by Envoy itself (its record may come too late, or never), and a question that Envoy repeats has
two records.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from borderpost.audit.reader import read_log
from borderpost_bench.traffic import legal_for

Expectation = Callable[[str, str | None, frozenset[str]], frozenset[str] | None]
"""Country, asserted residency and classes of a record: the regions that may serve it; None for nobody we know."""


@dataclass(slots=True)
class LogCount:
    """What the decisions of a log add up to."""

    routed: Counter[str] = field(default_factory=Counter)
    """By region."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    illegal: int = 0
    """Decisions that route to a region outside the expectation, or speak of a client that we did not send."""
    over_refused: int = 0
    """Decisions that refuse a client whom the law allows some region."""
    size_bytes: int = 0
    legal: Expectation = legal_for
    """Says which regions are legal for whom."""

    @property
    def decisions(self) -> int:
        """All of them."""
        return self.routed.total() + self.refused.total()

    def add(self, record: Mapping[str, Any], size_bytes: int) -> None:
        """Count one decision's record."""
        out, legal = record["out"], self._expected(record)
        self.size_bytes += size_bytes
        if out["action"] == "route":
            self.routed[out["r"]] += 1
            self.illegal += legal is None or out["r"] not in legal
        else:
            self.refused[out["reason"]] += 1
            self.over_refused += bool(legal)

    def _expected(self, record: Mapping[str, Any]) -> frozenset[str] | None:
        evidence = {piece["src"]: piece["val"] for piece in record["jur"]["evidence"]}
        return self.legal(evidence.get("geoip", "?"), evidence.get("header"), frozenset(record["class"]))


@dataclass(frozen=True, slots=True)
class Asking:
    """What Envoy counted of its questions to us."""

    failed: int = 0
    """Questions that ended without an answer, which Envoy turned into refusals."""
    repeated: int = 0
    """Questions that it sent again."""


@dataclass(frozen=True, slots=True)
class Check:
    """How the counts of one run compare."""

    illegal: int
    """Decisions outside the law's expectation."""
    unlogged: int
    """Answers, or requests at a region, without a record. Must be 0."""
    over_refused: int
    """Decisions that refuse what the law allows. Must be 0: all regions are up."""
    refused_by_envoy: int
    """Refusals that are Envoy's own, because it had no answer in time; no record answers for them."""
    repeated: int
    """Questions that Envoy sent again: each may have a second record."""
    unheard: int
    """Records whose answer no client got: cut off by the end of the load, too late, or repeated."""
    unheard_max: int
    """How many of them what was in flight, failed and repeated accounts for."""
    decisions: int
    bytes_per_decision: float
    """Of a record's line with its newline."""
    routed: Mapping[str, int]
    refused: Mapping[str, int]

    @property
    def passed(self) -> bool:
        """Return True if nothing is wrong."""
        wrong = self.illegal or self.unlogged or self.over_refused
        return not wrong and self.unheard <= self.unheard_max


def count_log(audit: Path, legal: Expectation = legal_for) -> LogCount:
    """Count the decisions of an audit directory, and hold them against an expectation."""
    count = LogCount(legal=legal)
    for located in read_log(audit):
        if located.record["type"] == "decision":
            count.add(located.record, len(located.line) + 1)
    return count


def count_journal(journal: Path) -> LogCount:
    """Count the decisions in the honest rival's log, whose records are of our records' shape; its chain is followed.

    Raises ValueError for a broken chain.
    """
    count, before = LogCount(), "0" * 64
    with journal.open("rb") as lines:
        for line in lines:
            record = json.loads(line)
            if record["prev"] != before:
                raise ValueError(f"record {record['seq']} is not chained to the one before")
            before = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
            count.add(record, len(line))
    return count


def compare(
    log: LogCount, *, client_routed: int, client_refused: int, regions: Mapping[str, int], asking: Asking, cut_off: int
) -> Check:
    """Hold a client's, Envoy's and the regions' counts against a log's, all of the same time.

    `cut_off` is how many requests were in flight when the client stopped, over all its loads.
    """
    unrecorded = max(0, client_refused - log.refused.total())
    by_envoy = min(unrecorded, asking.failed)
    unlogged = max(0, client_routed - log.routed.total()) + unrecorded - by_envoy
    unlogged += sum(max(0, count - log.routed[region]) for region, count in regions.items())
    return Check(
        illegal=log.illegal,
        unlogged=unlogged,
        over_refused=log.over_refused,
        refused_by_envoy=by_envoy,
        repeated=asking.repeated,
        unheard=max(0, log.decisions - (client_routed + client_refused - by_envoy)),
        unheard_max=cut_off + asking.failed + asking.repeated,
        decisions=log.decisions,
        bytes_per_decision=round(log.size_bytes / log.decisions, 1) if log.decisions else 0.0,
        routed=dict(sorted(log.routed.items())),
        refused=dict(sorted(log.refused.items())),
    )
