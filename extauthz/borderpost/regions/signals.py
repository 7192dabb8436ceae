"""What is known of each region at one moment: up or down, and how far away. Snapshots of it are immutable.

The steward measures and publishes, workers rank by the newest snapshot, records name its digest, and replay reads
it again. So a snapshot is canonical bytes: keys sorted, integers only (RFC 8785 profile of the audit log).

    {"kind":"signals","regions":{"eu-1":{"latency_us":8100,"state":"up"}},"seed":"…","taken_at_us":…,"v":1}

A new snapshot drops what workers remember, so latencies move only when they really do: see `settle_latency_us`.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from borderpost_base.errors import BorderpostError

_SEED = re.compile(r"[0-9a-f]{16}")
_STEP_US = 100
_NOISE_US = 500
_NOISE_SHARE = 8


class State(enum.StrEnum):
    """What the probes say of a region."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    """No probe, or none has ended yet. It counts as up: to refuse a whole deployment because nothing has been
    measured would punish those who have not configured probes, and Envoy itself still finds out."""


@dataclass(frozen=True, slots=True)
class RegionSignal:
    """What is known of one region."""

    state: State
    latency_us: int | None = None
    """Time to connect from this gateway, settled; None where nothing was measured."""


UNPROBED = RegionSignal(State.UNKNOWN)
"""The signal of a region that the snapshot does not name."""


@dataclass(frozen=True, slots=True)
class Signals:
    """One snapshot."""

    regions: Mapping[str, RegionSignal]
    """By region id; a region without a probe may be left out."""
    seed: str
    """16 hex digits of fresh randomness: breaks ties the same way for everybody who has this snapshot, and in a
    way that nobody could know before."""
    taken_at_us: int
    """When it was taken, microseconds since 1970 (UTC)."""
    _canonical: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _SEED.fullmatch(self.seed):
            raise ValueError("a seed is 16 lower-case hex digits")
        object.__setattr__(self, "regions", MappingProxyType(dict(self.regions)))
        object.__setattr__(self, "_canonical", _encode(self))

    def of(self, region: str) -> RegionSignal:
        """Return the signal of a region, `UNPROBED` for one that has none."""
        return self.regions.get(region, UNPROBED)

    def canonical(self) -> bytes:
        """Return the one encoding of this snapshot."""
        return self._canonical

    @property
    def digest(self) -> str:
        """Return `sha256:` and 64 hex digits over `canonical`."""
        return f"sha256:{hashlib.sha256(self._canonical).hexdigest()}"

    @classmethod
    def from_canonical(cls, data: bytes) -> Signals:
        """Read a snapshot back. Raises BorderpostError BP0705 if the bytes are not what `canonical` writes."""
        try:
            told = orjson.loads(data)
            regions = {name: _decode(signal) for name, signal in told["regions"].items()}
            signals = cls(regions, told["seed"], told["taken_at_us"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BorderpostError("BP0705", f"not a signals snapshot: {error}") from error
        if signals.canonical() != data:
            raise BorderpostError("BP0705", "not the canonical form of a signals snapshot")
        return signals

    @classmethod
    def empty(cls, seed: str, taken_at_us: int) -> Signals:
        """Return the snapshot of a deployment where nothing is measured."""
        return cls({}, seed, taken_at_us)


def _encode(signals: Signals) -> bytes:
    regions: dict[str, dict[str, Any]] = {}
    for name, signal in signals.regions.items():
        regions[name] = {"state": signal.state.value}
        if signal.latency_us is not None:
            regions[name]["latency_us"] = signal.latency_us
    told = {"kind": "signals", "v": 1, "regions": regions, "seed": signals.seed, "taken_at_us": signals.taken_at_us}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def _decode(told: Mapping[str, Any]) -> RegionSignal:
    return RegionSignal(State(told["state"]), told.get("latency_us"))


def settle_latency_us(measured_us: int, published_us: int | None) -> int:
    """Return the latency to publish: the one published before, unless the measured one is materially another.

    Material is a difference of more than half a millisecond and more than an eighth; what is published is rounded to
    a tenth of a millisecond. So a snapshot is not replaced, and a tie not dealt anew, for noise.
    """
    if published_us is not None:
        noise_us = max(_NOISE_US, published_us // _NOISE_SHARE)
        if abs(measured_us - published_us) <= noise_us:
            return published_us
    return max(_STEP_US, (measured_us + _STEP_US // 2) // _STEP_US * _STEP_US)
