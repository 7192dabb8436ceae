"""The limiter as the steward starts it.

python -m borderpost.limiter --runtime DIR --settings NAME --index 0 --stream N --steward PID [--takes-over]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from borderpost.config.limiter import LimiterConfig
from borderpost.config.sections import LogsSpec
from borderpost.limiter.running import run_limiter
from borderpost.limiter.stewarded import Stewarded
from borderpost.settings_files import read_settings
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.logs import get_logger
from borderpost_base.metrics import limiter_metrics


def main() -> int:
    """Run a limiter; the steward gives the arguments."""
    parser = argparse.ArgumentParser(prog="python -m borderpost.limiter", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="name of the settings' file in the runtime directory")
    parser.add_argument("--index", type=int, required=True, help="always 0: there is one limiter")
    parser.add_argument("--stream", type=int, required=True, help="number of its words, its metrics and its record")
    parser.add_argument("--steward", type=int, required=True, help="process id of the steward")
    parser.add_argument("--takes-over", action="store_true", help="another limiter serves already")
    given = parser.parse_args()
    LogsSpec().apply("limiter")
    try:
        config = read_settings(LimiterConfig, given.runtime / given.settings)
        config.logs.apply("limiter")
        stewarded = Stewarded(given.runtime, stream=given.stream, steward=given.steward, takes_over=given.takes_over)
        return run_limiter(config, limiter_metrics(given.runtime / "metrics", given.stream), stewarded=stewarded)
    except (BorderpostError, Problems) as error:
        log = get_logger("limiter")
        for each in error.errors if isinstance(error, Problems) else (error,):
            log.error("limiter cannot run", **each.as_dict())
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
