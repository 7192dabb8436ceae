"""Istio's real control plane for tests: istiod fed by files, delivering to a real Envoy that it takes for a gateway.

    with istio_lab(directory) as lab:
        lab.put("ours.yaml", rendered)          # returns when Envoy has it
        assert lab.nacks() == []
        assert lab.delivered().clusters["outbound|80||eu.inference.example"]
        assert lab.send(headers=[("host", "inference.example")]).status == 200

The lab brings one Gateway, `istio-ingress/ingress`, HTTP for every host on `lab.port`. Start it from pytest's main
thread, once a module: it takes a third of a second, and a change arrives in a tenth.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.children import free_port
from borderpost.demo.istio import istioctl
from borderpost.demo.istio.delivered import Delivered, read_delivered
from borderpost.demo.istio.gateway_node import NAMESPACE, gateway_bootstrap
from borderpost.demo.istio.istiod import Istiod
from borderpost.demo.istio.scenery import GATEWAY as INGRESS
from borderpost.demo.istio.scenery import gateway, resource
from borderpost.demo.istio.tools import IstioTools, cached_tools, istio_tools
from support.client import Reply, send
from support.envoy_process import EnvoyProcess

__all__ = ["GATEWAY", "NAMESPACE", "Delivered", "Lab", "istio_lab", "lab_tools", "resource"]

GATEWAY = f"{NAMESPACE}/{INGRESS}"
"""What a VirtualService names in `gateways`."""
_SETTLE_S = 30.0
_POLL_S = 0.02
_MARKER = "00-marker.yaml"
"""Read first of all files, so whatever was put before it has been read once Envoy has it."""


def lab_tools() -> IstioTools:
    """Return istiod and istioctl, built where there is Go; the test skips where there is neither."""
    if cached_tools() is None and shutil.which("go") is None:
        pytest.skip("needs Go to build istiod (`make istio-tools`)")
    return istio_tools(print)


class Lab:
    """What a test holds in its hands."""

    def __init__(self, tools: IstioTools, directory: Path, istiod: Istiod, port: int) -> None:
        self.tools = tools
        self.directory = directory
        self.istiod = istiod
        self.port = port
        """Where the gateway listens."""
        self.marker_port = free_port()
        self.envoy: EnvoyProcess
        self._marks = 0

    # Changing

    def put(self, name: str, resources: str | Sequence[Mapping[str, Any]], *, settle: bool = True) -> None:
        """Add or replace a file, and wait until Envoy has been sent what it means; see `settle`."""
        self.istiod.put(name, resources)
        if settle:
            self.settle()

    def remove(self, *names: str, settle: bool = True) -> None:
        """Remove files, and wait likewise."""
        for name in names:
            self.istiod.remove(name)
        if settle:
            self.settle()

    def reset(self) -> None:
        """Remove every file that tests have put, and wait."""
        names = [path.name for path in self.istiod.live.iterdir() if path.name != _MARKER]
        if names:
            self.remove(*names)

    def settle(self) -> None:
        """Wait until Envoy has what the files say now: a route of our own arrives after all that was put before it."""
        self._marks += 1
        domain = f"mark-{self._marks}.lab"
        unread = self._unread()
        self.istiod.put(_MARKER, [*_gateways(self.port, self.marker_port), _marker(domain)])

        def arrived() -> bool:
            new = self._unread() - unread
            assert not new, f"istiod does not take what was put: {new}"
            return domain in str(self.delivered().routes.get(f"http.{self.marker_port}"))

        self.eventually(arrived, f"Envoy has {domain}")

    def _unread(self) -> set[str]:
        """Return what istiod has said so far of files that it cannot read."""
        return {line for line in self.istiod.troubles() if "unable to reload" in line}

    # Looking

    def send(self, **how: Any) -> Reply:
        """Send one request to the gateway, as `support.client.send`."""
        return send(self.port, **how)

    def delivered(self) -> Delivered:
        """Return what Envoy runs with now."""
        return read_delivered(self.envoy.config_dump())

    def nacks(self) -> list[str]:
        """Return what Envoy has refused since the start, and what istiod could not read."""
        return [*self.delivered().refused, *self.istiod.troubles()]

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until the condition holds; fail with istiod's troubles when time is up."""
        deadline = time.monotonic() + _SETTLE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {_SETTLE_S:g} s: {what}; {self.nacks()}"
            time.sleep(_POLL_S)

    # Asking istioctl

    def validate(self, resources: str | Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what `istioctl validate` finds, errors and warnings, but for the one that every EnvoyFilter gets."""
        return istioctl.validate(self.tools, self._file("validated.yaml", resources))

    def analyze(self, resources: str | Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what `istioctl analyze` finds in these resources and the gateway's."""
        gateways = self._file("gateways.yaml", _gateways(self.port, self.marker_port))
        return istioctl.analyze(self.tools, gateways, self._file("analyzed.yaml", resources))

    def _file(self, name: str, resources: str | Sequence[Mapping[str, Any]]) -> Path:
        file = self.directory / name
        file.write_text(resources if isinstance(resources, str) else yaml.safe_dump_all(resources, sort_keys=False))
        return file


@contextmanager
def istio_lab(
    directory: Path,
    *,
    mesh: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    clusters: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Lab]:
    """Start istiod and its gateway.

    `mesh` is laid over the mesh configuration, `environ` over istiod's environment; `clusters` are Envoy's own, beside
    those that istiod delivers.
    """
    tools = lab_tools()
    with Istiod(tools, directory / "istiod", mesh=mesh, environ=environ) as istiod:
        lab = Lab(tools, directory, istiod, free_port())
        bootstrap = gateway_bootstrap(istiod.port, version=tools.version)
        bootstrap["static_resources"]["clusters"] += clusters
        with EnvoyProcess(bootstrap, directory / "envoy", name="gateway", port=lab.port) as envoy:
            lab.envoy = envoy
            lab.settle()
            yield lab


def _gateways(port: int, marker_port: int) -> list[dict[str, Any]]:
    return [gateway(port), gateway(marker_port, name="marker")]


def _marker(domain: str) -> dict[str, Any]:
    http = [{"name": "marker", "directResponse": {"status": 204}}]
    return resource("VirtualService", "marker", {"hosts": [domain], "gateways": [f"{NAMESPACE}/marker"], "http": http})
