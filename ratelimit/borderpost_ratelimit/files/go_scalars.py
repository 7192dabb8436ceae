"""What a plain YAML scalar means to envoyproxy/ratelimit, which reads YAML 1.1 as gopkg.in/yaml.v2 has it (resolve.go).

`yes` and `on` are true, `012` is ten, `1_000` a thousand; and yet a number where text is wanted is the text as written,
so `value: 012` is the value `012`. Dates stay text.
"""

from __future__ import annotations

import re

GoScalar = str | int | float | bool | None

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_NUMBERS = {
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}  # fmt: skip
_INT = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INT_BITS = 64


def go_scalar(text: str) -> GoScalar:
    """Return what an unquoted scalar means there; the bounds of its integers are those of 64 bits, signed or not."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NUMBERS:
        return _NUMBERS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    number = _INT.fullmatch(digits)
    if number is not None and text[0] != ".":
        value = _integer(number[2])
        if number[1] == "-":
            value = -value
        if -(1 << (_INT_BITS - 1)) <= value < 1 << (_INT_BITS if not number[1] else _INT_BITS - 1):
            return value
    if _FLOAT.fullmatch(digits if text[0] != "." else text):
        return float(digits)
    return text


def _integer(digits: str) -> int:
    """Read digits by their prefix, where a leading 0 alone says octal, as Go's `ParseInt` with base 0 does."""
    kind = digits[:2].lower()
    if kind in ("0x", "0b", "0o"):
        return int(digits, 0)
    return int(digits, 8) if digits[0] == "0" else int(digits)
