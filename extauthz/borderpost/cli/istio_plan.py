"""From a configuration and the command line to the plan that an Istio gateway's objects are rendered from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from borderpost.cli.envoy_plan import bodies_of, failover_clusters, headers_of, rate_limit_of, servers_of
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.names import JWT_NAMESPACE

if TYPE_CHECKING:
    from borderpost.config.istio import IstioSection
    from borderpost.config.load import Loaded
    from borderpost.config.model import Config
    from borderpost.policy.schema import TokenSource
    from borderpost_envoy import ObservedRoute, RoutePlan, UpstreamTls
    from borderpost_istio import IstioPlan, MeshRegion

_PAYLOAD_KEY = "payload"
"""Key under which Istio has Envoy leave a token's payload (istio/istio, `convertToEnvoyJwtConfig`)."""


def make_istio_plan(loaded: Loaded, arguments: argparse.Namespace) -> IstioPlan:
    """Return the plan. Raises BorderpostError BP1406 without a section `istio`, BP14xx and BP09xx for a plan that
    cannot be."""
    from borderpost.facts import needed_attributes
    from borderpost.policy.schema import TokenSource
    from borderpost_envoy import RouteStyle, Via
    from borderpost_istio import IstioPlan

    config = loaded.config
    section = config.istio
    if section is None:
        raise BorderpostError("BP1406", "there is no section `istio`", place=Place(str(loaded.path), key="istio"))
    token = config.evidence.token or TokenSource()
    _check_tokens(section, token)
    return IstioPlan(
        servers=servers_of(config),
        regions=_regions(loaded, section),
        headers_read=headers_of(config),
        attributes=needed_attributes(config.evidence, config.tenants),
        via=Via(arguments.via),
        route_style=RouteStyle(arguments.route_style),
        routes=() if arguments.observe else _routes(config, section),
        observed=_observed(config, only=arguments.observe),
        hosts=section.hosts,
        trusted_hops=section.trusted_proxies,
        message_timeout_ms=section.message_timeout_ms,
        server_tls=_server_tls(config, section),
        jwt_namespace=token.namespace,
        jwt_payload_key=token.payload_key,
        access_log=section.access_log,
        bodies=bodies_of(config),
        failover=failover_clusters(config),
        version=section.version,
        namespace=section.namespace,
        workload=section.workload,
        gateways=section.gateways,
        ports=section.ports,
        service_account=section.service_account,
        trust_domain=section.trust_domain,
        client_certificates=section.client_certificates,
        tokens=section.tokens,
        rate_limit=rate_limit_of(config),
        egress=section.egress,
        unavailable_max=section.unavailable_max,
    )


def _check_tokens(section: IstioSection, token: TokenSource) -> None:
    if section.tokens and (token.namespace, token.payload_key) != (JWT_NAMESPACE, _PAYLOAD_KEY):
        detail = f"claims are read at `{token.namespace}:{token.payload_key}`, Istio puts them at "
        raise BorderpostError(
            "BP1411", f"{detail}`{JWT_NAMESPACE}:{_PAYLOAD_KEY}`", place=Place(key="evidence.token.namespace")
        )


def _regions(loaded: Loaded, section: IstioSection) -> tuple[MeshRegion, ...]:
    from borderpost.config.istio import cluster_name, subset_name
    from borderpost_istio import MeshRegion

    return tuple(
        MeshRegion(
            region=name,
            cluster=cluster_name(section, name, spec),
            spec=section.regions[name],
            subset=subset_name(name) if section.regions[name].labels is not None else "",
        )
        for name, spec in loaded.regions.items()
    )


def _routes(config: Config, section: IstioSection) -> tuple[RoutePlan, ...]:
    """Return the routes: those of the section, else one for everything, by the name of the only one that has law."""
    from borderpost_envoy import RoutePlan

    if not section.routes:
        names = tuple(name for name in config.routes if name not in config.observe.routes)
        if config.observe.routes and not names:
            detail = "the hosts of the section `istio` would be enforced, and each route is under `observe.routes`"
            mend = "Say --observe; or describe what is to be enforced, under `routes` and `istio.routes`."
            raise BorderpostError("BP1442", detail, place=Place(key="observe.routes"), mend=mend)
        return (RoutePlan(name=names[0]) if names else RoutePlan(),)
    return tuple(
        RoutePlan(
            name=each.name,
            prefix=each.prefix,
            timeout_ms=each.timeout_ms,
            idle_timeout_ms=each.idle_timeout_ms,
            connect_retries=each.connect_retries,
        )
        for each in section.routes
    )


def _observed(config: Config, *, only: bool) -> tuple[ObservedRoute, ...]:
    """Return the routes that are only observed: routes of VirtualServices that are not ours, by their names there."""
    from borderpost_envoy import ObservedRoute

    if only and not config.observe.routes:
        raise BorderpostError("BP1442", "`observe.routes` names no route", place=Place("--observe"))
    return tuple(ObservedRoute(name) for name in config.observe.routes)


def _server_tls(config: Config, section: IstioSection) -> UpstreamTls | None:
    """Return how Envoy reaches workers that listen on TCP with TLS."""
    from borderpost_envoy import UpstreamTls

    if config.server.tls is None:
        return None
    trust = section.server
    if trust is None:
        detail = "`server.tls` is set, so the gateway needs certificates to reach Borderpost"
        raise BorderpostError("BP1406", detail, place=Place(key="istio.server"))
    return UpstreamTls(
        sni=trust.name or config.server.host, ca=trust.ca, certificate=trust.certificate, private_key=trust.key
    )
