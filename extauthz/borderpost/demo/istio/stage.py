"""The stage in a mesh: the same regions and the same Borderpost, in front of them a gateway that istiod configures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from borderpost.demo.children import free_port
from borderpost.demo.envoy_process import EnvoyProcess
from borderpost.demo.istio.delivered import Delivered, read_delivered
from borderpost.demo.istio.gateway_node import LABELS, gateway_bootstrap
from borderpost.demo.istio.istioctl import validate
from borderpost.demo.istio.istiod import Istiod
from borderpost.demo.istio.scenery import HOST, REGION_PORT, gateway, istio_section, region_host, resource
from borderpost.demo.istio.tools import IstioTools
from borderpost.demo.scenery import ISSUER
from borderpost.demo.stage import Stage, command
from borderpost_base.errors import BorderpostError

_DELIVERY_S = 30.0
_OURS = "borderpost.yaml"


class MeshStage(Stage):
    """A stage whose Envoy has nothing but what the control plane sends it."""

    def __init__(self, tools: IstioTools) -> None:
        super().__init__()
        self.tools = tools
        self.istiod: Istiod
        self.rendered: list[dict[str, Any]] = []
        """What `borderpost render istio` gave."""

    def cluster_of(self, region: str) -> str:
        """Return istiod's name of a region's cluster."""
        return f"outbound|{REGION_PORT}||{region_host(region)}"

    def _sections(self) -> Mapping[str, Any]:
        section = istio_section(self.regions.ports)
        return {"istio": {**section, "access_log": str(self.directory / "access.log")}}

    def _gateway(self, jwks: Path) -> EnvoyProcess:
        """Start istiod, put the operator's files and ours, and start the gateway. Raises BP0911."""
        self.istiod = self._undo.enter_context(Istiod(self.tools, self.directory / "istiod"))
        port = free_port()
        self.istiod.put("gateway.yaml", [gateway(port), _tokens(jwks.read_text())])
        rendered = command("render", "istio", "--json", "--config", str(self.config))
        if rendered.exit_code != 0:
            raise BorderpostError("BP0911", f"rendering Istio's objects failed: {rendered.document}")
        self.rendered = list(rendered.document["objects"])
        self.istiod.put(_OURS, self.rendered)
        bootstrap = gateway_bootstrap(self.istiod.port, version=self.tools.version)
        envoy = EnvoyProcess(bootstrap, self.directory, name="gateway", port=port)
        try:
            envoy.process.wait_until(
                lambda: _arrived(read_delivered(envoy.config_dump()), self.regions.ports),
                timeout_s=_DELIVERY_S,
                what="given its configuration by istiod",
            )
        except BaseException:
            envoy.stop()
            raise
        return envoy

    def delivered(self) -> Delivered:
        """Return what the gateway runs with."""
        return read_delivered(self.envoy.config_dump())

    def warnings(self) -> list[str]:
        """Return what `istioctl validate` says of what was rendered."""
        return validate(self.tools, self.istiod.live / _OURS)

    def others(self, resources: Sequence[Mapping[str, Any]]) -> None:
        """Have another team add something; with nothing, take it away."""
        self.istiod.put("others.yaml", resources)


def _tokens(jwks: str) -> dict[str, Any]:
    """Return the operator's own verification of tokens."""
    rules = [{"issuer": ISSUER, "jwks": jwks}]
    spec = {"selector": {"matchLabels": dict(LABELS)}, "jwtRules": rules}
    return resource("RequestAuthentication", "tokens", spec, api="security.istio.io/v1")


def _arrived(delivered: Delivered, regions: Iterable[str]) -> bool:
    """Return whether every region's cluster has arrived, and routes for the host."""
    named = {name.rpartition("|")[2] for name in delivered.clusters}
    return named >= {region_host(region) for region in regions} and f"'{HOST}'" in str(delivered.routes)
