"""How an Istio gateway reaches regions: the part of the section `istio` that stands there for each region."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from borderpost.config.mesh_fields import Endpoint, FileInProxy, HostName, Labels, Network, Port, SecretName
from borderpost_base.errors import BadValue
from borderpost_base.strict import StrictModel


class RegionTls(StrictModel):
    """How the gateway speaks TLS to a region."""

    mode: Literal["simple", "mutual", "mesh", "off"] = "simple"
    """`simple` checks the region's certificate, `mutual` also shows one, `mesh` is Istio's own mTLS between sidecars,
    `off` is plain text. `simple` by default: what goes to a region are prompts."""

    sni: HostName | None = None
    """Name asked for in the handshake; the region's host if null."""

    names: tuple[Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,1024}$")], ...] = ()
    """Subject alternative names of which the region's certificate must have one; its host by default, for `mesh` the
    accounts that Istio knows of the service. A SPIFFE identity pins the workload: `spiffe://cluster.local/ns/…/sa/…`."""

    credential: SecretName | None = None
    """Secret of Kubernetes, in the gateway's namespace, with the authority and for `mutual` the certificate; null takes
    the files, or the authorities of the proxy's image."""

    ca: FileInProxy | None = None
    """PEM file in the proxy with the authorities that may vouch for the region; null trusts those of its image."""

    certificate: FileInProxy | None = None
    """PEM file in the proxy with the gateway's certificate, for `mutual`."""

    key: FileInProxy | None = None
    """PEM file in the proxy with its private key, for `mutual`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        files = self.ca is not None or self.certificate is not None or self.key is not None
        if self.credential is not None and files:
            raise BadValue("BP0104", "`credential` stands in place of `ca`, `certificate` and `key`")
        if self.mode == "mutual" and self.credential is None and (self.certificate is None or self.key is None):
            raise BadValue("BP0104", "`mutual` needs `credential`, or `certificate` and `key`")
        if self.mode != "mutual" and (self.certificate is not None or self.key is not None):
            raise BadValue("BP0104", "`certificate` and `key` are for `mode: mutual`")
        if self.mode in ("mesh", "off") and (self.credential is not None or self.ca is not None):
            raise BadValue("BP0104", f"`mode: {self.mode}` uses no certificates of your own")
        return self


class IstioRegion(StrictModel):
    """How the gateway reaches one region. One host is one region, so that nothing balances out of it."""

    host: HostName
    """The service: a name outside the mesh, or `SERVICE.NAMESPACE.svc.cluster.local` with `in_mesh`. The region's
    cluster is named after it, `outbound|443||HOST`."""

    port: Port = 443
    """The service's port; 443 by default."""

    in_mesh: bool = False
    """Whether Kubernetes or another ServiceEntry already has the service. False has a ServiceEntry rendered."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=1000)] = ()
    """Addresses or names, with `:PORT` where it differs; empty asks DNS for the host."""

    labels: Labels | None = None
    """Which of the service's pods are the region's, where one host has several (a service of many clusters:
    `topology.istio.io/cluster: eu1`). Each region of the host needs other values for the same labels."""

    tls: RegionTls | None = None
    """How TLS is spoken; null is `simple`, in the mesh `mesh`."""

    networks: Annotated[tuple[Network, ...], Field(max_length=256)] = ()
    """Where its addresses lie, for the NetworkPolicy; addresses under `endpoints` are known already."""

    pods: Labels | None = None
    """Labels of the region's pods, `in_mesh` and in this cluster: for the NetworkPolicy, and so that they accept the
    gateway alone and by mTLS."""

    pod_port: Port | None = None
    """The port that those pods listen on; the service's if null."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.in_mesh and self.endpoints:
            raise BadValue("BP0104", "`endpoints` are for a service that the mesh does not have (`in_mesh: false`)")
        if not self.in_mesh and (self.pods is not None or self.labels is not None):
            raise BadValue("BP0104", "`labels` and `pods` are of a service in the mesh (`in_mesh: true`)")
        if self.pods is not None and self.service_namespace is None:
            raise BadValue("BP0104", "`pods` need a `host` of the form SERVICE.NAMESPACE.svc.…")
        if self.tls is not None and self.tls.mode == "mesh" and not self.in_mesh:
            raise BadValue("BP0104", "`mode: mesh` is for a service in the mesh (`in_mesh: true`)")
        return self

    @property
    def security(self) -> RegionTls:
        """How TLS is spoken, with its default."""
        return self.tls if self.tls is not None else RegionTls(mode="mesh" if self.in_mesh else "simple")

    @property
    def service_namespace(self) -> str | None:
        """The namespace in the host's name, None for a name outside the cluster."""
        parts = self.host.split(".")
        return parts[1] if len(parts) > 2 and parts[2] == "svc" else None
