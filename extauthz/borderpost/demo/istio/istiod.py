"""istiod as a child process that takes its configuration from a folder of YAML files instead of from Kubernetes.

What it reads is what `kubectl get -o yaml` would show: EnvoyFilter, Gateway, VirtualService, ServiceEntry and the
rest of Istio's kinds. It delivers to an Envoy that names itself a gateway of the namespace and labels that those
resources select.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from borderpost.demo.children import ChildProcess, free_port
from borderpost.demo.istio.tools import IstioTools

_START_S = 30.0
_MESH: Mapping[str, Any] = {
    "accessLogFile": "",
    "enableTracing": False,
    "defaultProviders": {},  # a metrics provider would bring istio.stats, which only Istio's own proxy has
    "ingressControllerMode": "OFF",
}
_ENVIRONMENT: Mapping[str, str] = {
    # Filters that only Istio's own proxy has; a stock Envoy would refuse the listener.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "ENABLE_CA_SERVER": "false",
    "POD_NAMESPACE": "istio-system",
    "POD_NAME": "istiod",
    "PILOT_DEBOUNCE_AFTER": "20ms",  # 100 ms in production: nobody here waits for more changes
}
_TROUBLE = ("ACK ERROR", "unable to reload file configuration")
"""What istiod logs when an Envoy refuses what it was sent, and when a file cannot be read: then none is."""

_ENTRY = re.compile(r"^(?=\d{4}-\d{2}-\d{2}T)", re.MULTILINE)


class Istiod:
    """One running control plane. Put files only after it has started: it may miss what lay there before."""

    def __init__(
        self,
        tools: IstioTools,
        directory: Path,
        *,
        mesh: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start it in a directory of its own; `mesh` and `environ` are laid over the defaults. Raises BP0911."""
        self.live = directory / "live"
        self._staging = directory / "staging"
        for folder in (self.live, self._staging):
            folder.mkdir(parents=True)
        self.port = free_port()
        """Where it serves xDS, in plain text."""
        settings = {**_MESH, "defaultConfig": {"discoveryAddress": f"127.0.0.1:{self.port}"}, **(mesh or {})}
        mesh_file = directory / "mesh.yaml"
        mesh_file.write_text(yaml.safe_dump(settings))
        self.process = ChildProcess(
            "istiod",
            [
                *(str(tools.istiod), "discovery"),
                *("--configDir", str(self.live), "--registries="),
                *("--meshConfig", str(mesh_file), "--networksConfig", str(directory / "none")),
                *("--grpcAddr", f"127.0.0.1:{self.port}", "--secureGRPCAddr", ""),
                *("--httpAddr", f"127.0.0.1:{free_port()}", "--httpsAddr", ""),
                *("--monitoringAddr", "127.0.0.1:0", "--ctrlz_port", "0", "--shutdownDuration", "0s"),
            ],
            directory / "istiod.log",
            environ={**_ENVIRONMENT, **(environ or {})},
        )
        try:  # its /ready says 503 as long as there is no Kubernetes
            self.process.wait_until(self._listens, timeout_s=_START_S, what="listening")
        except BaseException:
            self.process.kill()
            raise

    def put(self, name: str, resources: str | Sequence[Mapping[str, Any]]) -> None:
        """Add or replace one file: YAML text, or resources to write. It appears at once, whole, by a rename."""
        text = resources if isinstance(resources, str) else yaml.safe_dump_all(resources, sort_keys=False)
        staged = self._staging / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text)
        staged.rename(self.live / name)

    def remove(self, name: str) -> None:
        """Remove one file. Raises FileNotFoundError."""
        (self.live / name).unlink()

    def troubles(self) -> list[str]:
        """Return what its log says of an Envoy that refused what it got, or of a file that cannot be read."""
        text = self.process.log.read_text(errors="replace")
        entries = _ENTRY.split(text)[1:]  # one may have several lines
        return [" ".join(entry.split()) for entry in entries if any(mark in entry for mark in _TROUBLE)]

    def stop(self) -> None:
        """End it."""
        self.process.stop(grace_s=5.0)

    def __enter__(self) -> Istiod:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
