"""Say what would be decided for a made-up request, or what was decided for one in the log, and why.

    borderpost explain --country DE --header x-data-class=personal
    borderpost explain --address 203.0.113.9 --at 2027-01-01T00:00:00Z --down eu-central-1
    borderpost explain --log run/audit 5f0c…
    borderpost explain --log run/audit 5f0c… --format lawyer > decision.md

A made-up request goes the same way as a real one: its headers and claims are read by the same code. What the
probes would say is made up too: every region is up, unless --down or --latency says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    recorded = parser.add_argument_group("a decision of the log")
    recorded.add_argument("--log", type=Path, metavar="DIR", help="the audit directory")
    recorded.add_argument(
        "decision", nargs="?", metavar="DECISION_ID", help="32 hex digits, as records and logs have it"
    )
    made_up = parser.add_argument_group("a made-up request")
    place = made_up.add_mutually_exclusive_group()
    place.add_argument("--address", metavar="IP", help="the client's address; GeoIP says where it is")
    place.add_argument("--country", metavar="CODE", help="where GeoIP shall say that the client is: DE, CA-QC")
    made_up.add_argument(
        "--header", action="append", default=[], metavar="NAME=VALUE", help="a request header; may be repeated"
    )
    made_up.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a claim of a verified token; may be repeated",
    )
    made_up.add_argument(
        "--san", action="append", default=[], metavar="URI", help="a name in the verified client certificate"
    )
    made_up.add_argument("--tenant", metavar="NAME", help="the tenant, as its header says")
    made_up.add_argument("--class", dest="data_class", metavar="NAMES", help="the data classes, as their header says")
    made_up.add_argument("--model", metavar="NAME", help="the model, as its header says")
    made_up.add_argument("--purpose", metavar="NAME", help="what the request is for, as its header says")
    made_up.add_argument(
        "--body", type=Path, metavar="FILE", help="its body, where `payload.read` is on; JSON by default"
    )
    made_up.add_argument("--route", metavar="NAME", help="the Envoy route")
    made_up.add_argument("--at", metavar="TIME", help="the instant, YYYY-MM-DD or with time and zone (default: now)")
    made_up.add_argument(
        "--stale", action="store_true", help="as if the legal events were older than `events.max_age_s` allows"
    )
    made_up.add_argument("--down", action="append", default=[], metavar="REGION", help="a region that is down")
    made_up.add_argument(
        "--latency", action="append", default=[], metavar="REGION=MS", help="what a probe measured, in milliseconds"
    )
    parser.add_argument(
        "--format", choices=("text", "lawyer", "lawyer-html"), default="text",
        help="`lawyer`: a page in words that a lawyer reads, as Markdown; `lawyer-html`: as an HTML file to print",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Explain one or the other."""
    if (arguments.log is None) != (arguments.decision is None):
        raise BorderpostError("BP0004", "--log and a decision id go together", place=Place("explain"))
    if output.as_json and arguments.format != "text":
        raise BorderpostError("BP0004", "--json has a form of its own", place=Place("--format"))
    if arguments.log is not None:
        from borderpost.cli.recorded import explain_recorded

        explanation = explain_recorded(arguments.log, arguments.decision)
    else:
        from borderpost.cli.made_up import explain_made_up

        explanation = explain_made_up(load(arguments), arguments)
    if output.as_json:
        output.result(explanation.as_dict())
    elif arguments.format != "text":
        from borderpost.cli.lawyer import page_of

        page = page_of(explanation)
        title = f"Decision {explanation.decision_id or 'on a made-up request'}"
        output.data((page.markdown() if arguments.format == "lawyer" else page.html(title)).rstrip("\n"))
    else:
        from borderpost.cli.telling import tell

        tell(explanation, output)
    return CLEAN
