"""TLS from the gateway to a region, as istiod has Envoy speak it: both sides know each other, or nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from borderpost.demo.istio.scenery import HOST, region_host
from support.certificates import CertificateAuthority
from support.istio_patches import region_cluster
from support.istio_secrets import SecretServer
from support.istio_wiring import OURS, RENDERINGS, MeshWiring, meshed, render_istio
from support.tls_door import TlsDoor

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

REGION = "eu-1"
NAME = "spiffe://example/ns/models/sa/eu"


class Secured(NamedTuple):
    """The mesh, its authority, and the gateway's own certificate."""

    mesh: MeshWiring
    authority: CertificateAuthority
    certificate: tuple[Path, Path]

    def to(self, door: TlsDoor) -> None:
        """Have the region reached by mutual TLS at a door."""
        chain, key = map(str, self.certificate)
        tls = {"mode": "mutual", "ca": str(self.authority.path), "certificate": chain, "key": key, "names": [NAME]}
        config: dict[str, Any] = yaml.safe_load(self.mesh.config.read_text())
        config["istio"]["regions"][REGION] |= {"endpoints": [f"127.0.0.1:{door.port}"], "tls": tls}
        file = self.mesh.config.with_name("tls.yaml")
        file.write_text(yaml.safe_dump(config))
        self.mesh.lab.put(OURS, render_istio(file))
        assert self.mesh.lab.nacks() == []
        self.mesh.lab.eventually(self._has_certificates, "the cluster that speaks TLS has taken the plain one's place")
        self.mesh.go(REGION)

    def _has_certificates(self) -> bool:
        delivered = self.mesh.lab.delivered()
        name = region_cluster(REGION)
        return "transport_socket" in delivered.clusters.get(name, ()) and name not in delivered.warming


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = CertificateAuthority(directory)
    gateway = authority.issue("gateway", uris=["spiffe://example/ns/istio-ingress/sa/gateway"])
    with SecretServer(directory) as secrets, meshed(directory, RENDERINGS[0], clusters=[secrets.cluster]) as mesh:
        yield Secured(mesh, authority, gateway)


@pytest.fixture
def secured(shared: Secured) -> Secured:
    shared.mesh.reset()
    return shared


def test_the_region_is_served_by_mutual_tls(secured: Secured) -> None:
    own = secured.authority.issue("region", uris=[NAME])
    with TlsDoor(secured.mesh.regions.ports[REGION], certificate=own, client_ca=secured.authority.path) as door:
        secured.to(door)
        assert secured.mesh.send([("host", HOST)]).status == 200
        assert secured.mesh.served == {REGION: 1}


@pytest.mark.parametrize("uris", [["spiffe://example/ns/models/sa/us"], []], ids=["another account", "only the host"])
def test_who_has_another_name_gets_nothing(secured: Secured, uris: list[str]) -> None:
    """Also by a certificate of the right authority for the right host: the name that is pinned is another."""
    other = secured.authority.issue("other", uris=uris, dns=[region_host(REGION)])
    with TlsDoor(secured.mesh.regions.ports[REGION], certificate=other, client_ca=secured.authority.path) as door:
        secured.to(door)
        assert secured.mesh.send([("host", HOST)]).status == 503
        assert secured.mesh.served == {}


def test_who_is_vouched_for_by_another_authority_gets_nothing(secured: Secured, tmp_path: Path) -> None:
    own = CertificateAuthority(tmp_path, "stranger").issue("region", uris=[NAME])
    with TlsDoor(secured.mesh.regions.ports[REGION], certificate=own, client_ca=secured.authority.path) as door:
        secured.to(door)
        assert secured.mesh.send([("host", HOST)]).status == 503
        assert secured.mesh.served == {}


def test_a_region_that_trusts_another_authority_accepts_nobody(secured: Secured, tmp_path: Path) -> None:
    """The gateway shows its certificate: to a region that does not trust it nothing is sent."""
    own = secured.authority.issue("region", uris=[NAME])
    stranger = CertificateAuthority(tmp_path, "stranger")
    with TlsDoor(secured.mesh.regions.ports[REGION], certificate=own, client_ca=stranger.path) as door:
        secured.to(door)
        assert secured.mesh.send([("host", HOST)]).status == 503
        assert secured.mesh.served == {}
