"""Counters, gauges and histograms whose label values are bounded; each is declared once, with its spec.

A metric is declared as a class attribute (`borderpost_base.metrics.Metrics`), which registers its spec in `METRICS`;
the instrument is made for an instance, and only where the process owns the metric.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from borderpost_base.limits import METRIC_LABEL_VALUES_MAX

PREFIX = "borderpost_"
OTHER = "other"
"""The label value that stands for every value beyond the bound."""

Kind = Literal["counter", "gauge", "histogram"]
Owner = Literal["worker", "steward", "limiter"]
Merge = Literal["max", "min", "sum"]


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
    values_max: int = 0
    """Values a label, and combinations of values, beyond which is counted as `other`; 0: METRIC_LABEL_VALUES_MAX."""


METRICS: dict[str, MetricSpec] = {}
"""Every metric by its full name, in order of registration."""


class Instrument:
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
        values_max = self.spec.values_max or METRIC_LABEL_VALUES_MAX
        bounded = tuple(
            value if value in seen or len(seen) < values_max else OTHER
            for value, seen in zip(labels, self._seen, strict=True)
        )
        if len(self._children) >= values_max and bounded not in self._children:
            bounded = (OTHER,) * len(labels)
        child = self._children.get(bounded)
        if child is None:
            child = self._children[bounded] = self._parent.labels(*bounded)
            for value, seen in zip(bounded, self._seen, strict=True):
                seen.add(value)
        return child


class BoundedCounter(Instrument):
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


class BoundedGauge(Instrument):
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


class BoundedHistogram(Instrument):
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


_I = TypeVar("_I", bound=Instrument)


class Declared(Generic[_I]):
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
    def __get__(self, instance: None, owner: type) -> Declared[_I]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _I: ...
    def __get__(self, instance: object | None, owner: type) -> Declared[_I] | _I:
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


def counter(owner: Owner, text: str, *labels: str, values_max: int = 0) -> Declared[BoundedCounter]:
    """Declare a counter of one kind of process; its name ends in `_total`."""
    return Declared(_make_counter, kind="counter", help=text, labels=labels, owner=owner, values_max=values_max)


def gauge(owner: Owner, text: str, *labels: str, merge: Merge = "max") -> Declared[BoundedGauge]:
    """Declare a gauge; `merge` says how those of several processes become one."""
    return Declared(_make_gauge, kind="gauge", help=text, labels=labels, owner=owner, merge=merge)


def histogram(owner: Owner, text: str, buckets: tuple[float, ...]) -> Declared[BoundedHistogram]:
    """Declare a histogram by the upper bounds of its buckets."""
    return Declared(_make_histogram, kind="histogram", help=text, labels=(), owner=owner, buckets=buckets)
