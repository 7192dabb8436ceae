"""The real limiter for tests, as an operator starts it: `borderpost ratelimit serve`."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import yaml

from borderpost.demo.children import ChildProcess, free_port
from borderpost_proto.rate_limit_pb2 import RateLimitRequest, RateLimitResponse
from support.ratelimit_parts import METHOD, descriptor_of

HEALTH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


class Limiter:
    """One running limiter over a folder of limits files; `address` is what a gRPC client is given."""

    def __init__(
        self, directory: Path, limits: Mapping[str, str], *, engine: str = "wire", unix: bool = True,
        server: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, **section: Any,
    ) -> None:  # fmt: skip
        self.limits = directory / "limits"
        self.limits.mkdir(exist_ok=True)
        for name, text in limits.items():
            self.write(text, name)
        self.port, self.admin_port = free_port(), free_port()
        self.socket = directory / "server" / "limiter.sock"
        self.address = f"unix:{self.socket}" if unix else f"localhost:{self.port}"
        where = {"listen": "unix", "socket": str(self.socket)} if unix else {"listen": "tcp", "port": self.port}
        door = {**where, "engine": engine, "drain_s": 0.2, **(server or {})}
        admin = {"port": self.admin_port}
        limiter = {"limits": ["limits"], "server": door, "admin": admin, "watch_s": 0.05, **section}
        self.config = directory / "limiter.yaml"
        self.config.write_text(yaml.safe_dump({"limiter": limiter, "logs": {"format": "json"}}))
        command = [sys.executable, "-m", "borderpost.cli", "ratelimit", "serve", "--config", str(self.config)]
        self.process = ChildProcess("limiter", command, directory / "limiter.log", environ=environ)
        try:
            self.process.wait_until(self.ready, timeout_s=30, what="ready")
        except BaseException:
            self.process.kill()
            raise

    def write(self, text: str, name: str = "shop.yaml") -> None:
        """Put a limits file in place, whole."""
        temporary = self.limits / ".fresh"
        temporary.write_text(text)
        temporary.replace(self.limits / name)

    def http(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Ask over HTTP: a question in JSON, or a page. Raises OSError while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Return True if `/readyz` answers 200."""
        try:
            return self.http("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        """Return a new channel to its door."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is not None:
            return grpc.secure_channel(self.address, credentials, options)
        return grpc.insecure_channel(self.address, options)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has logged."""
        found = [json.loads(line) for line in self.process.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if isinstance(line, dict)]

    def until_logged(self, event: str, *, times: int = 1) -> None:
        """Wait until it has logged an event so many times."""
        self.process.wait_until(
            lambda: sum(line["event"] == event for line in self.lines()) >= times, timeout_s=20, what=f"at `{event}`"
        )

    def __enter__(self) -> Limiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop(grace_s=10)
        self.process.kill()


def asker(channel: grpc.Channel) -> Callable[..., RateLimitResponse]:
    """Return a function that asks about one descriptor of the domain `shop`."""
    call = channel.unary_unary(
        METHOD,
        request_serializer=RateLimitRequest.SerializeToString,
        response_deserializer=RateLimitResponse.FromString,
    )

    def ask(*entries: tuple[str, str]) -> RateLimitResponse:
        answer: RateLimitResponse = call(
            RateLimitRequest(domain="shop", descriptors=[descriptor_of(*entries)]), timeout=10
        )
        return answer

    return ask


def health(channel: grpc.Channel, service: str = "") -> bytes:
    """Return the health of a service, coded."""
    message = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    told: bytes = channel.unary_unary(HEALTH)(message, timeout=10)
    return told
