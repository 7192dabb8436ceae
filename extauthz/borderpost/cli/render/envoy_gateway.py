"""The action `envoy-gateway`: what makes a Gateway of Envoy Gateway ask Borderpost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_config, add_json, load
from borderpost.cli.output import CLEAN, Output
from borderpost.cli.render.shared import add_trust, add_upstreams
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost_istio.envoy_gateway import EnvoyGatewayPlan, ServerTrust, Sidecar


def configure_envoy_gateway(parser: argparse.ArgumentParser) -> None:
    """Write the objects that make a Gateway of Envoy Gateway ask Borderpost, with the reasons beside the settings.

    The Gateway itself stays yours: ports and certificates.

        borderpost render envoy-gateway --gateway ai/ai --listener http --image registry.example/borderpost:1 \\
            --evidence-claim evidence --upstream eu-central-1=10.0.1.5:8000 > gateway.yaml
        kubectl diff -f gateway.yaml
    """
    parser.add_argument(
        "--gateway", required=True, metavar="NAMESPACE/NAME", help="the Gateway; everything is put into its namespace"
    )
    parser.add_argument(
        "--listener", action="append", default=[], metavar="NAME", required=True,
        help="an HTTP or HTTPS listener of the Gateway; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--host", action="append", default=[], metavar="HOST", help="a host to decide on (default: any of the Gateway)"
    )
    parser.add_argument(
        "--prefix", action="append", default=[], metavar="PATH",
        help="start of the paths to decide on, by whole segments (default: /, all)",
    )  # fmt: skip
    add_upstreams(parser)
    add_trust(parser)
    parser.add_argument(
        "--client-certificates", action="store_true",
        help="the Gateway asks clients for certificates, and their names are evidence",
    )  # fmt: skip
    sidecar = parser.add_argument_group("Borderpost in Envoy's pods (with `server.listen: unix`)")
    sidecar.add_argument("--image", metavar="IMAGE", help="render an EnvoyProxy with this image as a sidecar")
    sidecar.add_argument(
        "--config-map", default="borderpost-config", metavar="NAME",
        help="ConfigMap with `borderpost.yaml` (default: borderpost-config)",
    )  # fmt: skip
    sidecar.add_argument(
        "--evidence-claim", metavar="NAME", help="PersistentVolumeClaim that all of Envoy's pods share"
    )
    sidecar.add_argument(
        "--evidence-dies-with-pod", action="store_true", help="keep the record of decisions in the pod instead"
    )
    network = parser.add_argument_group("Borderpost on the network (with `server.tls`)")
    network.add_argument("--server-ca", metavar="NAME", help="ConfigMap with the authority of `server.tls` (ca.crt)")
    network.add_argument(
        "--server-client", metavar="NAME", help="Secret with Envoy's own certificate (tls.crt, tls.key)"
    )
    network.add_argument("--server-name", metavar="NAME", help="name in `server.tls`'s certificate (default: the host)")
    add_config(parser)
    add_json(parser)


def run_envoy_gateway(arguments: argparse.Namespace, output: Output) -> int:
    """Print the objects as one YAML stream, or with --json as a List."""
    import json

    loaded = load(arguments)
    plan = make_gateway_plan(loaded, arguments)
    from borderpost_istio.envoy_gateway import render_objects, to_yaml
    from borderpost_istio.kinds import as_data

    rendered = render_objects(plan)
    if output.as_json:
        items = [as_data(each) for each, _ in rendered]
        output.data(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2, ensure_ascii=False))
    else:
        output.data(to_yaml(rendered).rstrip())
    return CLEAN


def make_gateway_plan(loaded: Loaded, arguments: argparse.Namespace) -> EnvoyGatewayPlan:
    """Return the plan. Raises BorderpostError BP0004 for options that do not fit, BP09xx or BP1422 for a plan that
    cannot be."""
    from borderpost.cli.envoy_plan import failover_clusters, region_clusters, servers_of
    from borderpost.facts import needed_attributes, needed_headers
    from borderpost.policy.schema import TokenSource
    from borderpost_envoy import RoutePlan
    from borderpost_istio.envoy_gateway import EnvoyGatewayPlan

    config = loaded.config
    namespace, slash, gateway = arguments.gateway.partition("/")
    if not slash:
        raise BorderpostError("BP0004", f"`{arguments.gateway}` is not NAMESPACE/NAME", place=Place("--gateway"))
    _check_configuration(loaded)
    prefixes = tuple(dict.fromkeys(arguments.prefix or ["/"]))
    return EnvoyGatewayPlan(
        namespace=namespace,
        gateway=gateway,
        listeners=tuple(dict.fromkeys(arguments.listener)),
        hosts=tuple(dict.fromkeys(arguments.host)) or ("*",),
        servers=servers_of(config),
        regions=region_clusters(loaded, arguments, needed=True),
        failover=failover_clusters(config),
        routes=tuple(RoutePlan(name=prefix, prefix=prefix) for prefix in prefixes),
        headers_read=needed_headers(config.evidence, config.tenants),
        attributes=needed_attributes(config.evidence, config.tenants),
        trusted_hops=arguments.trusted_hops,
        message_timeout_ms=arguments.message_timeout_ms,
        jwt_namespace=(config.evidence.token or TokenSource()).namespace,
        client_certificates=arguments.client_certificates,
        trust=_trust(loaded, arguments),
        sidecar=_sidecar(loaded, arguments),
    )


def _check_configuration(loaded: Loaded) -> None:
    """Refuse what Envoy Gateway has no way to tell Borderpost of."""
    config = loaded.config
    if config.routes:
        raise BorderpostError(
            "BP1422",
            "Envoy Gateway names routes by itself, so the law of `routes` would be sought by names that are not there",
            place=Place(key="routes"),
            mend="Tell requests apart by tenant, class or purpose.",
        )
    if config.payload.read:
        raise BorderpostError(
            "BP1422",
            "bodies are read, and Envoy Gateway does not bound what it sends of them over HTTP/2",
            place=Place(key="payload.read"),
        )
    if config.rate_limit is not None:
        raise BorderpostError(
            "BP1422",
            "Envoy Gateway asks rate-limit services of its own alone, by actions that know nothing of our metadata",
            place=Place(key="rate_limit"),
        )
    if config.server.listen == "unix":
        _outside(loaded, "server.directory", config.server.directory)


def _outside(loaded: Loaded, key: str, path: Path) -> Path:
    """Return a path that is the same in a pod: one that was not made absolute against the configuration's folder."""
    if path.is_relative_to(loaded.path.parent):
        raise BorderpostError(
            "BP1422",
            f"`{path}` lies beside the configuration file, which in a pod is another folder, and a read-only one",
            place=Place(key=key),
            mend="Name it by an absolute path, such as `/run/borderpost`.",
        )
    return path


