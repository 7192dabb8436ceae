"""Borderpost itself as a child process, as an operator would start it: `borderpost serve --config FILE`."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping
from pathlib import Path

from borderpost.demo.children import ChildProcess

_ADMIN_TIMEOUT_S = 2.0


class BorderpostProcess:
    """One running gateway: a steward and its workers. `admin_port` is the one its configuration names."""

    def __init__(
        self,
        config: Path,
        *,
        admin_port: int,
        name: str = "borderpost",
        log: Path | None = None,
        environ: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        wait: bool = True,
        ready_within_s: float = 30.0,
    ) -> None:
        """Start it and wait until it is ready, unless `wait` is False.

        `prefix` is a command that runs it, such as `faketime`. Raises BorderpostError BP0911.
        """
        self.config = config
        self.admin_port = admin_port
        self.process = ChildProcess(
            name,
            [*prefix, sys.executable, "-m", "borderpost.cli", "serve", "--config", str(config), *arguments],
            log or config.with_suffix(".log"),
            environ=environ,
        )
        if wait:
            try:
                self.process.wait_until(self.ready, timeout_s=ready_within_s, what="ready")
            except BaseException:
                self.process.kill()
                raise

    def admin(self, path: str) -> tuple[int, str]:
        """Return status and body of an admin path. Raises OSError while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=_ADMIN_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Return True if `/readyz` answers 200."""
        try:
            return self.admin("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, *, grace_s: float = 20.0) -> int:
        """End it with SIGTERM; return its exit status."""
        return self.process.stop(grace_s=grace_s)

    def kill(self) -> int:
        """End the steward with SIGKILL; return its exit status.

        Its workers have sessions of their own: they notice, and decide on by the last snapshot until that is too old.
        """
        return self.process.kill()

    def __enter__(self) -> BorderpostProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop(grace_s=10.0)
        self.process.kill()
