"""Our own format, `format: borderpost/1`: the same tree of descriptors, with limits of every algorithm.

A document that has the key `format` is one of ours. Everything is strictly typed: an unknown key, a number where text
is meant, a key of another algorithm is a mistake.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from borderpost_base import limits as bounds
from borderpost_base.errors import BadValue
from borderpost_base.strict import StrictModel
from borderpost_ratelimit.algorithms.token_bucket import AMOUNT_MAX, bucket_terms
from borderpost_ratelimit.files.units import unit_of
from borderpost_ratelimit.limits import PRICE_SCALE, SECOND_US, Algorithm, Unit

FORMAT_KEY = "format"
_PRICE_MAX = 1_000_000
_LENGTHS_US = {
    "ms": 1_000,
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
    "w": 7 * 86_400 * SECOND_US,
}
_TIME = re.compile(r"([1-9][0-9]{0,17})(ms|s|m|h|d|w)")
_NEEDED = {
    Algorithm.FIXED_WINDOW: frozenset({"every"}),
    Algorithm.SLIDING_WINDOW: frozenset({"every"}),
    Algorithm.TOKEN_BUCKET: frozenset({"every"}),
    Algorithm.CONCURRENCY: frozenset({"hold"}),
    Algorithm.BUDGET: frozenset({"every"}),
}
_ALLOWED = {
    Algorithm.FIXED_WINDOW: frozenset({"every", "price"}),
    Algorithm.SLIDING_WINDOW: frozenset({"every", "price"}),
    Algorithm.TOKEN_BUCKET: frozenset({"every", "price", "burst"}),
    Algorithm.CONCURRENCY: frozenset({"hold"}),
    Algorithm.BUDGET: frozenset({"every", "price", "reserve"}),
}

TimeText = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,17}(ms|s|m|h|d|w)|[a-z]+)$")]
"""A time: a unit (`second`, `minute`, `hour`, `day`, `week`, `month` of 30 days, `year` of 365), or a number with `ms`,
`s`, `m`, `h`, `d` or `w`."""
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class LimitSpec(StrictModel):
    """One limit of a rule."""

    algorithm: Literal["fixed_window", "sliding_window", "token_bucket", "concurrency", "budget"]
    """How it counts."""

    amount: int = Field(ge=0, le=AMOUNT_MAX)
    """How many: hits in `every`, requests at the same time, or units of a budget. 0 lets nothing pass."""

    every: TimeText | None = None
    """The window, or the time in which a bucket gains `amount`."""

    burst: int | None = Field(default=None, ge=1, le=AMOUNT_MAX)
    """`token_bucket`: how much the bucket holds; `amount` without it."""

    reserve: int | None = Field(default=None, ge=0, le=AMOUNT_MAX)
    """`budget`: what a request that brings no estimate (`hits_addend`) reserves until its end; 0 without it."""

    price: Decimal | None = Field(default=None, gt=0, le=_PRICE_MAX, max_digits=16, decimal_places=9)
    """What one hit costs in units of `amount`, to a billionth, so that tokens can be charged to an amount of money."""

    hold: TimeText | None = None
    """`concurrency`: how long a request of whose end nobody tells keeps its place."""

    name: Label | None = None
    """Tells it apart from another limit of the rule that counts in the same way. It is part of the counter's name."""

    @property
    def window_us(self) -> int:
        """Return the length of `every` or `hold`."""
        return time_us(self.every or self.hold or "")

    @property
    def price_nano(self) -> int:
        """Return the price in billionths; 0 without one."""
        return 0 if self.price is None else int(self.price * PRICE_SCALE)

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        algorithm = Algorithm(self.algorithm)
        given = {name for name in ("every", "burst", "reserve", "price", "hold") if getattr(self, name) is not None}
        for name in sorted(given - _ALLOWED[algorithm]):
            raise BadValue("BP1610", f"`{name}` is no key of `{self.algorithm}`", mend=_mend(algorithm))
        for name in sorted(_NEEDED[algorithm] - given):
            raise BadValue("BP1610", f"`{self.algorithm}` needs `{name}`", mend=_mend(algorithm))
        window_us = self.window_us
        if algorithm is Algorithm.TOKEN_BUCKET:
            try:
                bucket_terms(self.amount, window_us, self.burst or self.amount)
            except ValueError as error:
                raise BadValue("BP1610", str(error)) from error
        return self