def _sidecar(loaded: Loaded, arguments: argparse.Namespace) -> Sidecar | None:
    from borderpost_istio.envoy_gateway import Sidecar

    if arguments.image is None:
        return None
    if (arguments.evidence_claim is None) != arguments.evidence_dies_with_pod:
        raise BorderpostError(
            "BP0004", "where is the record of decisions kept?", place=Place("--image"),
            mend="Give --evidence-claim NAME, or say --evidence-dies-with-pod.",
        )  # fmt: skip
    config = loaded.config
    return Sidecar(
        image=arguments.image,
        config_map=arguments.config_map,
        log=config.audit.log,
        evidence_claim=arguments.evidence_claim,
        evidence_directory=str(_outside(loaded, "audit.directory", config.audit.directory)),
        socket_directory=str(config.server.directory),
        state_directory=str(_outside(loaded, "runtime.directory", config.runtime.directory)),
    )


def _trust(loaded: Loaded, arguments: argparse.Namespace) -> ServerTrust | None:
    from borderpost_istio.envoy_gateway import ServerTrust

    if loaded.config.server.tls is None:
        return None
    if arguments.server_ca is None or arguments.server_client is None:
        detail = "`server.tls` is set, so Envoy needs --server-ca and --server-client"
        raise BorderpostError("BP0004", detail, place=Place("--server-ca"))
    name = arguments.server_name or loaded.config.server.host
    return ServerTrust(name, arguments.server_ca, arguments.server_client)
