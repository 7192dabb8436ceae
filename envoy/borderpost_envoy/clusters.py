"""Clusters and sockets: one cluster a region, one for our own workers, TLS on either side."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http
from envoy_data_plane.envoy.type.matcher import v3 as match
from envoy_data_plane.google import protobuf

from borderpost_base.names import METADATA_NAMESPACE, REGION_KEY
from borderpost_envoy.plan import (
    SERVER_CLUSTER,
    GatewayPlan,
    HostPort,
    ListenerTls,
    OwnRoute,
    RegionCluster,
    UnixSocket,
    UpstreamTls,
)

_TLS_SOCKET = "envoy.transport_sockets.tls"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
OPEN_AT_ONCE_MAX = 65_536
"""Requests Envoy may have open with us at once; its default of 1024 turns a burst into refusals."""


def socket_address(where: HostPort) -> core.Address:
    """Return Envoy's address of a TCP socket."""
    return core.Address(socket_address=core.SocketAddress(address=where.host, port_value=where.port))


def server_cluster(plan: GatewayPlan) -> cluster.Cluster:
    """Return the cluster of our own workers: HTTP/2, no health checks of Envoy's, breakers out of the way.

    There is no success-rate outlier detection either: every ext_proc stream ends in a reset, which counts
    as no success.
    """
    connect_timeout_ms = min(250, plan.message_timeout_ms)
    return grpc_cluster(SERVER_CLUSTER, plan.servers, connect_timeout_ms=connect_timeout_ms, speaks=plan.server_tls)


def grpc_cluster(
    name: str, servers: tuple[UnixSocket | HostPort, ...], *, connect_timeout_ms: int, speaks: UpstreamTls | None
) -> cluster.Cluster:
    """Return the cluster of a service that Envoy itself asks by gRPC."""
    return cluster.Cluster(
        name=name,
        type=_discovery([where for where in servers if isinstance(where, HostPort)]),
        connect_timeout=timedelta(milliseconds=connect_timeout_ms),
        lb_policy=cluster.ClusterLbPolicy.LEAST_REQUEST,
        load_assignment=_assignment(name, servers, hostname=""),
        circuit_breakers=cluster.CircuitBreakers(
            thresholds=[
                cluster.CircuitBreakersThresholds(
                    max_connections=1024,
                    max_pending_requests=OPEN_AT_ONCE_MAX,
                    max_requests=OPEN_AT_ONCE_MAX,
                    max_retries=1024,
                )
            ]
        ),
        typed_extension_protocol_options={
            HTTP_OPTIONS: protobuf.Any.pack(
                http.HttpProtocolOptions(
                    explicit_http_config=http.HttpProtocolOptionsExplicitHttpConfig(
                        http2_protocol_options=core.Http2ProtocolOptions()
                    )
                )
            )
        },
        transport_socket=_upstream_socket(speaks, alpn=["h2"]) if speaks is not None else None,
    )


def region_cluster(region: RegionCluster, *, named: bool = False) -> cluster.Cluster:
    """Return the cluster of one region. All its endpoints are that region's: retries stay inside it.

    `named` has each endpoint say its region in metadata, for what is logged and told of an answer.
    """
    metadata = protobuf.Struct.from_dict({REGION_KEY: region.region}) if named else None
    told = core.Metadata(filter_metadata={METADATA_NAMESPACE: metadata}) if metadata is not None else None
    return _upstream_cluster(region.cluster, region.endpoints, region.tls, told)


def own_cluster(own: OwnRoute) -> cluster.Cluster:
    """Return the cluster of an observed route, where its requests go whatever the law says."""
    return _upstream_cluster(own.cluster, own.endpoints, own.tls, None)


