"""The real envoyproxy/ratelimit, built by Go, with a redis-server of its own, and its clock where a request puts it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from borderpost.demo.children import ChildProcess, free_port
from borderpost_bench.rivals import RivalUnavailable, ratelimit_programs, ratelimit_version
from support.ratelimit_corpus import METHOD, Answer, Asked, Recording, Run, answer_of, message_of
from support.redis_server import RedisServer, redis_server

_CLOCK_HEADER = "borderpost-now"
_TIMEOUT_S = 30.0


def programs() -> Mapping[str, Path]:
    """Return the built programs; the test is skipped where they cannot be built."""
    try:
        return ratelimit_programs()
    except RivalUnavailable as error:
        pytest.skip(f"needs Go to build envoyproxy/ratelimit: {error}")


class Oracle:
    """One running server."""

    def __init__(self, port: int, http_port: int, debug_port: int, redis: RedisServer) -> None:
        self._http_port = http_port
        self.redis = redis
        """Where it counts."""
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._ask = self._channel.unary_unary(METHOD)
        self._debug = f"http://127.0.0.1:{debug_port}"

    def ask(self, asked: Asked) -> Answer:
        """Ask one thing at its time."""
        try:
            return answer_of(
                self._ask(message_of(asked), metadata=((_CLOCK_HEADER, str(asked.now_s)),), timeout=_TIMEOUT_S)
            )
        except grpc.RpcError as error:
            return Answer(error=error.code().name)

    def ask_in_json(self, body: str) -> tuple[int, Any]:
        """Post a question to `/json`, at the time of the last one over gRPC; return status and what it answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", "/json", body.encode())
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.getheader("content-type") == "application/json" else None
        finally:
            connection.close()

    def counters(self) -> dict[str, int]:
        """Return its counters without the `ratelimit.service` that each begins with."""
        with urllib.request.urlopen(f"{self._debug}/counters", timeout=_TIMEOUT_S) as answer:
            told: dict[str, int] = json.load(answer)
        prefix = "ratelimit.service."
        return {name.removeprefix(prefix): told[name] for name in sorted(told) if name.startswith(prefix)}

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


@contextmanager
def oracle(run: Run, directory: Path) -> Iterator[Oracle]:
    """Start the server with a run's settings and files, on an empty redis-server."""
    program = programs()["clocked"]
    root = directory / "runtime"
    (root / "config").mkdir(parents=True)
    for name, text in run.files.items():
        (root / "config" / name).write_text(text, encoding="utf-8")
    grpc_port, http_port, debug_port = free_port(), free_port(), free_port()
    with redis_server(directory) as redis:
        settings = {
            "RUNTIME_ROOT": str(root), "RUNTIME_SUBDIRECTORY": "", "RUNTIME_WATCH_ROOT": "false",
            "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{redis.port}", "LOG_LEVEL": "error",
            "HOST": "127.0.0.1", "PORT": str(http_port), "GRPC_HOST": "127.0.0.1", "GRPC_PORT": str(grpc_port),
            "DEBUG_HOST": "127.0.0.1", "DEBUG_PORT": str(debug_port), "EXPIRATION_JITTER_MAX_SECONDS": "86400",
            **run.settings,
        }  # fmt: skip
        child = ChildProcess("envoyproxy/ratelimit", [str(program)], directory / "oracle.log", environ=settings)
        one = Oracle(grpc_port, http_port, debug_port, redis)
        try:
            child.wait_until(lambda: _answers(grpc_port, debug_port), timeout_s=_TIMEOUT_S, what="ready")
            yield one
        finally:
            one.close()
            child.kill()


def _answers(grpc_port: int, debug_port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1.0)
            urllib.request.urlopen(f"http://127.0.0.1:{debug_port}/counters", timeout=_TIMEOUT_S).close()
        except (grpc.FutureTimeoutError, OSError):
            return False
    return True


def record(run: Run, directory: Path) -> Recording:
    """Ask a run's questions one after the other. Of a program that ends by one of them nobody can read the counters."""
    with oracle(run, directory) as server:
        answers = [server.ask(one) for one in run.asked]
        ended = any(one.error == "UNAVAILABLE" for one in answers)
        counters = {} if ended else server.counters()
    return Recording(f"envoyproxy/ratelimit {ratelimit_version()}", run, answers, counters)


def verdicts(files: Mapping[str, str], directory: Path) -> dict[str, dict[str, Any]]:
    """Return what the program says of each limits file by itself: `error`, or `rules`, one text each, sorted."""
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    command = [str(programs()["check"]), *(str(directory / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    told = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    # A path may hold the end of a line, but each rule ends so.
    found = [
        {"error": one["error"], "rules": sorted(re.findall(r"(?s).+?quota_mode: (?:true|false)\n", one["rules"]))}
        for one in told
    ]
    return dict(zip(files, found, strict=True))
