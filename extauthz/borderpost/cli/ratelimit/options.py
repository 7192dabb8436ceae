"""Arguments that several actions share, and how they name limits to people."""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from borderpost_ratelimit.limits import Limit


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits files, and whether they may share a domain."""
    parser.add_argument("limits", nargs="+", type=Path, metavar="FILES", help="limits files, or folders of them")
    parser.add_argument(
        "--merge-domains", action="store_true", help="files may add to one domain (as with MERGE_DOMAIN_CONFIG)"
    )


def window_words(limit: Limit) -> str:
    """Write a limit's window: `minute`, `10 s`, `90 ms`."""
    from borderpost_ratelimit.limits import SECOND_US, Unit

    if limit.unit is not Unit.UNKNOWN and limit.window_us == limit.unit.length_us:
        return limit.unit.name.lower()
    if limit.window_us % SECOND_US == 0:
        return f"{limit.window_us // SECOND_US} s"
    return f"{limit.window_us // 1000} ms"


def limit_words(limit: Limit) -> str:
    """Write a limit in a line: `100 a minute`, `20 at once, each for 300 s at most`."""
    from borderpost_ratelimit.limits import PRICE_SCALE, Algorithm, Scope

    window = window_words(limit)
    reach = ", over all regions" if limit.scope is Scope.GLOBAL else ""
    if limit.algorithm is Algorithm.CONCURRENCY:
        return f"{limit.amount:,} at once, each for {window} at most{reach}"
    article = "" if window[0].isdigit() else "an " if window == "hour" else "a "
    said = f"{limit.amount:,} in {window}" if not article else f"{limit.amount:,} {article}{window}"
    if limit.algorithm is not Algorithm.FIXED_WINDOW:
        said += f", {limit.algorithm.value.replace('_', ' ')}"
    if limit.algorithm is Algorithm.TOKEN_BUCKET:
        said += f" of {limit.burst:,}"
    if limit.price_nano:
        said += f", {Decimal(limit.price_nano) / PRICE_SCALE:,f} a hit"
    if limit.reserve:
        said += f", {limit.reserve:,} reserved"
    return said + reach