def _upstream_cluster(
    name: str, endpoints: tuple[HostPort, ...], speaks: UpstreamTls | None, metadata: core.Metadata | None
) -> cluster.Cluster:
    return cluster.Cluster(
        name=name,
        type=_discovery(endpoints),
        connect_timeout=timedelta(seconds=2),
        lb_policy=cluster.ClusterLbPolicy.LEAST_REQUEST,
        load_assignment=_assignment(
            name, endpoints, hostname=speaks.sni if speaks is not None else "", metadata=metadata
        ),
        circuit_breakers=cluster.CircuitBreakers(
            thresholds=[
                cluster.CircuitBreakersThresholds(
                    max_connections=OPEN_AT_ONCE_MAX,
                    max_pending_requests=OPEN_AT_ONCE_MAX,
                    max_requests=OPEN_AT_ONCE_MAX,
                )
            ]
        ),
        transport_socket=_upstream_socket(speaks, alpn=[]) if speaks is not None else None,
    )


def listener_socket(settings: ListenerTls) -> core.TransportSocket:
    """Return TLS toward clients; a client certificate is asked for where there is a CA to check it by."""
    context = tls.DownstreamTlsContext(
        # A certificate is evidence, not admission; one that is presented and does not verify ends the connection.
        require_client_certificate=False,
        common_tls_context=tls.CommonTlsContext(
            tls_certificates=[_certificate(settings.certificate, settings.private_key)],
            validation_context=(
                tls.CertificateValidationContext(trusted_ca=core.DataSource(filename=settings.client_ca))
                if settings.client_ca is not None
                else None
            ),
            alpn_protocols=["h2", "http/1.1"],
        ),
    )
    return core.TransportSocket(name=_TLS_SOCKET, typed_config=protobuf.Any.pack(context))


def _upstream_socket(settings: UpstreamTls, *, alpn: list[str]) -> core.TransportSocket:
    own = (
        [_certificate(settings.certificate, settings.private_key)]
        if settings.certificate is not None and settings.private_key is not None
        else []
    )
    context = tls.UpstreamTlsContext(
        sni=settings.sni,
        common_tls_context=tls.CommonTlsContext(
            tls_certificates=own,
            alpn_protocols=alpn,
            validation_context=tls.CertificateValidationContext(
                trusted_ca=core.DataSource(filename=settings.ca),
                match_typed_subject_alt_names=[
                    tls.SubjectAltNameMatcher(
                        san_type=tls.SubjectAltNameMatcherSanType.DNS,
                        matcher=match.StringMatcher(exact=settings.sni),
                    )
                ],
            ),
        ),
    )
    return core.TransportSocket(name=_TLS_SOCKET, typed_config=protobuf.Any.pack(context))


def _certificate(chain: str, key: str) -> tls.TlsCertificate:
    return tls.TlsCertificate(
        certificate_chain=core.DataSource(filename=chain), private_key=core.DataSource(filename=key)
    )


def _discovery(addresses: tuple[HostPort, ...] | list[HostPort]) -> cluster.ClusterDiscoveryType:
    """Return STATIC where every host is an IP address (or a pipe), else STRICT_DNS, which takes both."""
    named = any(not address.is_address for address in addresses)
    return cluster.ClusterDiscoveryType.STRICT_DNS if named else cluster.ClusterDiscoveryType.STATIC


def _assignment(
    name: str,
    where: tuple[UnixSocket | HostPort, ...] | tuple[HostPort, ...],
    *,
    hostname: str,
    metadata: core.Metadata | None = None,
) -> endpoint.ClusterLoadAssignment:
    """Return one locality with all endpoints: no priorities, so no failover from one to another."""
    return endpoint.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint.LocalityLbEndpoints(
                lb_endpoints=[
                    endpoint.LbEndpoint(
                        endpoint=endpoint.Endpoint(address=_address(one), hostname=hostname), metadata=metadata
                    )
                    for one in where
                ]
            )
        ],
    )


def _address(where: UnixSocket | HostPort) -> core.Address:
    if isinstance(where, UnixSocket):
        return core.Address(pipe=core.Pipe(path=where.path))
    return socket_address(where)
