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

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.children import free_port
from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE, gateway_bootstrap
from borderpost.demo.istio.istiod import Istiod
from borderpost.demo.istio.tools import IstioTools, cached_tools, istio_tools
from support.client import Reply, send
from support.envoy_process import EnvoyProcess

GATEWAY = f"{NAMESPACE}/ingress"
"""What a VirtualService names in `gateways`."""
KNOWN_WARNING = "exposes internal implementation details"
"""What `istioctl validate` says of every EnvoyFilter, and the only warning that none of ours may be free of."""
_HEADINGS = ("is valid", "has warnings:")
"""Ends of lines of `istioctl validate` that name a file and no finding."""
_SETTLE_S = 30.0
_POLL_S = 0.02
_MARKER = "00-marker.yaml"
"""Read first of all files, so whatever was put before it has been read once Envoy has it."""


def lab_tools() -> IstioTools:
    """Return istiod and istioctl, built where there is Go; the test skips where there is neither."""
    if cached_tools() is None and shutil.which("go") is None:
        pytest.skip("needs Go to build istiod (`make istio-tools`)")
    return istio_tools(print)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What Envoy runs with that came from the control plane, each kind by name, as its config dump shows it."""

    listeners: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, Mapping[str, Any]]
    """Route configurations."""
    clusters: Mapping[str, Mapping[str, Any]]
    refused: tuple[str, ...]
    """Why Envoy refused what it was sent, while it goes on with what it had."""

    def manager(self, port: int) -> Mapping[str, Any]:
        """Return the HTTP connection manager of the listener on a port."""
        (chain,) = self.listeners[f"0.0.0.0_{port}"]["filter_chains"]
        manager: Mapping[str, Any] = chain["filters"][-1]["typed_config"]
        return manager

    def routes_of(self, port: int) -> list[Mapping[str, Any]]:
        """Return every route of the port's route configuration, host by host in order."""
        return [route for host in self.routes[f"http.{port}"]["virtual_hosts"] for route in host.get("routes", ())]


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
        self.istiod.put(_MARKER, [*_gateways(self.port, self.marker_port), _marker(domain)])
        self.eventually(
            lambda: domain in str(self.delivered().routes.get(f"http.{self.marker_port}")), f"Envoy has {domain}"
        )

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
        return validate(self.tools, self.directory, resources)

    def analyze(self, resources: str | Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what `istioctl analyze` finds in these resources and the gateway's."""
        return analyze(self.tools, self.directory, [_text(_gateways(self.port, self.marker_port)), _text(resources)])


@contextmanager
def istio_lab(
    directory: Path, *, mesh: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Lab]:
    """Start istiod and its gateway. `mesh` is laid over the mesh configuration, `environ` over istiod's environment."""
    tools = lab_tools()
    with Istiod(tools, directory / "istiod", mesh=mesh, environ=environ) as istiod:
        lab = Lab(tools, directory, istiod, free_port())
        bootstrap = gateway_bootstrap(istiod.port, version=tools.version)
        with EnvoyProcess(bootstrap, directory / "envoy", name="gateway", port=lab.port) as envoy:
            lab.envoy = envoy
            lab.settle()
            yield lab


def read_delivered(dump: Mapping[str, Any]) -> Delivered:
    """Read Envoy's config dump; entries that hold only an error are refusals."""
    parts = {part["@type"].rpartition(".")[2]: part for part in dump["configs"]}
    listeners = parts.get("ListenersConfigDump", {}).get("dynamic_listeners", [])
    clusters = parts.get("ClustersConfigDump", {}).get("dynamic_active_clusters", [])
    routes = parts.get("RoutesConfigDump", {}).get("dynamic_route_configs", [])
    return Delivered(
        {one["name"]: one["active_state"]["listener"] for one in listeners if "active_state" in one},
        {one["route_config"]["name"]: one["route_config"] for one in routes if "route_config" in one},
        {one["cluster"]["name"]: one["cluster"] for one in clusters if "cluster" in one},
        tuple(one["error_state"]["details"] for one in (*listeners, *clusters, *routes) if "error_state" in one),
    )


def validate(tools: IstioTools, directory: Path, resources: str | Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what `istioctl validate` finds, errors and warnings, but for the one that every EnvoyFilter gets."""
    file = directory / "validate.yaml"
    file.write_text(_text(resources))
    done = _istioctl(tools, "validate", "-f", str(file))
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    found = [line for line in lines if line and KNOWN_WARNING not in line and not line.endswith(_HEADINGS)]
    assert found or done.returncode == 0, lines
    return found


def analyze(tools: IstioTools, directory: Path, texts: Sequence[str]) -> list[str]:
    """Return what `istioctl analyze` finds in these texts without a cluster."""
    file = directory / "analyze.yaml"
    file.write_text("\n---\n".join(texts))
    done = _istioctl(tools, "analyze", "--all-namespaces", "--use-kube=false", "--output", "json", str(file))
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("["))
    passed_over = [line for line in lines[:start] if line]  # files that it could not read
    found = [f"{one['code']} {one['origin']}: {one['message']}" for one in json.loads("\n".join(lines[start:]))]
    return passed_over + [line for line in found if KNOWN_WARNING not in line]


def _istioctl(tools: IstioTools, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tools.istioctl, *words], capture_output=True, text=True, timeout=60, check=False)


def _text(resources: str | Sequence[Mapping[str, Any]]) -> str:
    return resources if isinstance(resources, str) else yaml.safe_dump_all(resources, sort_keys=False)


def _gateways(port: int, marker_port: int) -> list[dict[str, Any]]:
    return [_gateway("ingress", port), _gateway("marker", marker_port)]


def _gateway(name: str, port: int) -> dict[str, Any]:
    server = {"port": {"number": port, "name": f"http-{name}", "protocol": "HTTP"}, "hosts": ["*"]}
    return resource("Gateway", name, {"selector": dict(LABELS), "servers": [server]})


def _marker(domain: str) -> dict[str, Any]:
    http = [{"name": "marker", "directResponse": {"status": 204}}]
    return resource("VirtualService", "marker", {"hosts": [domain], "gateways": [f"{NAMESPACE}/marker"], "http": http})


def resource(
    kind: str, name: str, spec: Mapping[str, Any], *, api: str = "networking.istio.io/v1", namespace: str = NAMESPACE
) -> dict[str, Any]:
    """Return one resource of Istio's."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}
