"""A real Redis Cluster of three primaries, and a replica where a test asks for one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from borderpost.demo.children import free_port
from support.redis_server import RedisServer, redis_server

_WHOLE_WITHIN_S = 30.0
_SLOTS = 16384


class RedisCluster:
    """The servers, each with a third of the slots."""

    def __init__(self, servers: list[RedisServer], buses: list[int]) -> None:
        self.servers = servers
        self.buses = buses
        """The ports by which they speak with each other."""

    @property
    def places(self) -> tuple[str, ...]:
        """Return `HOST:PORT` of each."""
        return tuple(f"127.0.0.1:{server.port}" for server in self.servers)

    def identity(self, at: int) -> str:
        """Return a server's name in the cluster."""
        return str(self._run(at, "CLUSTER", "MYID"))

    def primary_of(self, slot: int) -> int:
        """Return which of the servers counts a slot that has not moved."""
        return slot * len(self.servers) // _SLOTS

    def calls(self) -> list[int]:
        """Return how many script calls and additions each server has had."""
        return [self._calls(at) for at in range(len(self.servers))]

    def flush(self) -> None:
        """Empty them all."""
        for at in range(len(self.servers)):
            self._run(at, "FLUSHALL")
            self._run(at, "CONFIG", "RESETSTAT")

    def begin_move(self, slot: int, source: int, to: int) -> None:
        """Begin to move a slot: what is not there yet is counted at its new server (ASK)."""
        self._run(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(source))
        self._run(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(to))

    def end_move(self, slot: int, source: int, to: int) -> None:
        """Move what lies in the slot, and the slot."""
        keys = self._run(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000)
        if isinstance(keys, list) and keys:
            self._run(source, "MIGRATE", "127.0.0.1", self.servers[to].port, "", 0, 5000, "KEYS", *keys)
        for at in dict.fromkeys((to, source, *range(len(self.servers)))):
            self._run(at, "CLUSTER", "SETSLOT", slot, "NODE", self.identity(to))

    @contextmanager
    def replica_of(self, at: int, directory: Path) -> Iterator[RedisServer]:
        """Give a replica of one of the servers, which has caught up with it."""
        bus = free_port()
        with redis_server(directory, *_arguments(bus)) as replica:
            self._run_at(replica, "CLUSTER", "MEET", "127.0.0.1", self.servers[at].port, self.buses[at])
            deadline = time.monotonic() + _WHOLE_WITHIN_S
            while "master_link_status:up" not in str(self._run_at(replica, "INFO", "replication")):
                assert time.monotonic() < deadline, "the replica does not catch up"
                with contextlib.suppress(redis.ResponseError):  # until it knows who that is
                    self._run_at(replica, "CLUSTER", "REPLICATE", self.identity(at))
                time.sleep(0.05)
            yield replica

    def promote(self, server: RedisServer) -> None:
        """Have a replica become the primary, as operators do it; the old one agrees on the moment."""
        deadline = time.monotonic() + _WHOLE_WITHIN_S
        asked_at = 0.0
        while b"master" not in self._run_at(server, "ROLE"):  # type: ignore[operator]
            assert time.monotonic() < deadline, "it does not become the primary"
            if time.monotonic() > asked_at + 1.5:  # the others may not have known it yet
                asked_at = time.monotonic()
                with contextlib.suppress(redis.ResponseError):
                    self._run_at(server, "CLUSTER", "FAILOVER")
            time.sleep(0.02)

    def assemble(self) -> None:
        """Make one cluster of them, and wait until each says that it is whole."""
        count = len(self.servers)
        for at, server in enumerate(self.servers):
            first, last = -(-at * _SLOTS // count), -(-(at + 1) * _SLOTS // count) - 1
            self._run(at, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self._run(at, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            self._run(0, "CLUSTER", "MEET", "127.0.0.1", server.port, self.buses[at])
        self.wait()

    def wait(self) -> None:
        """Wait until each server says that the cluster is whole."""
        deadline = time.monotonic() + _WHOLE_WITHIN_S
        while not all(self._whole(at) for at in range(len(self.servers))):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)

    def _whole(self, at: int) -> bool:
        with contextlib.suppress(redis.RedisError), self.servers[at].client as client:
            told = client.execute_command("CLUSTER INFO")
            known = client.execute_command("CLUSTER SLOTS")
            ports = {row[2][1] for row in known} if isinstance(known, list) else set()
            return told["cluster_state"] == "ok" and ports == {server.port for server in self.servers}
        return False

    def _run(self, at: int, *words: object) -> object:
        return self._run_at(self.servers[at], *words)

    def _run_at(self, server: RedisServer, *words: object) -> object:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.response_callbacks.clear()
            reply = client.execute_command(*words)
            return reply.decode() if isinstance(reply, bytes) else reply

    def _calls(self, at: int) -> int:
        with self.servers[at].client as client:
            told = client.info("commandstats")
            return sum(int(told[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_incrby") if name in told)


@contextmanager
def redis_cluster(directory: Path) -> Iterator[RedisCluster]:
    """Give a cluster that keeps its files in a directory; the test is skipped where there is no server."""
    with contextlib.ExitStack() as running:
        servers, buses = [], [free_port() for _ in "abc"]
        for name, bus in zip("abc", buses, strict=True):
            place = directory / name
            place.mkdir()
            servers.append(running.enter_context(redis_server(place, *_arguments(bus))))
        cluster = RedisCluster(servers, buses)
        cluster.assemble()
        yield cluster


def _arguments(bus: int) -> tuple[str, ...]:
    return ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "1000",
            "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")  # fmt: skip
