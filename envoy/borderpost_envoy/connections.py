"""The connection manager: what holds for every request before a filter sees it, and what is logged after."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.extensions.access_loggers.file import v3 as file_log
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import v3 as early
from envoy_data_plane.envoy.type.matcher import v3 as match
from envoy_data_plane.google import protobuf

from borderpost_base.names import (
    EXT_AUTHZ_FILTER,
    EXT_PROC_FILTER,
    HEADER_PREFIX,
)
from borderpost_envoy.plan import GatewayPlan, Via
from borderpost_envoy.routes import SERVED_REGION

MANAGER = "envoy.filters.network.http_connection_manager"
"""Name of the network filter in which all HTTP is."""
EARLY_MUTATION = "envoy.http.early_header_mutation.header_mutation"
"""Name of the extension that changes headers before any filter, and before the first route is chosen."""
_DECISION_TIMES = {
    Via.EXT_PROC: f"%FILTER_STATE({EXT_PROC_FILTER}:FIELD:request_header_latency_us)%",
    Via.EXT_AUTHZ: f"%FILTER_STATE({EXT_AUTHZ_FILTER}:FIELD:latency_us)%",
}
"""From the question to the answer as Envoy saw it, in microseconds."""
_BODY_DECISION_TIME = f"%FILTER_STATE({EXT_PROC_FILTER}:FIELD:request_body_total_latency_us)%"
"""From a body to its answer; of such a request the time above is that of the leave to send it."""
_STRIPPED = (HEADER_PREFIX, "x-envoy-")
"""Prefixes of headers taken from every client: ours would be a decision, Envoy's steer retries and timeouts."""


def connection_manager(plan: GatewayPlan) -> hcm.HttpConnectionManager:
    """Return the settings that keep clients from steering what is decided and where it goes; no filters, no routes."""
    return hcm.HttpConnectionManager(
        common_http_protocol_options=core.HttpProtocolOptions(
            headers_with_underscores_action=core.HttpProtocolOptionsHeadersWithUnderscoresAction.DROP_HEADER
        ),
        access_log=[_access_log(plan.access_log, plan)] if plan.access_log else [],
        use_remote_address=True,
        xff_num_trusted_hops=plan.trusted_hops,
        internal_address_config=hcm.HttpConnectionManagerInternalAddressConfig(
            # An empty list would mean Envoy's default, which is every private network and loopback.
            cidr_ranges=[core.CidrRange(address_prefix="255.255.255.255", prefix_len=32)]
        ),
        early_header_mutation_extensions=[_strip_prefixes()],
        forward_client_cert_details=hcm.HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=hcm.HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
    )


def _strip_prefixes() -> core.TypedExtensionConfig:
    return core.TypedExtensionConfig(
        name=EARLY_MUTATION,
        typed_config=protobuf.Any.pack(
            early.HeaderMutation(
                mutations=[
                    mutation.HeaderMutation(
                        remove_on_match=mutation.HeaderMutationRemoveOnMatch(
                            key_matcher=match.StringMatcher(prefix=prefix)
                        )
                    )
                    for prefix in _STRIPPED
                ]
            )
        ),
    )


def logged_fields(plan: GatewayPlan) -> dict[str, str]:
    """Return what is logged of a request. No address, no path, no header of the client: none may be personal data."""
    namespace = plan.via.metadata_namespace
    return {
        "time": "%START_TIME%",
        "request_id": "%STREAM_ID%",
        "route": "%ROUTE_NAME%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "decision": f"%DYNAMIC_METADATA({namespace}:decision)%",
        "region": f"%DYNAMIC_METADATA({namespace}:region)%",
        **({"served": SERVED_REGION if plan.endpoints_tell else "%UPSTREAM_HOST%"} if plan.failover else {}),
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "decision_us": _DECISION_TIMES[plan.via],
        **({"body_decision_us": _BODY_DECISION_TIME} if plan.bodies and plan.via is Via.EXT_PROC else {}),
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "duration_ms": "%DURATION%",
    }


def _access_log(path: str, plan: GatewayPlan) -> accesslog.AccessLog:
    """Return a JSON line a request."""
    return accesslog.AccessLog(
        name="envoy.access_loggers.file",
        typed_config=protobuf.Any.pack(
            file_log.FileAccessLog(
                path=path,
                log_format=core.SubstitutionFormatString(json_format=protobuf.Struct.from_dict(logged_fields(plan))),
            )
        ),
    )
