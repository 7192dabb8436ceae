"""The bench's arguments, for `borderpost bench` and `python -m borderpost_bench` alike."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from borderpost_bench.arrivals import ARRIVALS, Pace
from borderpost_bench.features import FEATURES, Features, parse_features
from borderpost_bench.measure import Settings
from borderpost_bench.plan import NAMES
from borderpost_wire.engines import ENGINE_NAMES

_RUNS_MAX, _SECONDS_MAX, _CONNECTIONS_MAX, _RATE_MAX, _SEED_MAX = 50, 300, 4096, 100_000, 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a run can be told."""
    defaults = Settings()
    parser.add_argument("--runs", type=count(_RUNS_MAX), default=defaults.runs, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=count(_SECONDS_MAX), default=round(defaults.seconds),
        help="length of each load (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--connections", type=count(_CONNECTIONS_MAX), default=defaults.connections,
        help="connections to Envoy, each with one request in flight (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--scenario", action="append", choices=NAMES, metavar="NAME", default=[],
        help=f"only this one, may be repeated: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--engine", action="append", choices=ENGINE_NAMES, default=[],
        help="run our own scenarios on this engine, may be repeated (default: auto)",
    )  # fmt: skip
    pace = defaults.pace
    parser.add_argument(
        "--rate", type=count(_RATE_MAX), default=round(pace.rate_s),
        help="requests a second of the scenario `open` (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--arrivals", choices=ARRIVALS, default=pace.arrivals, help="of open loops (default: %(default)s)"
    )
    parser.add_argument("--seed", type=count(_SEED_MAX), default=pace.seed, help="of open loops (default: %(default)s)")
    parser.add_argument(
        "--features", type=_features, action="append", default=[], metavar="NAME=on,NAME=off",
        help="switch parts of the product: " + "; ".join(
            f"{name} ({one.what}; default {'on' if one.default else 'off'})" for name, one in FEATURES.items()
        ),
    )  # fmt: skip
    parser.add_argument(
        "--directory", type=Path, default=defaults.directory, metavar="DIR",
        help="where logs are written while it runs; on a disk (default: the system's directory for temporary files)",
    )  # fmt: skip
    parser.add_argument("--result", type=Path, metavar="FILE", help="write the whole result, as JSON")
    add_files(parser)


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add what is made of a result."""
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the curves, as SVG")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return how a run is made, as the arguments say."""
    chosen: dict[str, bool] = {}
    for one in arguments.features:
        chosen |= one
    return Settings(
        runs=arguments.runs,
        seconds=arguments.seconds,
        connections=arguments.connections,
        directory=arguments.directory,
        pace=Pace(float(arguments.rate), arguments.arrivals, arguments.seed),
        features=Features(chosen),
    )


def command_of(arguments: argparse.Namespace) -> str:
    """Return the command that measures the same again."""
    words = ["borderpost", "bench", "--runs", str(arguments.runs), "--seconds", str(arguments.seconds)]
    words += ["--connections", str(arguments.connections)]
    pace, default = settings_of(arguments).pace, Settings().pace
    words += ["--rate", f"{pace.rate_s:g}"] if pace.rate_s != default.rate_s else []
    words += ["--arrivals", pace.arrivals] if pace.arrivals != default.arrivals else []
    words += ["--seed", str(pace.seed)] if pace.seed != default.seed else []
    words += [word for name in arguments.scenario for word in ("--scenario", name)]
    words += [word for name in arguments.engine for word in ("--engine", name)]
    told = settings_of(arguments).features.told
    words += ["--features", told] if told else []
    return shlex.join(words)


def count(most: int) -> Callable[[str], int]:
    """Return what reads a number from 1 to a bound, so that a slip of a finger does not load a machine for hours."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"`{text}` is not a number from 1 to {most}")
        return number

    return read


def _features(text: str) -> dict[str, bool]:
    try:
        return parse_features(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
