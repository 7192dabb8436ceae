"""The load generators: wrk against Envoy, h2load against the server itself. Each run is bounded in time.

Both keep a fixed number of requests in flight and send the next one when one is answered (a closed loop): the
latencies are those of a saturated system, and a server that stalls is asked less while it stalls.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from borderpost_base.errors import BorderpostError
from borderpost_base.names import CLIENT_HEADER
from borderpost_bench.constant import CHECK, PROCESS
from borderpost_bench.traffic import CHAT, MODEL, PATH, Request
from borderpost_envoy import Via
from borderpost_proto import ext_authz_pb2, ext_proc_pb2

_GRACE_S = 30.0
"""How much longer than asked for a load generator may take before it is ended."""
_ADDRESS_KEY, _ADDRESS, _ROUTE = "envoy.filters.http.ext_proc", "source.address", "xds.route_name"
_RESULT = "borderpost-bench "


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator saw."""

    answered: int
    """Requests that got an answer."""
    refused: int
    """Those of them with an HTTP status of 400 and more."""
    failed: int
    """Requests without an answer: no connection, reset, timeout."""
    seconds: float
    p50_ms: float
    p99_ms: float
    p90_ms: float
    p999_ms: float
    """99.9 %."""
    by_cluster: Mapping[str, int] | None = None
    """Answers by the cluster that they name; None where the generator does not read them."""
    offered_s: float | None = None
    """Requests a second that were due; None for a closed loop."""
    late_p50_ms: float | None = None
    late_p99_ms: float | None = None
    """How late the generator was itself, between when a request was due and when it was sent."""

    @property
    def requests_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


def need(tool: str) -> str:
    """Return the path of a load generator. Raises BorderpostError BP0920."""
    path = shutil.which(tool)
    if path is None:
        raise BorderpostError("BP0920", f"`{tool}` is not installed")
    return path


def wrk_script(requests: Sequence[Request], body: str = CHAT) -> str:
    """Return the Lua script: requests made once, sent in turn, and a result that we can read."""
    rows = ",\n".join(
        "  {" + ", ".join(f"[{_lua(name)}]={_lua(value)}" for name, value in request.headers.items()) + "}"
        for request in requests
    )
    return f"""\
local clients = {{
{rows}
}}
local made, at = {{}}, 0
function init(args)
  wrk.headers["content-type"] = "application/json"
  for i, headers in ipairs(clients) do
    for name, value in pairs(wrk.headers) do headers[name] = headers[name] or value end
    made[i] = wrk.format("POST", {_lua(PATH)}, headers, {_lua(body)})
  end
end
function request()
  at = at % #made + 1
  return made[at]
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{_RESULT}{{"answered":%d,"duration_us":%d,"refused":%d,"failed":%d,"p50_us":%d,"p90_us":%d,'
    .. '"p99_us":%d,"p99_9_us":%d}}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
end
"""


def run_wrk(port: int, script: Path, *, seconds: float, connections: int) -> Load:
    """Drive Envoy on loopback. Raises BorderpostError BP0920 or BP0921."""
    output = run_tool([
        need("wrk"), "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
        "--script", str(script), f"http://127.0.0.1:{port}",
    ], seconds)  # fmt: skip
    return parse_wrk(output)


def parse_wrk(output: str) -> Load:
    """Read what our script printed at wrk's end. Raises BorderpostError BP0921."""
    line = next((line for line in output.splitlines() if line.startswith(_RESULT)), None)
    if line is None:
        raise BorderpostError("BP0921", f"wrk gave no result:\n{output[-1000:]}")
    told = json.loads(line.removeprefix(_RESULT))
    return Load(
        told["answered"], told["refused"], told["failed"], told["duration_us"] / 1e6,
        told["p50_us"] / 1000, told["p99_us"] / 1000, told["p90_us"] / 1000, told["p99_9_us"] / 1000,
    )  # fmt: skip


