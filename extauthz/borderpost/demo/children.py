"""Child processes of the stage: started with a log of their own, watched, ended by their own pid.

Start them from the main thread: Envoy's launcher may ask the kernel to end it with the thread that started it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from borderpost_base.errors import BorderpostError, Place

_TAIL_BYTES = 4000
_POLL_S = 0.02
_LISTEN_FROM = 10_000
_OUTGOING_FROM = 32_768
"""The first port of outgoing connections, where the kernel does not say (its own default)."""
_PORTS_TRIED = 100


class ChildProcess:
    """One child. Its stdout and stderr go to `log`.

    `user`, an id, runs it as that user and group (needs root, and util-linux's setpriv).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> None:
        self.name = name
        # Not Popen's own `user`: that forks by fork(2), in which a process that has run gRPC threads may crash.
        as_user = () if user is None else ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")
        self.command = (*as_user, *command)
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,  # a Ctrl-C at the terminal reaches us alone; we end the children in order
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def wait_until(self, condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Poll until the condition holds. Raises BorderpostError BP0911 if the child ends or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.returncode is not None:
                raise self._unready(f"{self.name} ended with status {self.returncode} before it was {what}")
            if time.monotonic() > deadline:
                raise self._unready(f"{self.name} was not {what} within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def tail(self, size_bytes: int = _TAIL_BYTES) -> str:
        """Return the end of the log."""
        return self.log.read_bytes()[-size_bytes:].decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child, and to nothing else; a child that has ended is left alone."""
        if self.returncode is None:
            self._process.send_signal(number)

    def stop(self, *, grace_s: float = 10.0) -> int:
        """End it with SIGTERM, after the grace with SIGKILL; return its exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it with SIGKILL, and its descendants, which share its session; return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def _unready(self, text: str) -> BorderpostError:
        return BorderpostError("BP0911", f"{text}; the end of its log:\n{self.tail()}")


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago, for servers that must be told one.

    It lies below the range from which the kernel takes ports for outgoing connections: one of that range may be taken
    before its server listens, even by a client that tries to reach that very server and so meets itself.
    """
    # From the system: tests seed the module `random`, and processes beside each other would choose the same.
    for port in random.SystemRandom().sample(_ports_to_listen_on(), _PORTS_TRIED):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BorderpostError("BP0502", f"none of {_PORTS_TRIED} ports is free", place=Place("127.0.0.1"))


def _ports_to_listen_on() -> range:
    """Return the unprivileged ports below those of outgoing connections (Linux: ip_local_port_range)."""
    outgoing_from = _OUTGOING_FROM
    with contextlib.suppress(OSError, ValueError, IndexError):
        outgoing_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    enough = outgoing_from - _LISTEN_FROM > _PORTS_TRIED
    return range(_LISTEN_FROM, outgoing_from) if enough else range(_LISTEN_FROM, 2**16)
