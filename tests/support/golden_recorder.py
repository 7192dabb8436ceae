"""What the real Envoy 1.40 sends to external processing and authorization, byte for byte.

`PYTHONPATH=tests python -m support.golden_recorder` records anew into `tests/unit/golden/`. The expectations
beside the recordings (`expected.json`) were written by hand from what is sent below: they hold for every
recording, and tests compare them with the stored bytes and, on the real Envoy, with a fresh recording.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from borderpost.demo.envoy_process import EnvoyProcess
from borderpost_proto import ext_proc_pb2
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import Call, MethodKind
from support.wire_certificates import Authority
from support.wire_server import serving

GOLDEN = Path(__file__).parent.parent / "unit" / "golden"
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
TYPE = "type.googleapis.com/envoy.extensions."
CLIENT_SAN = "spiffe://example/residency/DE"
CLAIMS = {"iss": "https://issuer.example", "residency": "DE", "tenant": "acme", "levels": [1, 2], "human": True}
SIGNING_SECRET = b"recording only, known to everybody"
BODY = b'{"model": "m-1"}'
ATTRIBUTES = (
    "connection.dns_san_peer_certificate",
    "connection.mtls",
    "connection.requested_server_name",
    "connection.subject_peer_certificate",
    "connection.tls_version",
    "connection.uri_san_peer_certificate",
    "destination.address",
    "request.host",
    "request.id",
    "request.method",
    "request.path",
    "request.time",
    "source.address",
    "source.port",
    "xds.cluster_name",
    "xds.route_metadata",
    "xds.route_name",
)


class Recording:
    """A service that keeps every message and answers so that Envoy goes on to the next phase."""

    methods: Mapping[str, MethodKind] = {PROCESS: MethodKind.STREAM, CHECK: MethodKind.UNARY}

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Keep and answer."""
        for call, message in batch:
            self.seen.append(message)
            call.reply(_go_on(message) if call.method == PROCESS else b"")

    def gone(self, call: Call) -> None:
        """Take no notice: Envoy resets each stream when it has what it needs."""