def question(
    request: Request, via: Via, digits: str = "5d6c7e8f9a0b", port: int = 0, *, raw_headers: bool = True
) -> bytes:
    """Return the message that the rendered Envoy sends for a traced request, by one of the two doors.

    `digits`, 12 characters, tells one request from another: they stand in request id, trace and span. The port is 0
    where Envoy has the address from a trusted hop. An ext_proc message is of the size that a recorded one has, with
    the empty messages that Envoy adds; only the order of its attributes may differ. `raw_headers` is the option of
    Envoy's ext_authz filter that our rendered one sets.
    """
    headers = {
        **request.headers,
        "x-model": request.headers.get("x-model", MODEL),
        "traceparent": f"00-0af7651916cd43dd8448{digits}-b7ad{digits}-01",
        "x-request-id": f"3f2b6c1e-8a4d-4f7e-9b0a-{digits}",
    }
    headers.pop("x-forwarded-for")
    if via is Via.EXT_PROC:
        asked = ext_proc_pb2.ProcessingRequest()
        for name, value in headers.items():
            asked.request_headers.headers.headers.add(key=name, raw_value=value.encode())
        asked.metadata_context.SetInParent()
        host = f"[{request.address}]" if ":" in request.address else request.address
        asked.attributes[_ADDRESS_KEY].update({_ADDRESS: f"{host}:{port}", _ROUTE: "inference"})
        asked.protocol_config.SetInParent()
        return asked.SerializeToString()
    check = ext_authz_pb2.CheckRequest()
    for name, value in {**headers, CLIENT_HEADER: request.address}.items():
        if raw_headers:
            check.attributes.request.http.header_map.headers.add(key=name, raw_value=value.encode())
        else:
            check.attributes.request.http.headers[name] = value
    return check.SerializeToString()


def grpc_frame(message: bytes) -> bytes:
    """Return a message with gRPC's length before it, uncompressed."""
    return struct.pack(">BI", 0, len(message)) + message


def run_h2load(
    port: int,
    message: Path,
    log: Path,
    *,
    via: Via,
    seconds: float,
    in_flight: int,
    connections: int = 1,
    prefix: Sequence[str] = (),
) -> Load:
    """Drive a gRPC server on loopback with one message (a file with its frame). Raises BP0920 or BP0921.

    Every request carries the same message, its request id included, and ends its stream by a half-close, where
    Envoy resets it: streams.py asks as Envoy does.
    """
    log.unlink(missing_ok=True)
    output = run_tool([
        *prefix, need("h2load"), "--threads", "1", "--clients", str(connections),
        "--max-concurrent-streams", str(max(1, in_flight // connections)), "--duration", f"{max(1, round(seconds))}s",
        "--data", str(message), "--header", "content-type: application/grpc", "--header", "te: trailers",
        "--log-file", str(log), f"http://127.0.0.1:{port}{PROCESS if via is Via.EXT_PROC else CHECK}",
    ], seconds)  # fmt: skip
    return parse_h2load(output, log.read_text())


def parse_h2load(output: str, log: str) -> Load:
    """Read h2load's summary and its log of requests (start µs, status, duration µs). Raises BP0921.

    A gRPC error has HTTP status 200: that every answer stands for a decision is seen by the audit log.
    """
    found = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    finished = re.search(r"finished in ([\d.]+)(us|ms|s)\b", output)
    if found is None or finished is None:
        raise BorderpostError("BP0921", f"h2load gave no result:\n{output[-1000:]}")
    _total, succeeded, failed, _errored, _timeout = map(int, found.groups())
    took_us = sorted(int(row[2]) for row in map(str.split, log.splitlines()) if row[1] == "200")
    seconds = float(finished[1]) / {"us": 1e6, "ms": 1e3, "s": 1.0}[finished[2]]
    p50, p90, p99, p999 = (percentile(took_us, percent) / 1000 for percent in (50, 90, 99, 99.9))
    return Load(succeeded, 0, failed, seconds, p50, p99, p90, p999)


def percentile(values: Sequence[int], percent: float) -> float:
    """Return the nearest-rank percentile of sorted values, 0 of none."""
    if not values:
        return 0.0
    return float(values[max(0, math.ceil(len(values) * percent / 100) - 1)])


def run_tool(command: list[str], seconds: float) -> str:
    """Run a load generator for a time; return what it prints. Raises BorderpostError BP0921."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BorderpostError("BP0921", f"{Path(command[0]).name} did not end in time") from error
    if done.returncode != 0:
        raise BorderpostError("BP0921", f"{Path(command[0]).name}: {(done.stderr or done.stdout)[-1000:]}")
    return done.stdout


def _lua(text: str) -> str:
    """Return a Lua string: JSON's escapes that occur in ASCII text without control characters are Lua's."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("only printable ASCII goes into a script")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
