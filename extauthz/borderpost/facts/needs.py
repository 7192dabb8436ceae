"""What Envoy has to send, and no more: the renderer asks for exactly these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from borderpost.policy.schema import EvidenceSpec, TenantSpec

IDENTITY_HEADERS: Final = ("x-request-id", "traceparent", "content-digest")
"""Headers that join a record to other logs, and to the body that the client says it sent."""
SOURCE_ATTRIBUTE: Final = "source.address"
"""The trusted client address, after Envoy's XFF or PROXY protocol handling."""
ROUTE_ATTRIBUTE: Final = "xds.route_name"
CLUSTER_ATTRIBUTE: Final = "xds.cluster_name"
"""Where a route leads without us. Only asked for on observed routes: on ours there is none before the answer."""
MTLS_ATTRIBUTE: Final = "connection.mtls"
"""True where Envoy has verified a client certificate; without it the SANs say nothing."""
SAN_ATTRIBUTES: Final = ("connection.uri_san_peer_certificate", "connection.dns_san_peer_certificate")
"""The first URI SAN and the first DNS SAN of the client certificate."""


def law_headers(evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec] | None = None) -> frozenset[str]:
    """Return the names of the headers that may change the law.

    The tenant's only where there are tenants to name (without `tenants` it is taken that there are some), the
    purpose's only where it is trusted: nobody else's word on the purpose counts.
    """
    names = {evidence.headers.data_class, evidence.headers.model}
    if tenants is None or tenants:
        names.add(evidence.headers.tenant)
    if evidence.header is not None:
        names.add(evidence.header.name)
    if evidence.trust_purpose_header:
        names.add(evidence.headers.purpose)
    return frozenset(names)


def needed_headers(evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec] | None = None) -> tuple[str, ...]:
    """Return the names of all headers that are read, sorted, for Envoy's `forward_rules` or `allowed_headers`."""
    return tuple(sorted({*law_headers(evidence, tenants), *IDENTITY_HEADERS}))


def needed_attributes(evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec] | None = None) -> tuple[str, ...]:
    """Return the ext_proc `request_attributes` that are read; certificates only where one can prove something."""
    names = [SOURCE_ATTRIBUTE, ROUTE_ATTRIBUTE]
    if evidence.mtls is not None or any(tenant.san for tenant in (tenants or {}).values()):
        names += [MTLS_ATTRIBUTE, *SAN_ATTRIBUTES]
    return tuple(names)