def record() -> dict[str, bytes]:
    """Run Envoy and return its messages by the name under which they are stored."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = Recording()
        authority = Authority(directory)
        server, client = authority.issue("ai.example"), authority.issue(CLIENT_SAN, "client.example")
        path = directory / "run" / "s.sock"
        with (
            serving(ServerOptions(listen=(UnixListen(path),)), service),
            EnvoyProcess(bootstrap(path, authority, server), directory, name="recorded") as envoy,
        ):
            ports = _ports(envoy)
            context = ssl.create_default_context(cafile=str(authority.certificate))
            context.load_cert_chain(*map(str, client))
            found: dict[str, bytes] = {}
            for listener in ("ext_proc", "ext_proc_phases", "ext_authz", "ext_authz_raw"):
                service.seen.clear()
                _exchange(ports[listener], context, _request())
                names = PHASES if listener == "ext_proc_phases" else (listener,)
                found.update(zip(names, service.seen, strict=True))
            return found


PHASES = ("ext_proc_phase_request_headers", "ext_proc_phase_request_body", "ext_proc_phase_response_headers")


def bootstrap(path: Path, authority: Authority, server: tuple[Path, Path]) -> dict[str, Any]:
    """Return an Envoy with one mTLS listener for each way of asking."""
    return {
        "admin": {"address": _address()},
        "static_resources": {
            "listeners": [
                _listener("ext_proc", _ext_proc({"response_header_mode": "SKIP"}), authority, server),
                _listener(
                    "ext_proc_phases",
                    _ext_proc({"response_header_mode": "SEND", "request_body_mode": "BUFFERED"}),
                    authority,
                    server,
                ),
                _listener("ext_authz", _ext_authz({}), authority, server),
                _listener("ext_authz_raw", _ext_authz({"encode_raw_headers": True}), authority, server),
            ],
            "clusters": [_cluster(path)],
        },
    }


def _listener(name: str, asking: Mapping[str, Any], authority: Authority, server: tuple[Path, Path]) -> dict[str, Any]:
    route = {
        "name": "chat",
        "match": {"prefix": "/"},
        "metadata": {"filter_metadata": {"borderpost": {"tenant": "acme"}}},
        "direct_response": {"status": 200, "body": {"inline_string": "served"}},
    }
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "xff_num_trusted_hops": 1,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            _filter("envoy.filters.http.jwt_authn", "filters.http.jwt_authn.v3.JwtAuthentication", **_jwt()),
            asking,
            _filter("envoy.filters.http.router", "filters.http.router.v3.Router"),
        ],
    }
    return {
        "name": name,
        "address": _address(),
        "filter_chains": [
            {
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
                "transport_socket": _filter(
                    "envoy.transport_sockets.tls",
                    "transport_sockets.tls.v3.DownstreamTlsContext",
                    require_client_certificate=True,
                    common_tls_context={
                        "tls_certificates": [
                            {
                                "certificate_chain": {"filename": str(server[0])},
                                "private_key": {"filename": str(server[1])},
                            }
                        ],
                        "validation_context": {"trusted_ca": {"filename": str(authority.certificate)}},
                    },
                ),
            }
        ],
        "listener_filters": [
            _filter("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
        ],
    }


def _ext_proc(mode: Mapping[str, str]) -> dict[str, Any]:
    return _filter(
        "recorded.ext_proc",
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service=_GRPC,
        message_timeout="5s",
        processing_mode={"request_header_mode": "SEND", **mode},
        request_attributes=list(ATTRIBUTES),
        metadata_options={"forwarding_namespaces": {"untyped": ["envoy.filters.http.jwt_authn"]}},
    )


def _ext_authz(extra: Mapping[str, Any]) -> dict[str, Any]:
    return _filter(
        "recorded.ext_authz",
        "filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service={**_GRPC, "timeout": "5s"},
        include_peer_certificate=True,
        include_tls_session=True,
        metadata_context_namespaces=["envoy.filters.http.jwt_authn"],
        route_metadata_context_namespaces=["borderpost"],
        **extra,
    )


_GRPC = {"envoy_grpc": {"cluster_name": "asked", "skip_envoy_headers": True}}


def _jwt() -> dict[str, Any]:
    key = {"kty": "oct", "alg": "HS256", "kid": "1", "k": _base64url(SIGNING_SECRET)}
    provider = {
        "issuer": CLAIMS["iss"],
        "local_jwks": {"inline_string": json.dumps({"keys": [key]})},
        "payload_in_metadata": "payload",
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}]
    return {"providers": {"issuer": provider}, "rules": rules}


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": TYPE + kind, **config}}


def _cluster(path: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    protocol = {
        "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": "asked",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {"cluster_name": "asked", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address() -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


def _ports(envoy: EnvoyProcess) -> dict[str, int]:
    statuses = json.loads(envoy.admin("/listeners?format=json"))["listener_statuses"]
    return {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in statuses}


def _request() -> bytes:
    """Return a request with what makes headers hard: case, duplicates, bytes beyond ASCII and UTF-8, no value."""
    head = [
        b"POST /v1/chat/completions?trace=1 HTTP/1.1",
        b"Host: ai.example",
        b"X-Forwarded-For: 203.0.113.1, 2001:db8::7",
        b"Authorization: Bearer " + _token().encode(),
        b"X-Data-Residency: DE",
        b"X-Twice: one",
        b"x-TWICE: two",
        "X-Utf8: café".encode(),
        "X-Latin1: café".encode("latin-1"),
        b"X-Empty:",
        b"Content-Length: %d" % len(BODY),
        b"Connection: close",
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + BODY


def _token() -> str:
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "1"}, CLAIMS))
    return f"{signed}.{_base64url(hmac.digest(SIGNING_SECRET, signed.encode(), hashlib.sha256))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _exchange(port: int, context: ssl.SSLContext, request: bytes) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="ai.example") as connection,
    ):
        connection.sendall(request)
        response = b""
        while piece := connection.recv(65536):
            response += piece
    if not response.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"Envoy answered {response[:300]!r}")


def _go_on(message: bytes) -> bytes:
    """Return the answer that changes nothing in the phase that is asked about."""
    phase = ext_proc_pb2.ProcessingRequest.FromString(message).WhichOneof("request")
    if phase is None:
        raise ValueError("a request of an unknown phase")
    answer = ext_proc_pb2.ProcessingResponse()
    getattr(answer, phase).SetInParent()
    return answer.SerializeToString()


def main() -> int:
    """Record anew."""
    for name, message in record().items():
        (GOLDEN / f"{name}.bin").write_bytes(message)
        print(f"{name}: {len(message)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
