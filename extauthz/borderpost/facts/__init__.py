"""A request becomes Facts: what Envoy sends is bounded, validated and reduced to what the law asks about."""

from __future__ import annotations

from borderpost.facts.extract import Extracted, Extractor, Rejected
from borderpost.facts.needs import needed_attributes, needed_headers
from borderpost.facts.request import Claims, Identity, RawRequest, Stated, client_host, read_claims, read_identity

__all__ = [
    "Claims",
    "Extracted",
    "Extractor",
    "Identity",
    "RawRequest",
    "Rejected",
    "Stated",
    "client_host",
    "needed_attributes",
    "needed_headers",
    "read_claims",
    "read_identity",
]
