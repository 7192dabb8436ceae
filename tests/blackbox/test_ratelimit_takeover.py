"""From the real envoyproxy/ratelimit to ours by the guide's steps, both counting in one Redis meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from borderpost.cli.main import main
from borderpost.demo.children import ChildProcess, free_port
from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from support.limiter_serving import asker
from support.ratelimit_oracle import programs
from support.redis_server import redis_server

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
LIMITS = """\
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: year, requests_per_unit: 5}
  - key: path
    value: /files/*
    share_threshold: true
    rate_limit: {unit: year, requests_per_unit: 5}
"""
Ask = Callable[..., RateLimitResponse]


@contextmanager
def asking(port: int) -> Iterator[Ask]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield asker(channel)


def test_ours_counts_on_where_theirs_has_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = programs()["server"]
    (tmp_path / "config").mkdir()
    (tmp_path / "config/shop.yaml").write_text(LIMITS)
    theirs_at, ours_at, admin_at = free_port(), free_port(), free_port()
    with redis_server(tmp_path) as redis:
        settings = {
            "RUNTIME_ROOT": str(tmp_path), "RUNTIME_SUBDIRECTORY": "", "RUNTIME_WATCH_ROOT": "false",
            "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{redis.port}", "CACHE_KEY_PREFIX": "rl_",
            "HOST": "127.0.0.1", "PORT": str(free_port()), "GRPC_HOST": "127.0.0.1", "GRPC_PORT": str(theirs_at),
            "DEBUG_HOST": "127.0.0.1", "DEBUG_PORT": str(free_port()), "LOG_LEVEL": "error",
        }  # fmt: skip
        (tmp_path / "settings.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        assert main(["ratelimit", "migrate", str(tmp_path / "settings.env")]) == 0
        (tmp_path / "borderpost.yaml").write_text(capsys.readouterr().out)
        command = [
            sys.executable, "-m", "borderpost.cli", "ratelimit", "serve", "--config", str(tmp_path / "borderpost.yaml"),
            "--listen", f"127.0.0.1:{ours_at}", "--set", f"limiter.admin.port={admin_at}",
        ]  # fmt: skip
        children = (
            ChildProcess("envoyproxy/ratelimit", [str(program)], tmp_path / "theirs.log", environ=settings),
            ChildProcess("limiter", command, tmp_path / "ours.log"),
        )
        try:
            with asking(theirs_at) as theirs, asking(ours_at) as ours:
                take_turns(theirs, ours, ("user", "ann"), ("user", "ann"))
                take_turns(theirs, ours, ("path", "/files/a"), ("path", "/files/b"))
        finally:
            for child in children:
                child.kill()


def take_turns(theirs: Ask, ours: Ask, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Have each let pass a part of five, and then neither any more."""
    left = [ask(entry).statuses[0].limit_remaining for ask, entry in ((theirs, one), (ours, other), (theirs, one))]
    assert left == [4, 3, 2]
    assert [ours(other).statuses[0].limit_remaining for _ in range(2)] == [1, 0]
    assert [ask(entry).overall_code for ask, entry in ((theirs, one), (ours, other), (theirs, other))] == [OVER] * 3
