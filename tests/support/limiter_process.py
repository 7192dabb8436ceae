"""A limiter in a process of its own, asked over gRPC as Envoy asks it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import yaml

from borderpost.demo.children import free_port
from borderpost_proto.rate_limit_pb2 import RateLimitRequest, RateLimitResponse
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT
from support.ratelimit_parts import descriptor_of

_READY_WITHIN_S = 30.0
_ANSWER_WITHIN_S = 30.0


class LimiterProcess:
    """One `borderpost ratelimit serve`."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, admin_port: int) -> None:
        self.process = process
        self.directory = directory
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.waits_s: list[float] = []
        self._channel = grpc.insecure_channel(f"unix:{directory / 'limiter.sock'}")
        self._ask = self._channel.unary_unary(
            SHOULD_RATE_LIMIT,
            request_serializer=RateLimitRequest.SerializeToString,
            response_deserializer=RateLimitResponse.FromString,
        )

    @property
    def log(self) -> str:
        """Return all that it has logged."""
        return (self.directory / "limiter.log").read_text()

    def until_ready(self) -> None:
        """Wait until it listens."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while '"listening"' not in self.log:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def passes(self, *entries: tuple[str, str], domain: str = "shop") -> bool:
        """Ask about one descriptor."""
        request = RateLimitRequest(domain=domain, descriptors=[descriptor_of(*entries)])
        since = time.monotonic()
        answer = self._ask(request, timeout=_ANSWER_WITHIN_S)
        self.waits_s.append(time.monotonic() - since)
        return bool(answer.overall_code == RateLimitResponse.OK)

    def passed(self, count: int, *entries: tuple[str, str]) -> int:
        """Ask so often, one after the other; return how many passed."""
        return sum(self.passes(*entries) for _ in range(count))

    def status(self, path: str) -> int:
        """Return the status of a page of the admin server."""
        with urllib.request.urlopen(self.admin + path, timeout=_ANSWER_WITHIN_S) as response:
            return int(response.status)

    def metric(self, name: str) -> float:
        """Return a metric's value, 0 where it has none yet; `name` is with its labels."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=_ANSWER_WITHIN_S) as response:
            text = response.read().decode()
        found = re.search(rf"^borderpost_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


@contextmanager
def limiter_process(
    directory: Path, limits: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, **section: Any
) -> Iterator[LimiterProcess]:
    """Start a limiter with one limits file, and do not wait for it; `section` is what else stands under `limiter`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "limits.yaml").write_text(yaml.safe_dump(dict(limits)))
    server = {"listen": "unix", "socket": str(directory / "limiter.sock"), "drain_s": 0}
    told = {"limits": ["limits.yaml"], "server": server, "admin": {"port": free_port()}, **section}
    (directory / "borderpost.yaml").write_text(yaml.safe_dump({"limiter": told}))
    words = [sys.executable, "-m", "borderpost.cli", "ratelimit", "serve", "--config", "borderpost.yaml"]
    with (directory / "limiter.log").open("wb") as log:
        environ = {**os.environ, **(environ or {})}
        process = subprocess.Popen(words, cwd=directory, env=environ, stdout=log, stderr=log)
    limiter = LimiterProcess(process, directory, told["admin"]["port"])
    try:
        yield limiter
    finally:
        limiter.close()
        process.terminate()
        try:
            process.wait(_READY_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