class DescriptorSpec(StrictModel):
    """What entries of Envoy's descriptors match."""

    key: str = Field(min_length=1)
    """The entry's key."""

    value: str = ""
    """The entry's value, where `*` stands for any characters; without it, any value, each with its own counter."""

    limits: tuple[LimitSpec, ...] = Field(default=(), max_length=bounds.LIMITER_RULE_LIMITS_MAX)
    """What holds for a descriptor that ends here. A request passes if all of them let it."""

    unlimited: bool = False
    """Whether a descriptor that ends here passes and is only counted in the statistics."""

    name: str = ""
    """What `replaces` of another rule may call this one."""

    replaces: tuple[str, ...] = ()
    """Names of rules that do not count for a request that meets this one too."""

    shadow_mode: bool = False
    """Whether being over refuses nothing, and is counted."""

    quota_mode: bool = False
    """Whether being over refuses nothing by itself, and is told in the answer's metadata."""

    detailed_metric: bool = False
    """Whether the statistics name each descriptor with its values."""

    value_to_metric: bool = False
    """Whether the statistics name this entry with its value."""

    share_threshold: bool = False
    """Whether all values that a wildcard matches count together."""

    metadata: dict[str, JsonValue] | None = None
    """Told to Envoy of a descriptor that passes, as dynamic metadata."""

    scope: Literal["region", "global"] | None = None
    """How far counters here and below reach; that of the descriptor above without it."""

    when_store_away: Literal["local", "allow", "refuse"] | None = None
    """What holds here and below while the store is away; that of the descriptor above without it."""

    descriptors: tuple[DescriptorSpec, ...] = ()
    """For the descriptor's next entry."""

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        if self.unlimited and self.limits:
            raise BadValue("BP1607", "the rule is unlimited, so it has no `limits`")
        if any(not name or name == self.name for name in self.replaces):
            detail = "a rule cannot replace itself" if "" not in self.replaces else "an entry of `replaces` is empty"
            raise BadValue("BP1608", detail)
        if not self.limits and not self.unlimited:
            idle = next((name for name in _OF_RULES if getattr(self, name)), None)
            if idle is not None:
                raise BadValue("BP1613", f"`{idle}` has no effect without `limits`", mend="Add `limits`, or remove it.")
        seen: set[tuple[str, int, str | None]] = set()
        for limit in self.limits:
            counted = (limit.algorithm, limit.window_us, limit.name)
            if counted in seen:
                detail = f"two limits `{limit.algorithm}` over the same time would share one counter"
                raise BadValue("BP1610", detail, mend="Give each a `name` of its own.")
            seen.add(counted)
        return self


class LimitsFile(StrictModel):
    """Limits of one domain."""

    format: Literal["borderpost/1"]
    """Says which format this is."""

    domain: str = Field(min_length=1)
    """The `domain` of Envoy's rate-limit filter."""

    scope: Literal["region", "global"] = "region"
    """How far counters reach: `region`, to this limiter's store; `global`, to the store that regions share, which is
    configured apart and sees keys only as keyed hashes."""

    when_store_away: Literal["local", "allow", "refuse"] | None = None
    """What holds while the store is away: each limiter counts for itself, everything passes, or nothing. What the
    limiter's configuration says without it."""

    descriptors: tuple[DescriptorSpec, ...] = ()
    """For the first entry of Envoy's descriptors."""


_OF_RULES = ("name", "replaces", "shadow_mode", "quota_mode", "detailed_metric", "metadata")
"""Keys that say something of limits, and nothing without one."""


def time_us(text: str) -> int:
    """Return the length of a time in microseconds. Raises BadValue BP1606 or BP1610."""
    unit = unit_of(text)
    if unit is not Unit.UNKNOWN:
        return unit.length_us
    found = _TIME.fullmatch(text)
    if found is None:
        mend = "Use a unit such as `minute`, or a number with ms, s, m, h, d or w, such as `90s`."
        raise BadValue("BP1606", f"`{text}` is no time", mend=mend)
    length_us = int(found[1]) * _LENGTHS_US[found[2]]
    if length_us > bounds.LIMITER_WINDOW_S_MAX * SECOND_US:
        raise BadValue("BP1610", f"`{text}` is longer than {bounds.LIMITER_WINDOW_S_MAX} seconds")
    return length_us


def unit_as_long(length_us: int) -> Unit:
    """Return the unit that is as long; UNKNOWN without one."""
    return next((unit for unit in Unit if unit is not Unit.UNKNOWN and unit.length_us == length_us), Unit.UNKNOWN)


def _mend(algorithm: Algorithm) -> str:
    keys = ", ".join(sorted({"amount", "name", *_ALLOWED[algorithm]}))
    return f"Keys of `{algorithm.value}`: {keys}."


def is_ours(data: Any) -> bool:
    """Return whether a document's content says that it is in our format."""
    return isinstance(data, dict) and FORMAT_KEY in data
