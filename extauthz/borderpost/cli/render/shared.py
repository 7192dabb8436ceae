"""Options that several kinds of rendering take."""

from __future__ import annotations

import argparse


def add_upstreams(parser: argparse.ArgumentParser) -> None:
    """Add where regions are reached."""
    parser.add_argument(
        "--upstream", action="append", default=[], metavar="REGION=HOST:PORT",
        help="an endpoint of a region; each region needs one, more are balanced over",
    )  # fmt: skip
    parser.add_argument(
        "--upstream-tls", action="append", default=[], metavar="REGION=NAME",
        help="speak TLS to a region, whose certificate must have this name",
    )  # fmt: skip


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add whose word on the client's address is taken, and how long a decision may take."""
    parser.add_argument(
        "--trusted-hops", type=int, default=0, metavar="N",
        help="proxies of yours in front that append to x-forwarded-for; 0 takes the TCP peer",
    )  # fmt: skip
    parser.add_argument("--message-timeout-ms", type=int, default=250, metavar="N", help="bound on one decision")
