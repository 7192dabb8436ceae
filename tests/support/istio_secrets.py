"""What Istio's agent is to an Envoy in its pod: the server of the secrets that clusters and listeners name.

istiod sends no certificate and no path of one, but the name of a secret, `file-root:CA` or `file-cert:CHAIN~KEY`, and
has Envoy ask its own pod for it. Here that is this server, over a Unix socket.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"
CLUSTER = "sds-grpc"
"""The cluster that istiod has Envoy ask."""

with warnings.catch_warnings():
    # envoy-data-plane declares its models in a way that pydantic has since deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
    from envoy_data_plane.envoy.service.discovery import v3 as discovery
    from envoy_data_plane.google import protobuf


class SecretServer:
    """The server, used as a context."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "sds.sock"
        self.asked: set[str] = set()
        """Names of the secrets that were asked for."""
        self._server = grpc.server(ThreadPoolExecutor(64))
        method = grpc.stream_stream_rpc_method_handler(self._secrets, discovery.DiscoveryRequest.parse, bytes)
        handler = grpc.method_handlers_generic_handler(SERVICE, {"StreamSecrets": method})
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(f"unix:{self.socket}")

    def __enter__(self) -> SecretServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    @property
    def cluster(self) -> dict[str, Any]:
        """The cluster that leads here, for Envoy's bootstrap."""
        options = {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        endpoint = {"endpoint": {"address": {"pipe": {"path": str(self.socket)}}}}
        return {
            "name": CLUSTER,
            "type": "STATIC",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        }

    def _secrets(self, requests: Iterator[Any], _context: Any) -> Iterator[Any]:
        """Answer the first request of a stream; what follows are acknowledgements."""
        for request in requests:
            if request.version_info:
                assert not request.error_detail, request.error_detail
                continue
            self.asked.update(request.resource_names)
            yield discovery.DiscoveryResponse(
                version_info="1",
                nonce="1",
                type_url=request.type_url,
                resources=[protobuf.Any.pack(_secret(name)) for name in request.resource_names],
            )


def _secret(name: str) -> tls.Secret:
    kind, _, paths = name.partition(":")
    if kind == "file-root":
        trusted = core.DataSource(filename=paths)
        return tls.Secret(name=name, validation_context=tls.CertificateValidationContext(trusted_ca=trusted))
    chain, _, key = paths.partition("~")
    pair = tls.TlsCertificate(
        certificate_chain=core.DataSource(filename=chain), private_key=core.DataSource(filename=key)
    )
    return tls.Secret(name=name, tls_certificate=pair)
