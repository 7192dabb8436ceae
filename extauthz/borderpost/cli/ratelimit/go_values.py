"""Values of envoyproxy/ratelimit's settings, as Go reads them from the environment (kelseyhightower/envconfig)."""

from __future__ import annotations

import re
from decimal import Decimal

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False", ""})
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {
    "ns": Decimal("1e-9"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6"), "ms": Decimal("1e-3"),
    "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600),
}  # fmt: skip


def go_bool(text: str) -> bool:
    """Return a truth value (strconv.ParseBool). Raises ValueError."""
    if text not in _TRUE | _FALSE:
        raise ValueError("this is neither true nor false")
    return text in _TRUE


def go_int(text: str) -> int:
    """Return a whole number. Raises ValueError."""
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise ValueError("this is no whole number")
    return int(text)


def go_seconds(text: str) -> float:
    """Return a time in seconds (time.ParseDuration): `10s`, `1h30m`, `150us`. Raises ValueError."""
    parts = _PART.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("this is no time such as `10s` or `150us`")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))
