"""From when until when a proof or a comparison looks: `--from` and `--until`."""

from __future__ import annotations

import argparse

from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.regimes import NEVER_US
from borderpost_base.errors import BorderpostError, Place

_DAY_US = 86_400_000_000


def from_and_until(arguments: argparse.Namespace, now_us: int) -> tuple[int, int]:
    """Return both in microseconds since 1970: today and without end by default. Raises BorderpostError BP0207."""
    from_us = _instant("--from", arguments.from_, now_us - now_us % _DAY_US)
    until_us = _instant("--until", arguments.until, NEVER_US)
    if until_us <= from_us:
        raise BorderpostError("BP0207", "--until does not come after --from", place=Place("--until"))
    return from_us, until_us


def _instant(option: str, text: str | None, otherwise_us: int) -> int:
    if text is None:
        return otherwise_us
    if text == "ever" and option == "--from":
        return -NEVER_US
    try:
        return to_us(parse_instant(text))
    except BorderpostError as error:
        raise BorderpostError(error.code, error.detail, place=Place(option), mend=error.mend) from error
