"""The action `envoy`: a full bootstrap that cannot leak, with the reasons beside the settings."""

from __future__ import annotations

import argparse

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output
from borderpost.cli.render.shared import add_trust, add_upstreams

_PAIR = ("CERTIFICATE", "KEY")


def configure_envoy(parser: argparse.ArgumentParser) -> None:
    """Write Envoy's configuration: a full bootstrap that cannot leak, with the reasons beside the settings.

    What the configuration knows is taken from it; what only Envoy needs is given here.

        borderpost render envoy --via ext_proc --listen 0.0.0.0:8080 \\
            --upstream eu-central-1=10.0.1.5:8000 --upstream us-east-1=10.1.1.5:8000 > envoy.yaml
        envoy --mode validate -c envoy.yaml
    """
    parser.add_argument("--via", choices=("ext_proc", "ext_authz"), default="ext_proc", help="the door Envoy asks by")
    parser.add_argument(
        "--route", action="append", default=[], metavar="NAME=PREFIX",
        help="a route by the name that the configuration's `routes` knows; may be repeated, the first that fits wins "
        "(default: one route for everything)",
    )  # fmt: skip
    add_upstreams(parser)
    parser.add_argument(
        "--observe", action="append", default=[], metavar="NAME=PREFIX",
        help="a route under `observe.routes`: each is told to Borderpost, and goes its own way",
    )  # fmt: skip
    parser.add_argument(
        "--observed-upstream", action="append", default=[], metavar="NAME=HOST:PORT",
        help="an endpoint where an observed route leads (default: those of its region, `observe.routes.NAME.region`)",
    )  # fmt: skip
    parser.add_argument(
        "--observed-upstream-tls", action="append", default=[], metavar="NAME=NAME",
        help="speak TLS to where an observed route leads, whose certificate must have this name",
    )  # fmt: skip
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="where clients connect")
    parser.add_argument("--admin", default="127.0.0.1:9901", metavar="HOST:PORT", help="Envoy's admin, or `none`")
    parser.add_argument("--tls", nargs=2, metavar=_PAIR, help="PEM files of the listener")
    parser.add_argument("--client-ca", metavar="FILE", help="accept client certificates of these authorities")
    parser.add_argument("--server-ca", metavar="FILE", help="authority of `server.tls`")
    parser.add_argument("--server-name", metavar="NAME", help="name in `server.tls`'s certificate (default: the host)")
    parser.add_argument("--server-client", nargs=2, metavar=_PAIR, help="Envoy's own PEM files towards `server.tls`")
    add_trust(parser)
    parser.add_argument(
        "--jwt", nargs=3, action="append", default=[], metavar=("NAME", "ISSUER", "JWKS_FILE"),
        help="verify tokens of an issuer; may be repeated",
    )  # fmt: skip
    parser.add_argument("--access-log", metavar="FILE", help="write a JSON access log without client addresses")
    parser.add_argument(
        "--beside", action="append", default=[], metavar="FILE",
        help="configuration of another gateway of yours whose workers Envoy asks too, so that each can be replaced "
        "while the other answers; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--route-style", choices=("matcher", "cluster_header"), default="matcher",
        help="how Envoy turns our header into a cluster (default: matcher, an allow-list)",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def run_envoy(arguments: argparse.Namespace, output: Output) -> int:
    """Print the bootstrap as YAML, or with --json as the JSON that Envoy reads too."""
    loaded = load(arguments)
    from borderpost.cli.envoy_plan import make_plan
    from borderpost_envoy import render_bootstrap, to_json, to_yaml

    bootstrap = render_bootstrap(make_plan(loaded, arguments))
    output.data((to_json(bootstrap) if output.as_json else to_yaml(bootstrap)).rstrip())
    return CLEAN
