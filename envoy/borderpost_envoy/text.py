"""YAML with reasons: plain data as block YAML, a comment before each setting that has one in `REASONS`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

REASONS: Mapping[tuple[str, ...], str] = {
    ("early_header_mutation_extensions",): "Runs before every filter: no client brings a decision, or steers retries.",
    ("use_remote_address",): "The client's address is taken from the connection and the trusted hops alone.",
    ("xff_num_trusted_hops",): "Entries of x-forwarded-for, from the right, that your own proxies wrote.",
    (
        "internal_address_config",
    ): "Nobody is internal: an address that no client has, since empty means all private ones.",
    ("headers_with_underscores_action",): "x_borderpost_cluster is dropped: some upstreams read _ as -.",
    ("path_with_escaped_slashes_action",): "One path has one spelling, so a route's floor cannot be stepped around.",
    ("payload_in_metadata",): "Verified claims travel as metadata, which no client can write.",
    ("failure_mode_allow",): "No answer, no route.",
    ("failure_mode_allow=true",): "Only observed: whatever is wrong with Borderpost must not reach a request.",
    ("observability_mode",): "Envoy tells us of the request and waits for nothing: it goes its own way.",
    ("typed_per_filter_config", "borderpost.observe"): "Only observed: no law is kept on this route.",
    ("status_on_error",): "What the caller sees when Borderpost cannot answer.",
    ("message_timeout",): "The bound that counts: ext_proc ignores a timeout on grpc_service.",
    ("mutation_rules",): "Our answers may set these headers and no others; anything else is an error.",
    ("decoder_header_mutation_rules",): "Our answers may set these headers and no others; anything else is an error.",
    ("request_mutations",): "The trusted client address: over ext_authz, source.address is the TCP peer.",
    ("forward_rules",): "Only what the evidence needs leaves Envoy.",
    ("typed_config", "allowed_headers"): "Only what the evidence needs leaves Envoy.",
    ("receiving_namespaces",): "The one metadata namespace our answers may fill.",
    ("response_header_mode",): "One question a request; the stream ends with the answer.",
    ("request_body_mode",): "Envoy holds the request until its whole body is here and we have decided by it.",
    ("with_request_body",): "Envoy holds the request until its whole body is here and we have decided by it.",
    ("max_request_bytes",): "A longer body is 413, as it is for us: nobody decides by a part.",
    ("typed_per_filter_config", "borderpost.body"): "Bodies of this route are not read: they pass as they come.",
    ("failure_mode_deny",): "Written out: Envoy's default is to admit everybody.",
    ("rate_limits",): "What the rate-limit service is asked, and told at a request's end.",
    ("per_connection_buffer_limit_bytes",): "A longer JSON response cannot be read for what it used, and is a 500.",
    ("apply_on_stream_done",): "Of refused requests too, so what is told has to be true of them as well.",
    ("typed_per_filter_config", "borderpost.usage.json"): "Responses of this route are read for what was used.",
    ("clear_route_cache",): "The route is chosen again, with the decision.",
    ("route_cache_action",): "The route is chosen again, with the decision.",
    ("grpc_service", "retry_policy"): "Only where no answer can have been given; the bound above still holds.",
    ("cluster_specifier_plugins",): "The allow-list: what is not named here, or is named twice, is 503.",
    ("cluster_header",): "Names any cluster of this Envoy; a missing or unknown one is 503.",
    ("request_headers_to_remove",): "The decision is between Envoy and us.",
    ("route", "retry_policy"): "The same cluster, so the same region; only what no upstream has begun to process.",
    (
        "retry_policy",
        "retry_priority",
    ): "On to the next region: the answer names this cluster only where each is legal.",
    ("cluster_type",): "A failover group: its regions' clusters in order, tried one after the other.",
    ("max_retries",): "Envoy's default lets three requests at a time be retried.",
    ("circuit_breakers",): "Envoy's default of 1024 open requests would refuse bursts.",
}
"""Comment before a key, by the last parts of its path; the last part may be `key=value`."""

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*\Z")
_NOT_STRINGS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_LENGTH_MAX = 3
"""Parts of a path by which a comment is found at most."""
_WORD_CHARACTERS_MAX = 64
"""Longest value that a comment can be about."""

Reasons = Mapping[tuple[str, ...], str]


def yaml_text(data: Mapping[str, Any], *, header: str, reasons: Reasons = REASONS) -> str:
    """Return the data as YAML in its own order, `header` as comment lines on top, each of the `reasons` at its key."""
    lines = [*(f"# {line}".rstrip() for line in header.splitlines()), *_mapping(data, (), reasons)]
    return "\n".join(lines) + "\n"


def _mapping(data: Mapping[str, Any], path: tuple[str, ...], reasons: Reasons) -> Iterator[str]:
    for key, value in data.items():
        here = (*path, key)
        word = _reason((*path, f"{key}={_scalar(value)}"), reasons) if _is_word(value) else None
        reason = word or _reason(here, reasons)
        if reason is not None:
            yield f"# {reason}"
        if isinstance(value, Mapping) and value:
            yield f"{_scalar(key)}:"
            yield from (f"  {line}" for line in _mapping(value, here, reasons))
        elif isinstance(value, list) and value:
            yield f"{_scalar(key)}:"
            yield from _sequence(value, here, reasons)
        else:
            yield f"{_scalar(key)}: {_scalar(value)}"


def _sequence(items: list[Any], path: tuple[str, ...], reasons: Reasons) -> Iterator[str]:
    for item in items:
        lines = list(_mapping(item, path, reasons)) if isinstance(item, Mapping) and item else [_scalar(item)]
        # A comment goes above the dash, so that `- ` is followed by the first key.
        while lines[0].startswith("# "):
            yield lines.pop(0)
        yield f"- {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])


def _reason(path: tuple[str, ...], reasons: Reasons) -> str | None:
    for length in range(1, min(len(path), _LENGTH_MAX) + 1):
        if path[-length:] in reasons:
            return reasons[path[-length:]]
    return None


def _is_word(value: Any) -> bool:
    return value is True or (isinstance(value, str) and len(value) < _WORD_CHARACTERS_MAX)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _NOT_STRINGS:
        return value
    return json.dumps(value, ensure_ascii=False)
