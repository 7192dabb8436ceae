"""From a configuration and the command line to the plan that an Envoy bootstrap is rendered from.

What the configuration knows (regions, clusters, sockets, headers, route names) is taken from it, so that Envoy and
Borderpost cannot disagree; what only Envoy needs (endpoints, listener, certificates) comes from the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.beside import configurations
from borderpost.cli.options import pairs
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.config.model import Config
    from borderpost.config.rate_limit import RateLimitSpec
    from borderpost_envoy import (
        BodyPlan,
        EnvoyPlan,
        FailoverCluster,
        HostPort,
        ListenerTls,
        OwnRoute,
        RegionCluster,
        RoutePlan,
        UnixSocket,
        UpstreamTls,
    )


def make_plan(loaded: Loaded, arguments: argparse.Namespace) -> EnvoyPlan:
    """Return the plan. Raises BorderpostError BP0004 for options that do not fit, BP09xx for a plan that cannot be."""
    from borderpost.facts import needed_attributes
    from borderpost.policy.schema import TokenSource
    from borderpost_envoy import EnvoyPlan, HostPort, JwtProvider, RouteStyle, Via

    evidence = loaded.config.evidence
    token = evidence.token or TokenSource()
    prefixes = _observed_prefixes(loaded.config, arguments.observe)
    routes = _routes(loaded.config, arguments.route, prefixes)
    regions = region_clusters(loaded, arguments, needed=bool(routes))
    observed = _observed(loaded.config, arguments, prefixes, regions)
    return EnvoyPlan(
        listen=HostPort.parse(arguments.listen),
        servers=_servers(loaded, arguments),
        regions=regions,
        headers_read=headers_of(loaded.config),
        attributes=needed_attributes(evidence, loaded.config.tenants),
        via=Via(arguments.via),
        route_style=RouteStyle(arguments.route_style),
        routes=routes,
        observed=observed,
        admin=None if arguments.admin == "none" else HostPort.parse(arguments.admin),
        trusted_hops=arguments.trusted_hops,
        message_timeout_ms=arguments.message_timeout_ms,
        tls=_listener_tls(arguments),
        server_tls=_server_tls(loaded.config, arguments),
        jwt_providers=tuple(JwtProvider(name, issuer, jwks) for name, issuer, jwks in arguments.jwt),
        access_log=arguments.access_log,
        jwt_namespace=token.namespace,
        jwt_payload_key=token.payload_key,
        bodies=bodies_of(loaded.config),
        failover=failover_clusters(loaded.config),
        rate_limit=rate_limit_of(loaded.config),
    )


def servers_of(config: Config) -> tuple[UnixSocket | HostPort, ...]:
    """Return where each worker listens, in order of its index."""
    from borderpost_envoy import HostPort, UnixSocket

    server = config.server
    if server.listen == "unix":
        return tuple(UnixSocket(str(server.socket_of(index))) for index in range(server.workers))
    if server.port == 0:
        raise BorderpostError(
            "BP0004", "`server.port` is 0, so nobody can know it before the start", place=Place(key="server.port")
        )
    return tuple(HostPort(server.host, server.port + index) for index in range(server.workers))


def _servers(loaded: Loaded, arguments: argparse.Namespace) -> tuple[UnixSocket | HostPort, ...]:
    """Return the workers of this gateway and of those beside it. Raises BorderpostError BP0004 where two share one."""
    servers = servers_of(loaded.config)
    for path, config in zip(arguments.beside, configurations(loaded, arguments.beside), strict=True):
        if not set(servers).isdisjoint(servers_of(config)):
            raise BorderpostError("BP0004", "its workers listen where others do", place=Place(path, key="server"))
        servers += servers_of(config)
    return servers


def failover_clusters(config: Config) -> tuple[FailoverCluster, ...]:
    """Return the clusters of the failover groups."""
    from borderpost_envoy import FailoverCluster

    return tuple(FailoverCluster(group.cluster or name, group.regions) for name, group in config.failover.items())


def rate_limit_of(config: Config) -> RateLimitSpec | None:
    """Return the rate-limit service with its place; None where none is asked."""
    spec, limiter = config.rate_limit, config.limiter
    if spec is None or not spec.is_inside or limiter is None:
        return spec  # that the limiter runs has been checked
    door = limiter.server
    place = {"socket": str(door.socket)} if door.listen == "unix" else {"host": door.host, "port": door.port}
    return spec.model_copy(update={**place, "service": "borderpost"})


def bodies_of(config: Config) -> BodyPlan | None:
    """Return which bodies Envoy is to send; None where none are read. Those of observed routes it never sends."""
    from borderpost_envoy import BodyPlan

    routes = tuple(name for name in config.payload.routes if name not in config.observe.routes)
    if not config.payload.read or (config.payload.routes and not routes):
        return None
    return BodyPlan(config.payload.bytes_max, routes)


def headers_of(config: Config) -> tuple[str, ...]:
    """Return the request headers that decisions need: those of evidence, and where bodies are read, theirs."""
    from borderpost.facts import needed_headers

    own = needed_headers(config.evidence, config.tenants)
    if not config.payload.read:
        return tuple(own)
    from borderpost.payload.model import HEADERS

    return (*own, *HEADERS)


def region_clusters(loaded: Loaded, arguments: argparse.Namespace, *, needed: bool) -> tuple[RegionCluster, ...]:
    """Return the regions that have an endpoint: all of them where any route is enforced."""
    from borderpost_envoy import HostPort, RegionCluster, UpstreamTls

    endpoints: dict[str, list[HostPort]] = {}
    for region, address in _known_pairs("--upstream", arguments.upstream, loaded.regions):
        endpoints.setdefault(region, []).append(HostPort.parse(address))
    names = dict(_known_pairs("--upstream-tls", arguments.upstream_tls, loaded.regions))
    bare = sorted(set(loaded.regions) - set(endpoints))
    if bare and needed:
        raise BorderpostError("BP0004", f"no --upstream for: {', '.join(bare)}", place=Place("--upstream"))
    return tuple(
        RegionCluster(
            region=region,
            cluster=spec.cluster or region,
            endpoints=tuple(endpoints[region]),
            tls=UpstreamTls(sni=names[region]) if region in names else None,
        )
        for region, spec in loaded.regions.items()
        if region in endpoints
    )


def _routes(config: Config, given: Iterable[str], observed: Mapping[str, str]) -> tuple[RoutePlan, ...]:
    """Return the routes that are enforced: those of `--route`, each known to the configuration if that names any; else
    one for all that is not observed."""
    from borderpost_envoy import RoutePlan

    known = sorted(set(config.routes) - set(config.observe.routes))
    for name, _ in pairs("--route", given):
        if name in config.observe.routes:
            raise BorderpostError("BP1442", f"`{name}` is under `observe.routes`", place=Place("--route"))
    placed = _known_pairs("--route", given, known) if config.routes else pairs("--route", given)
    unplaced = sorted(set(known) - {name for name, _ in placed})
    if unplaced and (placed or len(known) > 1):
        raise BorderpostError("BP0004", f"no --route for: {', '.join(unplaced)}", place=Place("--route"))
    if placed:
        return tuple(RoutePlan(name=name, prefix=prefix) for name, prefix in placed)
    if unplaced:
        return (RoutePlan(name=unplaced[0]),)
    return () if RoutePlan().prefix in observed.values() else (RoutePlan(),)


def _observed_prefixes(config: Config, given: Iterable[str]) -> dict[str, str]:
    """Return the prefix of each observed route. Raises BP1442 for a route that is not, BP0004 for one left out."""
    prefixes = dict(pairs("--observe", given))
    for name in prefixes:
        if name not in config.observe.routes:
            detail = f"`{name}` is not under `observe.routes`, so it is enforced"
            raise BorderpostError("BP1442", detail, place=Place("--observe"))
    missing = sorted(set(config.observe.routes) - set(prefixes))
    if missing:
        raise BorderpostError("BP0004", f"no --observe for: {', '.join(missing)}", place=Place("--observe"))
    return prefixes


def _observed(
    config: Config, arguments: argparse.Namespace, prefixes: Mapping[str, str], regions: Iterable[RegionCluster]
) -> tuple[OwnRoute, ...]:
    """Return the observed routes, each with the cluster where its requests go: its own, or that of its region."""
    from borderpost_envoy import HostPort, OwnRoute, UpstreamTls

    endpoints: dict[str, list[HostPort]] = {}
    for name, address in _known_pairs("--observed-upstream", arguments.observed_upstream, prefixes):
        endpoints.setdefault(name, []).append(HostPort.parse(address))
    names = dict(_known_pairs("--observed-upstream-tls", arguments.observed_upstream_tls, endpoints))
    clusters = {region.region: region for region in regions}
    found = []
    for name, prefix in prefixes.items():
        region = clusters.get(config.observe.routes[name].region or "")
        if name in endpoints:
            tls = UpstreamTls(sni=names[name]) if name in names else None
            found.append(OwnRoute(name, prefix, f"own-{name}", tuple(endpoints[name]), tls))
        elif region is not None:
            found.append(OwnRoute(name, prefix, region.cluster, tls=region.tls))
        else:
            detail = f"nobody says where requests on `{name}` go: it has no region with an --upstream either"
            raise BorderpostError("BP0004", detail, place=Place("--observed-upstream"))
    return tuple(found)


def _known_pairs(option: str, given: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Return the parts of each `NAME=VALUE`, whose names the configuration must know. Raises BP0004."""
    names = set(known)
    found = pairs(option, given)
    for name, _value in found:
        if name not in names:
            mend = f"the configuration knows: {', '.join(sorted(names))}"
            raise BorderpostError("BP0004", f"`{name}` is not in the configuration", place=Place(option), mend=mend)
    return found


def _listener_tls(arguments: argparse.Namespace) -> ListenerTls | None:
    from borderpost_envoy import ListenerTls

    if arguments.tls is None:
        if arguments.client_ca is not None:
            raise BorderpostError("BP0004", "--client-ca needs --tls", place=Place("--client-ca"))
        return None
    certificate, key = arguments.tls
    return ListenerTls(certificate=certificate, private_key=key, client_ca=arguments.client_ca)


def _server_tls(config: Config, arguments: argparse.Namespace) -> UpstreamTls | None:
    """Return how Envoy reaches workers that listen on TCP with TLS."""
    from borderpost_envoy import UpstreamTls

    if config.server.tls is None:
        return None
    if arguments.server_ca is None:
        raise BorderpostError("BP0004", "`server.tls` is set, so Envoy needs --server-ca", place=Place("--server-ca"))
    certificate, key = arguments.server_client or (None, None)
    name = arguments.server_name or config.server.host
    return UpstreamTls(sni=name, ca=str(Path(arguments.server_ca)), certificate=certificate, private_key=key)
