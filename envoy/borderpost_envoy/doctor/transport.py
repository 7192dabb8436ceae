"""How a cluster's connections are protected."""

from __future__ import annotations

from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Cluster

_TLS = ("UpstreamTlsContext", "QuicUpstreamTransport")
_AUTHORITIES = ("trusted_ca", "ca_certificate_provider_instance", "system_root_certs")
_PIN_FIELDS = ("verify_certificate_hash", "verify_certificate_spki")
_SAN_FIELDS = ("match_typed_subject_alt_names", "match_subject_alt_names")


def weakness(cluster: Cluster) -> str | None:
    """Return what is weak about the way to a cluster's endpoints, to follow a verb; None where nothing is."""
    sockets = [cluster.message.get("transport_socket")]
    sockets += [one.get("transport_socket") for one in cluster.message.each("transport_socket_matches")]
    told = [_of(one) for one in sockets if one.present]
    if not told:
        return "in clear"
    found = [weak for weak in told if weak is not None]
    if found and _verified_by_options(cluster):
        found = [weak for weak in found if weak != _ANY_NAME]
    return found[0] if found else None


_ANY_NAME = "over TLS that takes any name of the certificate"


def _of(socket: Message) -> str | None:
    kind, config = socket.typed("typed_config")
    while config.get("transport_socket").present:  # such as PROXY protocol around TLS
        kind, config = config.get("transport_socket").typed("typed_config")
    if not kind.endswith(_TLS):
        return "in clear"
    context = config.get("upstream_tls_context") if kind.endswith("QuicUpstreamTransport") else config
    common = context.get("common_tls_context")
    combined = common.get("combined_validation_context")
    parts = [common.get("validation_context"), combined.get("default_validation_context")]
    by_secret = common.get("validation_context_sds_secret_config").present
    by_secret = by_secret or combined.get("validation_context_sds_secret_config").present
    if any(part.get("custom_validator_config").present for part in parts):
        return None  # SPIFFE bundles, dynamic modules: another judge
    has_authority = by_secret or any(_has_authority(part) for part in parts)
    if not has_authority or any(part.text("trust_chain_verification") == "ACCEPT_UNTRUSTED" for part in parts):
        return "over TLS that verifies no certificate"
    if common.get("validation_context_sds_secret_config").present:
        return None  # the names stand in a secret that no dump shows
    pinned = any(any(True for _ in part.each(name)) for part in parts for name in _SAN_FIELDS)
    pinned = pinned or any(part.texts(name) for part in parts for name in _PIN_FIELDS)
    return None if pinned or context.flag("auto_sni_san_validation") else _ANY_NAME


def _has_authority(context: Message) -> bool:
    return any(context.get(name).present for name in _AUTHORITIES)


def _verified_by_options(cluster: Cluster) -> bool:
    """Return True where the HTTP options have Envoy check the certificate against the host that is asked for."""
    return cluster.http_options.get("upstream_http_protocol_options").flag("auto_san_validation")
