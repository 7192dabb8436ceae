"""A real redis-server, started by a test on a port of its own and ended by its process id."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from borderpost.demo.children import free_port

_READY_WITHIN_S = 15.0


class RedisServer:
    """One server, reached by loopback; what it holds lies in memory unless it is told to save it."""

    def __init__(self, directory: Path, *arguments: str, program: str) -> None:
        self.directory = directory
        self.port = free_port()
        self._arguments = arguments
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """Return a new client for the test's own hands."""
        return redis.Redis(host="127.0.0.1", port=self.port, protocol=2)

    def start(self) -> None:
        """Start it empty, on the same port as before, and wait until it answers."""
        assert self._process is None
        words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--dir", str(self.directory), *self._arguments], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            with contextlib.suppress(redis.RedisError), self.client as client:
                if client.ping():
                    return
            assert self._process.poll() is None, (self.directory / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Stop it as it is: connections stay, answers do not come."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(directory: Path, *arguments: str) -> Iterator[RedisServer]:
    """Give a running server that keeps its files in a directory; the test is skipped where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs redis-server")
    server = RedisServer(directory, *arguments, program=program)
    try:
        server.start()
        yield server
    finally:
        server.kill()
