"""A primary, a replica of it, and a Sentinel that watches them: all real, all on loopback."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from borderpost.demo.children import free_port
from support.redis_server import RedisServer, redis_server

PRIMARY = "counters"
_READY_WITHIN_S = 15.0


class Watched:
    """The three of them."""

    def __init__(self, primary: RedisServer, replica: RedisServer, sentinel_port: int) -> None:
        self.primary = primary
        self.replica = replica
        self.sentinel = f"127.0.0.1:{sentinel_port}"


@contextmanager
def watched_pair(directory: Path, *, down_after_ms: int = 300) -> Iterator[Watched]:
    """Give a pair of servers whose replica has caught up, and a Sentinel that knows both."""
    directories = [directory / name for name in ("primary", "replica", "sentinel")]
    for each in directories:
        each.mkdir()
    with redis_server(directories[0], "--repl-diskless-sync-delay", "0") as primary:
        arguments = ("--replicaof", "127.0.0.1", str(primary.port))
        with redis_server(directories[1], *arguments) as replica:
            port = free_port()
            process = _start_sentinel(directories[2], port, primary, down_after_ms)
            try:
                _wait_until_known(port, replica)
                yield Watched(primary, replica, port)
            finally:
                process.kill()
                process.wait()


def _start_sentinel(directory: Path, port: int, primary: RedisServer, down_after_ms: int) -> subprocess.Popen[bytes]:
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {directory}",
        f"sentinel monitor {PRIMARY} 127.0.0.1 {primary.port} 1",
        f"sentinel down-after-milliseconds {PRIMARY} {down_after_ms}",
        f"sentinel failover-timeout {PRIMARY} 2000",
    )
    file = directory / "sentinel.conf"
    file.write_text("\n".join(lines) + "\n")
    with (directory / "sentinel.log").open("wb") as log:
        return subprocess.Popen([primary.program, str(file), "--sentinel"], stdout=log, stderr=log)


def _wait_until_known(port: int, replica: RedisServer) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            with redis.Redis(port=port, protocol=2) as sentinel, replica.client as client:
                known = sentinel.execute_command("SENTINEL", "REPLICAS", PRIMARY)
                if known and client.info("replication")["master_link_status"] == "up":
                    return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "the Sentinel does not know the replica"
        time.sleep(0.05)
