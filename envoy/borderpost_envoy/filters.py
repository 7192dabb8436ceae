"""The HTTP filters: verified tokens first, then our question, then that of limits, then the router.

Where bodies are read, Envoy's buffer filter stands before our question: it collects the body before we are asked, so
that a slow or broken upload costs us nothing, and it holds the bound in HTTP/1.1 and HTTP/2 alike. The filters of our
question do not (Envoy 1.40, tried): over HTTP/2 ext_proc sends bodies of any length, and ext_authz one that is cut.
"""

from __future__ import annotations

import re
from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer
from envoy_data_plane.envoy.extensions.filters.http.ext_authz import v3 as ext_authz
from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as ext_proc
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_mutation
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn import v3 as jwt
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts
from envoy_data_plane.envoy.type import v3 as envoy_type
from envoy_data_plane.envoy.type.matcher import v3 as match
from envoy_data_plane.google import protobuf

from borderpost_base.names import (
    ANSWER_HEADERS,
    CLIENT_HEADER,
    EXT_AUTHZ_FILTER,
    EXT_PROC_FILTER,
    HEADER_PREFIX,
    JWT_NAMESPACE,
    METADATA_NAMESPACE,
    OBSERVE_FILTER,
)
from borderpost_envoy.plan import SERVER_CLUSTER, EnvoyPlan, GatewayPlan, Via
from borderpost_envoy.rate_limit import limiting_filters

PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
"""A retry goes to another endpoint of the same cluster where there is one."""
HOST_SELECTIONS_MAX = 20
"""Random draws before a retry takes an endpoint that was tried: of two, one in a million misses the good one."""
_RETRY_BASE = timedelta(milliseconds=10)
_CLIENT_FILTER = "borderpost.client"
_BUFFER_FILTER = "borderpost.body"
CERTIFICATE_ATTRIBUTES = (
    "connection.mtls",
    "connection.uri_san_peer_certificate",
    "connection.dns_san_peer_certificate",
)
"""Sent where client certificates are asked for; Envoy gives the first name of each kind."""
_ASK_AGAIN_ON = ("connect-failure", "reset", "unavailable", "cancelled")
"""When we are asked again. `cancelled` is how a grpcio worker that makes way refuses a call that crossed its GOAWAY
(tried)."""
_TELL_AGAIN_ON = tuple(condition for condition in _ASK_AGAIN_ON if condition != "reset")
"""When we are told again of an observed request: not where we may have recorded it."""
_CLUSTER_ATTRIBUTE = "xds.cluster_name"
"""Where an observed request goes. Known when we are told of it, unlike where our answer is to name the cluster."""


def http_filters(plan: EnvoyPlan) -> list[hcm.HttpFilter]:
    """Return the chain in order. The router is last and finds a cluster only if our answer named one."""
    tokens = [_filter(JWT_NAMESPACE, _jwt_authn(plan))] if plan.jwt_providers else []
    enforcing = [*own_filters(plan), *limiting_filters(plan)] if plan.routes else []
    return [*tokens, *enforcing, *observing_filters(plan), _filter("envoy.filters.http.router", router.Router())]


def own_filters(plan: GatewayPlan) -> list[hcm.HttpFilter]:
    """Return the filters that ask us, in order; they stand after the tokens' and before the router."""
    chain: list[tuple[str, Message]] = []
    if plan.bodies is not None:
        chain.append((_BUFFER_FILTER, buffer.Buffer(max_request_bytes=plan.bodies.bytes_max)))
    if plan.via is Via.EXT_PROC:
        chain.append((EXT_PROC_FILTER, _ext_proc(plan)))
    else:
        chain.append((_CLIENT_FILTER, _client_header()))
        chain.append((EXT_AUTHZ_FILTER, _ext_authz(plan)))
    return [_filter(name, message) for name, message in chain]


def observing_filters(plan: GatewayPlan) -> list[hcm.HttpFilter]:
    """Return the filter that tells us of requests on observed routes, off wherever a route does not turn it on.

    It is ext_proc whichever door enforces: only there does Envoy not even wait for an answer.
    """
    if not plan.observed:
        return []
    told = hcm.HttpFilter(name=OBSERVE_FILTER, typed_config=protobuf.Any.pack(_observing(plan)), disabled=True)
    return [told]


def observed_only(plan: GatewayPlan) -> dict[str, protobuf.Any]:
    """Return what makes a route an observed one, by filter: those that enforce are off, the one that tells us is on."""
    filters: dict[str, Message] = {}
    if plan.routes:
        if plan.via is Via.EXT_PROC:
            filters[EXT_PROC_FILTER] = ext_proc.ExtProcPerRoute(disabled=True)
        else:
            filters[EXT_AUTHZ_FILTER] = ext_authz.ExtAuthzPerRoute(disabled=True)
        if plan.bodies is not None:
            filters[_BUFFER_FILTER] = buffer.BufferPerRoute(disabled=True)
    filters[OBSERVE_FILTER] = ext_proc.ExtProcPerRoute(overrides=ext_proc.ExtProcOverrides())
    return {name: protobuf.Any.pack(message) for name, message in filters.items()}


