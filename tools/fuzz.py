"""Drive the wire engine and its core by any bytes, in any pieces, for some minutes.

    python tools/fuzz.py --minutes 5 [--seed N]

Rounds of examples, each from the next seed; the first is the day's date unless given. It ends with exit code 1 at the
first example that breaks a promise, made as small as Hypothesis can make it, with the seed that leads there again.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from borderpost_wire.h2 import connection
from support.wire_fuzz import ACTIONS, FRAMES, PLACES, check_engine, check_shortcuts, check_splits

PROPERTIES: tuple[tuple[Callable[..., None], tuple[st.SearchStrategy[object], ...]], ...] = (
    (check_engine, (ACTIONS, PLACES)),
    (check_splits, (FRAMES, PLACES, st.booleans())),
    (check_shortcuts, (FRAMES, PLACES, st.booleans())),
)
"""What has to hold, and of what. The last replaces a part of the core, which only the plain form lets it do."""
EXAMPLES_A_ROUND = 500


def main() -> int:
    """Run rounds until the time is over; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(f"{datetime.datetime.now(datetime.UTC):%Y%m%d}"))
    arguments = parser.parse_args()
    profile = settings(
        max_examples=EXAMPLES_A_ROUND, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    logging.disable(logging.CRITICAL)  # services that fail are part of it
    properties = PROPERTIES if connection.__file__.endswith(".py") else PROPERTIES[:-1]
    until, seed = time.monotonic() + arguments.minutes * 60, arguments.seed
    while time.monotonic() < until:
        for check, strategies in properties:
            try:
                hypothesis.seed(seed)(profile(given(*strategies)(check)))()
            except Exception:
                print(f"hint: again by --seed {seed}", file=sys.stderr)
                raise
        seed += 1
    print(f"{(seed - arguments.seed) * len(properties) * EXAMPLES_A_ROUND:,} examples, nothing found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
