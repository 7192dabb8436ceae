"""Observed routes in tests: what Envoy tells of a request, and the calls by which it does."""

from __future__ import annotations

from typing import Any, cast

from borderpost.audit.record import parse
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from support.audit import lines_of
from support.worker_parts import BRITISH, PROCESS, FakeCall, WorkerParts, until

OBSERVING: dict[str, Any] = {
    "routes": {"chat": {}, "rest": {}},
    "observe": {"routes": {"chat": {}}, "clusters": {"pool-us": "us-1", "pool-de": "eu-1"}},
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class ObservedCall(FakeCall):
    """A call that may be ended cleanly once it has its answer."""

    finished = False

    def finish(self) -> None:
        assert self.replies, "a clean end before an answer"
        self.finished = True


def told(
    *, route: str | None = "chat", cluster: str | None = None, observing: bool = True, address: str = BRITISH,
    request_id: str = "r-1", **headers: str,
) -> bytes:  # fmt: skip
    """Return what Envoy tells of a request by ext_proc."""
    request = proc.ProcessingRequest(observability_mode=observing)
    fields = request.attributes["envoy.filters.http.ext_proc"].fields
    fields["source.address"].string_value = f"{address}:4711"
    if route is not None:
        fields["xds.route_name"].string_value = route
    if cluster is not None:
        fields["xds.cluster_name"].string_value = cluster
    for name, value in {"x-request-id": request_id, "traceparent": TRACE, **headers}.items():
        header = request.request_headers.headers.headers.add()
        header.key, header.raw_value = name.replace("_", "-"), value.encode()
    request.request_headers.end_of_stream = True
    return request.SerializeToString()


def decisions(parts: WorkerParts) -> list[dict[str, Any]]:
    return [record for record in map(parse, lines_of(parts.audit)) if record["type"] == "decision"]


def put(parts: WorkerParts, *messages: bytes, method: str = PROCESS) -> list[ObservedCall]:
    """Put messages in one batch and return their calls, without waiting for anything."""
    calls = [ObservedCall(method) for _ in messages]
    parts.processor.messages(list(zip(calls, messages, strict=True)))
    return calls


def checked(*, route: str = "chat", observing: object = True, address: str = BRITISH) -> bytes:
    """Return the same as Envoy asks by ext_authz."""
    request = authz.CheckRequest()
    own = request.attributes.route_metadata_context.filter_metadata["borderpost"]
    own.update({"route": route})
    if observing is not False:
        own.update({"observe": cast("Any", observing)})
    header = request.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-borderpost-client", address.encode()
    return request.SerializeToString()


async def durable(parts: WorkerParts, count: int) -> list[dict[str, Any]]:
    """Wait until so many decisions are on the disk."""
    await until(lambda: len(decisions(parts)) >= count)
    return decisions(parts)