def switched_on(plan: GatewayPlan) -> dict[str, protobuf.Any]:
    """Return what turns the filters that ask us on for one route, by filter, where they are off for all others."""
    filters: dict[str, Message] = {}
    if plan.bodies is not None:
        filters[_BUFFER_FILTER] = buffer.BufferPerRoute(buffer=buffer.Buffer(max_request_bytes=plan.bodies.bytes_max))
    if plan.via is Via.EXT_PROC:
        filters[EXT_PROC_FILTER] = ext_proc.ExtProcPerRoute(overrides=ext_proc.ExtProcOverrides())
    else:
        filters[_CLIENT_FILTER] = header_mutation.HeaderMutationPerRoute(mutations=header_mutation.Mutations())
        filters[EXT_AUTHZ_FILTER] = ext_authz.ExtAuthzPerRoute(check_settings=ext_authz.CheckSettings())
    return {name: protobuf.Any.pack(message) for name, message in filters.items()}


def _filter(name: str, message: Message) -> hcm.HttpFilter:
    return hcm.HttpFilter(name=name, typed_config=protobuf.Any.pack(message))


def headers_only(plan: GatewayPlan) -> dict[str, protobuf.Any]:
    """Return what takes bodies out of the filters for one route, by filter."""
    own: Message
    if plan.via is Via.EXT_PROC:
        own = ext_proc.ExtProcPerRoute(
            overrides=ext_proc.ExtProcOverrides(processing_mode=_processing_mode(with_body=False))
        )
    else:
        own = ext_authz.ExtAuthzPerRoute(check_settings=ext_authz.CheckSettings(disable_request_body_buffering=True))
    filters: dict[str, Message] = {
        _BUFFER_FILTER: buffer.BufferPerRoute(disabled=True),
        EXT_PROC_FILTER if plan.via is Via.EXT_PROC else EXT_AUTHZ_FILTER: own,
    }
    return {name: protobuf.Any.pack(message) for name, message in filters.items()}


def _processing_mode(*, with_body: bool) -> ext_proc.ProcessingMode:
    send = ext_proc.ProcessingModeHeaderSendMode
    body = ext_proc.ProcessingModeBodySendMode
    return ext_proc.ProcessingMode(
        request_header_mode=send.SEND,
        response_header_mode=send.SKIP,
        request_body_mode=body.BUFFERED if with_body else body.NONE,
    )


