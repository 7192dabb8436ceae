"""Latencies in an HDR histogram: constant memory, three significant digits over the whole range (hdrhistogram.org)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from borderpost_base.errors import BorderpostError

_LEAST_NS, _GREATEST_NS, _DIGITS = 1_000, 60_000_000_000, 3


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What is told of many latencies, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    """99.9 %."""
    greatest_ms: float

    @classmethod
    def of(cls, took_ns: Iterable[int]) -> Percentiles:
        """Sum up latencies in nanoseconds; one beyond a minute counts as a minute. All are 0 where there are none.

        Raises BorderpostError BP0923 if the histogram's package is not installed.
        """
        histogram = new_histogram()
        for one in took_ns:
            histogram.record_value(min(max(one, _LEAST_NS), _GREATEST_NS))
        if not histogram.get_total_count():
            return cls(0.0, 0.0, 0.0, 0.0, 0.0)
        told = histogram.get_percentile_to_value_dict([50, 90, 99, 99.9, 100])
        return cls(*(told[percent] / 1e6 for percent in (50, 90, 99, 99.9, 100)))


def new_histogram() -> Any:
    """Return an empty histogram of nanoseconds, from a microsecond to a minute. Raises BorderpostError BP0923."""
    try:
        from hdrh.histogram import HdrHistogram
    except ModuleNotFoundError as error:
        raise BorderpostError("BP0923", "`hdrhistogram` is not installed") from error
    return HdrHistogram(_LEAST_NS, _GREATEST_NS, _DIGITS)
