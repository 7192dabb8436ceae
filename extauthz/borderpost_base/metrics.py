"""Every metric of the product: its name, kind, help and labels, and the typed instruments made from them.

A metric has one home, the class attribute in `Metrics`; the exposition, the docs' table and the dashboards
are made from `METRICS`. Workers are processes of their own: each keeps its values in memory-mapped files of
prometheus_client's multiprocess mode, named by the worker's index so that a restarted worker goes on counting
where the last one stopped, and the steward reads them all when it is scraped. So each metric belongs to one
kind of process (`owner`); the other kind has no business with it and is told so.

    worker   metrics.decisions_total.inc("routed", "ok")
    steward  exposition(metrics, directory) -> bytes of /metrics
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
    values,
)

from borderpost_base.limits import METRIC_LABEL_VALUES_MAX

PREFIX = "borderpost_"
OTHER = "other"
"""The label value that stands for every value beyond the bound."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `exposition`."""

Kind = Literal["counter", "gauge", "histogram"]
Owner = Literal["worker", "steward"]
Merge = Literal["max", "min", "sum"]

_DECISION_SECONDS = (50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 200e-3, 1.0)
_SYNC_SECONDS = (20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 200e-3, 1.0, 5.0)
_BATCH_RECORDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One registered metric."""

    name: str
    """Full name as scraped, `borderpost_decisions_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...]
    owner: Owner
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets; empty for the other kinds."""
    merge: Merge = "max"
    """How a gauge of several workers becomes one value."""


METRICS: dict[str, MetricSpec] = {}
"""Every metric by its full name, in order of registration."""


class _Instrument:
    """What the three kinds share: children by label values, bounded in number."""

    def __init__(self, spec: MetricSpec, parent: Any) -> None:
        self.spec = spec
        self._parent = parent
        self._children: dict[tuple[str, ...], Any] = {}
        self._seen: tuple[set[str], ...] = tuple(set() for _ in spec.labels)
        if not spec.labels:
            self._children[()] = parent

    def _child(self, labels: tuple[str, ...]) -> Any:
        child = self._children.get(labels)
        return child if child is not None else self._admit(labels)

    def _check(self, labels: tuple[str, ...]) -> None:
        if len(labels) != len(self.spec.labels):
            raise ValueError(f"{self.spec.name} takes the labels {self.spec.labels}, not {labels}")

    def _admit(self, labels: tuple[str, ...]) -> Any:
        """Make the child of new label values; beyond the bound, the child of `other`."""
        self._check(labels)
        bounded = tuple(
            value if value in seen or len(seen) < METRIC_LABEL_VALUES_MAX else OTHER
            for value, seen in zip(labels, self._seen, strict=True)
        )
        if len(self._children) >= METRIC_LABEL_VALUES_MAX and bounded not in self._children:
            bounded = (OTHER,) * len(labels)
        child = self._children.get(bounded)
        if child is None:
            child = self._children[bounded] = self._parent.labels(*bounded)
            for value, seen in zip(bounded, self._seen, strict=True):
                seen.add(value)
        return child


class BoundedCounter(_Instrument):
    """A count that only rises. It gathers in memory until `flush`, because a mapped file costs microseconds."""

    def __init__(self, spec: MetricSpec, parent: Any) -> None:
        super().__init__(spec, parent)
        self._gathered: dict[tuple[str, ...], float] = {}

    def inc(self, *labels: str, by: float = 1) -> None:
        """Add to the child of these label values."""
        gathered = self._gathered
        before = gathered.get(labels)
        if before is None:
            self._check(labels)
            before = 0
        gathered[labels] = before + by

    def get(self, *labels: str) -> float:
        """Return the value of the child of these label values (in this process)."""
        self.flush()
        return float(self._child(labels)._value.get())

    def flush(self) -> None:
        """Bring what has gathered to where it is scraped."""
        for labels, by in self._gathered.items():
            self._child(labels).inc(by)
        self._gathered.clear()


class BoundedGauge(_Instrument):
    """A value that goes up and down."""

    def set(self, value: float, *labels: str) -> None:
        """Set the child of these label values."""
        self._child(labels).set(value)

    def get(self, *labels: str) -> float:
        """Return the value of the child of these label values (in this process)."""
        return float(self._child(labels)._value.get())

    def set_only(self, value: float, *labels: str) -> None:
        """Set this child and forget all others: for a label that names what is in force now.

        Only in the steward: files of the multiprocess mode cannot forget a child.
        """
        for known in [known for known in self._children if known and known != labels]:
            self._parent.remove(*known)
            del self._children[known]
        for seen in self._seen:
            seen.clear()
        self.set(value, *labels)


class BoundedHistogram(_Instrument):
    """How observations spread over buckets; without labels. It gathers in memory until `flush`."""

    def __init__(self, spec: MetricSpec, parent: Any) -> None:
        super().__init__(spec, parent)
        self._counts = [0] * len(parent._upper_bounds)
        self._sum = 0.0

    def observe(self, value: float, *, times: int = 1) -> None:
        """Count so many equal observations; seconds for `_seconds`, records for `_records`."""
        self._sum += value * times
        self._counts[bisect_left(self._parent._upper_bounds, value)] += times  # the last bound is +Inf

    def flush(self) -> None:
        """Bring what has gathered to where it is scraped: one change a bucket, however many observations."""
        if not any(self._counts):
            return
        self._parent._sum.inc(self._sum)
        for index, count in enumerate(self._counts):
            if count:
                self._parent._buckets[index].inc(count)
                self._counts[index] = 0
        self._sum = 0.0


_I = TypeVar("_I", bound=_Instrument)


class _Declared(Generic[_I]):
    """A metric declared as a class attribute: the spec on the class, the instrument on an instance.

    It is a non-data descriptor, so that the instrument which `Metrics.__init__` puts on the instance is found
    first and costs a plain attribute access; reaching `__get__` on an instance means: not this process's metric.
    """

    def __init__(self, make: Callable[[MetricSpec, CollectorRegistry], _I], **spec: Any) -> None:
        self._make = make
        self._spec_fields = spec

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        self.spec = MetricSpec(name=PREFIX + name, **self._spec_fields)
        METRICS[self.spec.name] = self.spec

    @overload
    def __get__(self, instance: None, owner: type) -> _Declared[_I]: ...
    @overload
    def __get__(self, instance: Metrics, owner: type) -> _I: ...
    def __get__(self, instance: Metrics | None, owner: type) -> _Declared[_I] | _I:
        if instance is None:
            return self
        raise AttributeError(f"{self.spec.name} belongs to the {self.spec.owner}")

    def make(self, registry: CollectorRegistry) -> _I:
        """Make this process's instrument."""
        return self._make(self.spec, registry)


def _make_counter(spec: MetricSpec, registry: CollectorRegistry) -> BoundedCounter:
    return BoundedCounter(spec, Counter(spec.name, spec.help, spec.labels, registry=registry))


def _make_gauge(spec: MetricSpec, registry: CollectorRegistry) -> BoundedGauge:
    mode: Any = f"live{spec.merge}"
    return BoundedGauge(spec, Gauge(spec.name, spec.help, spec.labels, registry=registry, multiprocess_mode=mode))


def _make_histogram(spec: MetricSpec, registry: CollectorRegistry) -> BoundedHistogram:
    parent = Histogram(spec.name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
    return BoundedHistogram(spec, parent)


def _counter(owner: Owner, text: str, *labels: str) -> _Declared[BoundedCounter]:
    return _Declared(_make_counter, kind="counter", help=text, labels=labels, owner=owner)


def _gauge(owner: Owner, text: str, *labels: str, merge: Merge = "max") -> _Declared[BoundedGauge]:
    return _Declared(_make_gauge, kind="gauge", help=text, labels=labels, owner=owner, merge=merge)


def _histogram(owner: Owner, text: str, buckets: tuple[float, ...]) -> _Declared[BoundedHistogram]:
    return _Declared(_make_histogram, kind="histogram", help=text, labels=(), owner=owner, buckets=buckets)


class Metrics:
    """The instruments of one process; each attribute is one metric without its `borderpost_` prefix."""

    # Decisions, counted by the workers.
    decisions_total = _counter("worker", "Decisions made, by outcome and reason.", "outcome", "reason")
    routed_total = _counter("worker", "Requests routed, by the region chosen.", "region")
    refusals_total = _counter("worker", "Requests refused, by HTTP status and error code.", "status", "code")
    unrecorded_total = _counter(
        "worker", "Requests refused without a record: no current policy, or a log that takes none.", "code", "reason"
    )
    decision_seconds = _histogram(
        "worker", "From a request's arrival to its answer, the durable record included.", _DECISION_SECONDS
    )
    facts_rejected_total = _counter("worker", "Header values that were refused, by reason.", "reason")
    geoip_unknown_total = _counter("worker", "Requests whose address the GeoIP database does not know.")
    geoip_doubted_total = _counter(
        "worker", "Requests whose address has a place that is not believed, by reason.", "doubt"
    )

    # Bodies, where they are read.
    bodies_total = _counter(
        "worker",
        "Bodies by what became of them: `read`, `assumed` (its form is not read), `refused`, `overdue`, `crowd`.",
        "outcome",
    )
    body_findings_total = _counter("worker", "Bodies in which a detector found something.", "detector")
    body_read_seconds = _histogram("worker", "Reading of one body, detectors included.", _SYNC_SECONDS)

    # The record.
    audit_commit_seconds = _histogram("worker", "Write and fdatasync of one batch of records.", _SYNC_SECONDS)
    audit_batch_records = _histogram("worker", "Records in one commit.", _BATCH_RECORDS)
    audit_records_total = _counter("worker", "Records made durable.")
    audit_bytes_total = _counter("worker", "Bytes of records made durable.")
    audit_unavailable = _gauge("worker", "1 while any worker's log cannot be written: its requests are refused.")
    audit_pending = _gauge("worker", "Decisions whose record is not yet durable, all workers.", merge="sum")

    # What the workers decide by.
    snapshot_generation = _gauge(
        "worker", "Generation of the snapshot in use by the worker last to follow.", merge="min"
    )
    snapshot_age_seconds = _gauge("worker", "Age of the oldest snapshot in use by any worker.")
    clock_ahead_seconds = _gauge("worker", "How far decision time stands ahead of the wall clock after a clock step.")

    # Regions, probed by the steward.
    region_up = _gauge("steward", "1 if the region's probe says it is up, else 0.", "region")
    region_latency_seconds = _gauge("steward", "Latest latency that the probe measured to the region.", "region")
    probe_total = _counter("steward", "Probes made, by region and result.", "region", "result")

    # What is in force.
    policy_info = _gauge("steward", "Always 1; the label is the digest of the policy in force.", "digest")
    events_in_force = _gauge("steward", "Legal events in force now.")
    events_lines = _gauge("steward", "Lines of the signed list of legal events that were taken.")
    events_lag_seconds = _gauge("steward", "From appending the newest line that was taken to taking it here.")
    events_stale = _gauge("steward", "1 while no heartbeat is as young as it must be: revocable bases are refused.")
    events_heartbeat_age_seconds = _gauge("steward", "Time since a signer last vouched for the list.")
    events_stream_connected = _gauge("steward", "1 while the server of the events stream answers, else 0.")
    events_stream_silent_seconds = _gauge("steward", "Time since the server of the events stream last answered.")
    clock_error_seconds = _gauge("steward", "How far this machine's clock may be wrong, as legal events count it.")
    reload_total = _counter("steward", "Reloads of configuration, events or GeoIP, by result.", "what", "result")
    feed_messages_total = _counter("steward", "Messages of feeds, by feed and result.", "feed", "result")
    triggers_fired_total = _counter("steward", "Events that triggers fired here.", "trigger")
    reload_stale = _gauge("steward", "1 while the newest on disk is refused, the last good in force.", "what")
    reload_taken_timestamp_seconds = _gauge("steward", "When the one in force was taken, Unix time.", "what")
    rollback_refused_total = _counter(
        "steward", "Refusals of law, events or a GeoIP database older than what was seen before.", "what"
    )
    pack_review_overdue_days = _gauge("steward", "Days since the pack's review date, 0 before it.", "pack")
    geoip_age_days = _gauge("steward", "Days since the GeoIP database was built.")

    # Counting for threshold laws.
    counter_requests = _gauge("steward", "Requests counted in the current window, the fleet's included.", "counter")
    counter_share = _gauge("steward", "That count as a share of the next threshold; 1 when all are reached.", "counter")
    counter_fleet_age_seconds = _gauge("steward", "Time since the fleet's count was last exchanged.")
    counter_save_failures_total = _counter("steward", "Times the count could not be brought to stable storage.")

    # The shadow.
    shadow_divergence_total = _counter(
        "worker", "Requests on which the shadow differs from the law in force, by how.", "kind"
    )
    shadow_broken = _gauge("worker", "1 while any worker cannot use the published shadow: nothing is compared.")

    # Observed routes.
    observed_routes = _gauge("steward", "Routes that are observed: no law is kept on them.")
    observed_total = _counter(
        "worker",
        "Requests on observed routes, by what would have been done: `stayed`, `moved_by_law`, `moved_by_rank`, "
        "`refused`, `routed` (it is not known whether elsewhere); `unrecorded` where no record was made.",
        "outcome",
    )
    misplaced_total = _counter(
        "worker",
        "Requests on which Envoy and the configuration disagree: `unenforced` (Envoy only observes a route that is to "
        "be enforced), `unobserved` (the other way round; refused).",
        "how",
    )

    # Certificates of a network listener.
    certificate_expiry_timestamp_seconds = _gauge(
        "steward", "When the certificate in use expires, Unix time, by the section that names it.", "section"
    )
    certificates_stale = _gauge("worker", "1 while any worker could not take certificates that were found good.")

    # Processes.
    worker_up = _gauge("steward", "1 while the worker runs and is ready, else 0.", "worker")
    worker_restarts_total = _counter("steward", "Times a worker was started again after it ended.", "worker")

    def __init__(self, owners: frozenset[Owner]) -> None:
        self.registry = CollectorRegistry()
        for declared in vars(type(self)).values():
            if isinstance(declared, _Declared) and declared.spec.owner in owners:
                self.__dict__[declared.attribute] = declared.make(self.registry)

    def flush(self) -> None:
        """Bring what counters and histograms have gathered to where it is scraped; a worker does so at each beat."""
        for instrument in self.__dict__.values():
            if isinstance(instrument, BoundedCounter | BoundedHistogram):
                instrument.flush()


def clear_directory(directory: Path) -> None:
    """Make an empty directory for the workers' files; the steward does so once, before it starts any worker."""
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob("*.db"):
        left.unlink()


def worker_metrics(index: int, directory: Path) -> Metrics:
    """Return a worker's metrics, kept in memory-mapped files of `directory` under the worker's index.

    To be called once, early in a worker process: it sets this process's kind of value for all of
    prometheus_client. At most one process with this index may run at a time.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    directory.mkdir(parents=True, exist_ok=True)
    forget_worker(index, directory)  # what the last worker of this index measured is no longer so
    values.ValueClass = values.MultiProcessValue(lambda: index)  # type: ignore[no-untyped-call]
    return Metrics(frozenset({"worker"}))


def steward_metrics() -> Metrics:
    """Return the steward's own metrics; `exposition` adds the workers'."""
    return Metrics(frozenset({"steward"}))


def local_metrics() -> Metrics:
    """Return every metric in one process's memory, for a bench or a simulation."""
    return Metrics(frozenset({"worker", "steward"}))


def forget_worker(index: int, directory: Path) -> None:
    """Drop the gauges of a worker that ended; its counts stay."""
    multiprocess.mark_process_dead(index, str(directory))  # type: ignore[no-untyped-call]


def exposition(metrics: Metrics, directory: Path | None = None) -> bytes:
    """Return the text of `/metrics`: this process's own, then what the workers left in `directory`."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which the text format can do without
    metrics.flush()
    text = generate_latest(metrics.registry)
    if directory is None or not directory.is_dir():
        return text
    workers = CollectorRegistry()
    multiprocess.MultiProcessCollector(workers, str(directory))  # type: ignore[no-untyped-call]
    return text + generate_latest(workers)