def _client_header() -> header_mutation.HeaderMutation:
    """Return the filter that writes the trusted client address where ext_authz can see it."""
    return header_mutation.HeaderMutation(
        mutations=header_mutation.Mutations(
            request_mutations=[
                mutation.HeaderMutation(
                    append=core.HeaderValueOption(
                        header=core.HeaderValue(key=CLIENT_HEADER, value="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
                        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
                    )
                )
            ]
        )
    )


def _ext_proc(plan: GatewayPlan) -> ext_proc.ExternalProcessor:
    certificate = CERTIFICATE_ATTRIBUTES if plan.asks_for_certificates else ()
    return ext_proc.ExternalProcessor(
        grpc_service=_grpc_service(plan, timeout=None),
        status_on_error=_unavailable(),
        processing_mode=_processing_mode(with_body=plan.bodies is not None),
        request_attributes=list(dict.fromkeys((*plan.attributes, *certificate))),
        message_timeout=_bound(plan),
        stat_prefix="borderpost",
        mutation_rules=_mutation_rules(),
        forward_rules=ext_proc.HeaderForwardingRules(allowed_headers=_headers_read(plan)),
        metadata_options=ext_proc.MetadataOptions(
            forwarding_namespaces=ext_proc.MetadataOptionsMetadataNamespaces(untyped=[plan.jwt_namespace]),
            receiving_namespaces=ext_proc.MetadataOptionsMetadataNamespaces(untyped=[METADATA_NAMESPACE]),
        ),
        route_cache_action=ext_proc.ExternalProcessorRouteCacheAction.CLEAR,
    )


def _observing(plan: GatewayPlan) -> ext_proc.ExternalProcessor:
    """Return a filter that waits for nothing and changes nothing: `observability_mode` takes no answer."""
    certificate = CERTIFICATE_ATTRIBUTES if plan.asks_for_certificates else ()
    return ext_proc.ExternalProcessor(
        grpc_service=_grpc_service(plan, timeout=None, retry_on=_TELL_AGAIN_ON),
        failure_mode_allow=True,
        observability_mode=True,
        processing_mode=_processing_mode(with_body=False),
        request_attributes=list(dict.fromkeys((*plan.attributes, *certificate, _CLUSTER_ATTRIBUTE))),
        stat_prefix="borderpost_observe",
        forward_rules=ext_proc.HeaderForwardingRules(allowed_headers=_exactly(plan.headers_read)),
        metadata_options=ext_proc.MetadataOptions(
            forwarding_namespaces=ext_proc.MetadataOptionsMetadataNamespaces(untyped=[plan.jwt_namespace]),
        ),
    )


def _ext_authz(plan: GatewayPlan) -> ext_authz.ExtAuthz:
    return ext_authz.ExtAuthz(
        grpc_service=_grpc_service(plan, timeout=_bound(plan)),
        transport_api_version=core.ApiVersion.V3,
        with_request_body=(
            ext_authz.BufferSettings(max_request_bytes=plan.bodies.bytes_max, pack_as_bytes=True)
            if plan.bodies is not None
            else None
        ),
        clear_route_cache=True,
        status_on_error=_unavailable(),
        validate_mutations=True,
        metadata_context_namespaces=[plan.jwt_namespace],
        route_metadata_context_namespaces=[METADATA_NAMESPACE],
        include_peer_certificate=plan.asks_for_certificates,
        stat_prefix="borderpost",
        allowed_headers=_headers_read(plan),
        emit_filter_state_stats=True,  # how long each decision took, for the access log
        encode_raw_headers=True,  # repeated headers stay apart and bytes stay bytes, as over ext_proc
        decoder_header_mutation_rules=_mutation_rules(),
    )


def _jwt_authn(plan: EnvoyPlan) -> jwt.JwtAuthentication:
    """Return token verification. A request without a token goes on and has no token evidence."""
    providers = {
        provider.name: jwt.JwtProvider(
            issuer=provider.issuer,
            audiences=list(provider.audiences),
            local_jwks=core.DataSource(filename=provider.jwks_file),
            require_expiration=True,
            from_headers=[jwt.JwtHeader(name="authorization", value_prefix="Bearer ")],
            payload_in_metadata=plan.jwt_payload_key,
        )
        for provider in plan.jwt_providers
    }
    requirements = [jwt.JwtRequirement(provider_name=name) for name in providers]
    missing = jwt.JwtRequirement(allow_missing=protobuf.Empty())
    return jwt.JwtAuthentication(
        providers=providers,
        rules=[
            jwt.RequirementRule(
                match=route.RouteMatch(prefix="/"),
                requires=jwt.JwtRequirement(
                    requires_any=jwt.JwtRequirementOrList(requirements=[*requirements, missing])
                ),
            )
        ],
        stat_prefix="borderpost",
    )


def _grpc_service(
    plan: GatewayPlan, *, timeout: timedelta | None, retry_on: tuple[str, ...] = _ASK_AGAIN_ON
) -> core.GrpcService:  # fmt: skip
    return core.GrpcService(
        envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=SERVER_CLUSTER, skip_envoy_headers=True),
        timeout=timeout,
        retry_policy=core.RetryPolicy(
            # Envoy's default back-off would add 185 ms, most of the message timeout. Envoy 1.40 takes the maximum as
            # the bound on each attempt of a unary call, too (tried): anything less than the message timeout would
            # ask again, and have us decide again, what is only slow.
            retry_back_off=core.BackoffStrategy(
                base_interval=min(_RETRY_BASE, _bound(plan)),
                max_interval=_bound(plan),
            ),
            num_retries=2,
            retry_on=",".join(retry_on),
            retry_host_predicate=[
                core.RetryPolicyRetryHostPredicate(
                    name=PREVIOUS_HOSTS, typed_config=protobuf.Any.pack(previous_hosts.PreviousHostsPredicate())
                )
            ],
            host_selection_retry_max_attempts=HOST_SELECTIONS_MAX,
        ),
    )


def _bound(plan: GatewayPlan) -> timedelta:
    return timedelta(milliseconds=plan.message_timeout_ms)


def _mutation_rules() -> mutation.HeaderMutationRules:
    own = re.escape(HEADER_PREFIX).replace(r"\-", "-") + ".*"
    return mutation.HeaderMutationRules(
        disallow_all=True,
        allow_expression=match.RegexMatcher(regex="|".join((own, *ANSWER_HEADERS))),
        disallow_is_error=True,
    )


def _headers_read(plan: GatewayPlan) -> match.ListStringMatcher:
    ours = (CLIENT_HEADER,) if plan.via is Via.EXT_AUTHZ else ()
    return _exactly((*plan.headers_read, *ours))


def _exactly(headers: tuple[str, ...]) -> match.ListStringMatcher:
    names = dict.fromkeys(name.lower() for name in headers)
    return match.ListStringMatcher(patterns=[match.StringMatcher(exact=name) for name in names])


def _unavailable() -> envoy_type.HttpStatus:
    return envoy_type.HttpStatus(code=envoy_type.StatusCode.ServiceUnavailable)
