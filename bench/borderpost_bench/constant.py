"""The constant answer: a service on the product's engine that gives every question the same route.

    python -m borderpost_bench.constant --cluster NAME (--unix PATH | --port N) [--engine NAME]

No decision, no log, no parsing: what it costs is the engine's cost, and what Envoy loses by asking anybody at all.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from borderpost_base.names import CLUSTER_HEADER
from borderpost_proto import common_pb2, ext_authz_pb2, ext_proc_pb2
from borderpost_wire.engines import make_engine
from borderpost_wire.options import ServerOptions, TcpListen, UnixListen
from borderpost_wire.service import Call, MethodKind

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CHECK = "/envoy.service.auth.v3.Authorization/Check"


class ConstantService:
    """Answers both doors with one prepared message each."""

    def __init__(self, cluster: str) -> None:
        self._answers = {PROCESS: _processing(cluster), CHECK: _check(cluster)}

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the two doors."""
        return {PROCESS: MethodKind.STREAM, CHECK: MethodKind.UNARY}

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Answer at once."""
        for call, _message in batch:
            call.reply(self._answers[call.method])

    def gone(self, call: Call) -> None:
        """Nothing to do: a call leaves nothing behind."""


def _processing(cluster: str) -> bytes:
    response = ext_proc_pb2.ProcessingResponse()
    common = response.request_headers.response
    option = common.header_mutation.set_headers.add()
    option.header.key = CLUSTER_HEADER
    option.header.raw_value = cluster.encode()
    option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    common.clear_route_cache = True
    return response.SerializeToString()


def _check(cluster: str) -> bytes:
    response = ext_authz_pb2.CheckResponse()
    option = response.ok_response.headers.add()
    option.header.key = CLUSTER_HEADER
    option.header.value = cluster
    option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return response.SerializeToString()


async def serve(listen: UnixListen | TcpListen, engine_name: str, cluster: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = make_engine(engine_name, ServerOptions(listen=(listen,)), [ConstantService(cluster)])
    await engine.start()
    try:
        await stop.wait()
    finally:
        await engine.stop()


def main() -> int:
    """Run it by its arguments."""
    parser = argparse.ArgumentParser(prog="python -m borderpost_bench.constant", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--unix", type=Path, metavar="PATH")
    where.add_argument("--port", type=int)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--cluster", required=True)
    arguments = parser.parse_args()
    listen = UnixListen(arguments.unix) if arguments.unix is not None else TcpListen("127.0.0.1", arguments.port)
    uvloop.run(serve(listen, arguments.engine, arguments.cluster))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
