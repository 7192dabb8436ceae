"""What our messages make of Envoy's bytes, as plain values, and whether that is what was expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc

GOLDEN = Path(__file__).parent.parent / "unit" / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())


def read(name: str, message: bytes) -> dict[str, Any]:
    """Return the values of a recorded message in the shape of `expected.json`; bytes as Latin-1."""
    if name.startswith("ext_proc"):
        return _processing(proc.ProcessingRequest.FromString(message))
    return _check(authz.CheckRequest.FromString(message).attributes)


def fits(expected: Any, found: Any) -> bool:
    """Compare: null stands for any value but an empty one, a text that ends in `*` for its beginning."""
    if expected is None:
        return bool(found)
    if isinstance(expected, str) and expected.endswith("*"):
        return isinstance(found, str) and found.startswith(expected[:-1])
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(fits(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(fits(*pair) for pair in zip(expected, found, strict=True))
        )
    return type(expected) is type(found) and bool(expected == found)


def _processing(request: proc.ProcessingRequest) -> dict[str, Any]:
    phase = request.WhichOneof("request")
    found: dict[str, Any] = {
        "phase": phase,
        "attributes": {key: _plain(value) for key, value in request.attributes.items()},
        "metadata": _metadata(request.metadata_context),
        "protocol": {},
    }
    if request.HasField("protocol_config"):
        mode = common.ProcessingMode.BodySendMode.Name
        config = request.protocol_config
        found["protocol"] = {
            "request_body_mode": mode(config.request_body_mode),
            "response_body_mode": mode(config.response_body_mode),
        }
    if phase == "request_body":
        found["body"] = request.request_body.body.decode("latin-1")
        found["end_of_stream"] = request.request_body.end_of_stream
    elif phase in ("request_headers", "response_headers"):
        headers = request.request_headers if phase == "request_headers" else request.response_headers
        found["headers"] = _headers(headers.headers)
        found["end_of_stream"] = headers.end_of_stream
    return found


def _check(attributes: authz.AttributeContext) -> dict[str, Any]:
    http = attributes.request.http
    return {
        "source": attributes.source.address.socket_address.address,
        "source_principal": attributes.source.principal,
        "source_certificate": attributes.source.certificate,
        "destination": attributes.destination.address.socket_address.address,
        "destination_principal": attributes.destination.principal,
        "time_seconds": attributes.request.time.seconds,
        "id": http.id,
        "method": http.method,
        "path": http.path,
        "host": http.host,
        "scheme": http.scheme,
        "protocol": http.protocol,
        "headers": dict(http.headers),
        "header_map": _headers(http.header_map),
        "metadata": _metadata(attributes.metadata_context),
        "route_metadata": _metadata(attributes.route_metadata_context),
        "sni": attributes.tls_session.sni,
        "context_extensions": dict(attributes.context_extensions),
    }


def _headers(headers: common.HeaderMap) -> list[list[str]]:
    """Return names and raw values; a value in the other field would go unnoticed, so it is an error."""
    assert not any(header.value for header in headers.headers)
    return [[header.key, header.raw_value.decode("latin-1")] for header in headers.headers]


def _metadata(metadata: common.Metadata) -> dict[str, Any]:
    assert not metadata.typed_filter_metadata
    return {key: _plain(value) for key, value in metadata.filter_metadata.items()}


def _plain(message: Any) -> Any:
    return json_format.MessageToDict(message)
