"""The sections of the configuration that belong to no other part: server, admin, logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from borderpost_base.errors import BadValue
from borderpost_base.limits import WORKERS_MAX
from borderpost_base.logs import configure_logs
from borderpost_base.strict import StrictModel
from borderpost_wire.callers import Callers
from borderpost_wire.errors import OptionsError

Account: TypeAlias = str | Annotated[int, Field(strict=True, ge=0, le=0xFFFF_FFFE)]
"""A user or group, by name or number; 2^32 - 1 stands for nobody (chown(2))."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class TlsSpec(StrictModel):
    """Certificates of a network listener."""

    certificate: Path
    """PEM file with the server's certificate and its chain. It is watched, as `key` and `client_ca` are: once they fit
    together, a renewed certificate is shown to whoever connects from then on, and no stream is dropped for it."""

    key: Path
    """PEM file with the certificate's private key."""

    client_ca: Path | None = None
    """PEM file with the authorities whose client certificates are accepted. With it every client must present one,
    which is how a gateway shows that it is the one allowed to ask; without it anyone who reaches the port may."""

    client_sans: tuple[str, ...] = ()
    """Names of client certificates that may ask, by their subject alternative names: SPIFFE ids, such as
    `spiffe://cluster.local/ns/ai-gateway/sa/ai-gateway`, or DNS names. Each is compared whole; there are no wildcards.
    With neither these nor `client_trust_domains`, whoever `client_ca` vouches for may ask: name your gateway if that
    authority serves others too."""

    client_trust_domains: tuple[str, ...] = ()
    """SPIFFE trust domains, such as `cluster.local`, of which every workload may ask; none by default, since a trust
    domain mostly has many workloads that are no gateways."""

    @field_validator("client_sans", "client_trust_domains")
    @classmethod
    def _names_mean_one_thing(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = frozenset(value)
        try:
            Callers(names) if info.field_name == "client_sans" else Callers(trust_domains=names)
        except OptionsError as error:
            raise BadValue("BP0505", str(error)) from error
        return value

    @model_validator(mode="after")
    def _names_need_an_authority(self) -> Self:
        if self.callers and self.client_ca is None:
            detail = "`client_sans` and `client_trust_domains` need `client_ca`: without it no certificate is asked for"
            raise BadValue("BP0104", detail)
        return self

    @property
    def callers(self) -> Callers:
        """Return whose certificates may ask."""
        return Callers(frozenset(self.client_sans), frozenset(self.client_trust_domains))

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files, all of which are read together."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path is not None)


class DoorSpec(StrictModel):
    """Where Envoy reaches a process, and who may ask it."""

    listen: Literal["unix", "tcp"] = "unix"
    """`unix` keeps the door in the file system, where permissions decide who may ask; `tcp` is for an Envoy in
    another container or on another machine."""

    mode: str = "0660"
    """Permissions of the sockets, octal and quoted. 0660 lets the owner and one group in: Envoy's group."""

    user: Account | None = None
    """Owner of the sockets, a name or a number; null leaves the user that runs Borderpost."""

    group: Account | None = None
    """Group of the sockets, a name or a number: usually Envoy's; null leaves the group that runs Borderpost."""

    peer_users: tuple[Account, ...] = ()
    """Users, by name or number, whose processes may ask over the sockets: usually Envoy's. The kernel vouches for them
    (SO_PEERCRED), and others are cut off even where the permissions would let them in. Where neither this nor
    `peer_groups` names anybody, the permissions alone decide. Needs `listen: unix` and the engine `wire`."""

    peer_groups: tuple[Account, ...] = ()
    """Primary groups, by name or number, whose processes may ask over the sockets, beside those of `peer_users`:
    one of the two lists has to name the peer."""

    host: str = "127.0.0.1"
    """Address of a `tcp` listener. Beyond loopback it needs `tls` with `client_ca`, since whoever reaches the port
    could ask for decisions and write into the record."""

    tls: TlsSpec | None = None
    """Certificates of a `tcp` listener."""

    engine: Literal["auto", "grpcio", "wire"] = "auto"
    """Which gRPC server answers: `wire`, our own, which costs a small part of the other's CPU, or `grpcio`,
    which others have exposed to networks for years. `auto` is `wire` on Unix sockets, where only a proxy of your own
    speaks to it, and `grpcio` on a network address. Both pass the same tests."""

    drain_s: float = Field(default=5.0, ge=0.0, le=600.0)
    """Seconds that a process goes on answering after it was told to stop, so that Envoy can turn to another. One that
    is replaced ends sooner, once Envoy has gone to its successor."""

    @property
    def lets_the_network_in(self) -> bool:
        """Return whether a listener beyond loopback may do without certificates of its callers."""
        return False

    @field_validator("mode", mode="before")
    @classmethod
    def _quoted_octal(cls, value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(r"0[0-7]{3}", value):
            raise BadValue("BP0104", "an octal mode of four digits is needed here", mend='Quote it: `"0660"`.')
        if int(value, 8) & 0o007:
            raise BadValue(
                "BP0104",
                f"mode {value} lets every local user ask for decisions",
                mend='Use `"0660"` and give Envoy\'s group in `group`.',
            )
        return value

    @model_validator(mode="after")
    def _door_is_guarded(self) -> Self:
        if self.listen == "unix" and self.tls is not None:
            raise BadValue("BP0104", "`tls` is for `listen: tcp`; a Unix socket is guarded by its permissions")
        if self.peer_users or self.peer_groups:
            if self.listen == "tcp":
                raise BadValue("BP0503", "`peer_users` and `peer_groups` are for `listen: unix`")
            if self.engine == "grpcio":
                raise BadValue("BP0503", "the engine `grpcio` cannot keep `peer_users` or `peer_groups`")
        guarded = self.lets_the_network_in or (self.tls is not None and self.tls.client_ca is not None)
        if self.listen == "tcp" and self.host not in _LOOPBACK and not guarded:
            raise BadValue(
                "BP0104",
                f"a listener on {self.host} without `tls.client_ca` lets anyone who reaches it ask for decisions",
                mend="Set `tls` with `client_ca`, or listen on loopback or a Unix socket.",
            )
        return self


class ServerSpec(DoorSpec):
    """Where Envoy reaches the workers."""

    directory: Path = Path("run/server")
    """Directory of the sockets, `worker-0.sock` and so on. It is made with the mode that `mode` implies and should
    hold nothing else: who may enter it may ask for decisions."""

    port: int = Field(default=9443, ge=0, le=65535)
    """Port of the first worker of a `tcp` listener; worker n listens on `port` + n. 0 lets the system choose."""

    workers: int = Field(default=1, ge=1, le=WORKERS_MAX)
    """Worker processes, each with its own socket and audit stream. One decides several thousand requests a second;
    add more up to the number of cores that Envoy leaves free. After a worker has been replaced (a reload that needs
    it), there is one stream more than there are workers."""

    def socket_of(self, index: int) -> Path:
        """Return the socket of one worker."""
        return self.directory / f"worker-{index}.sock"

    @model_validator(mode="after")
    def _ports_are_there(self) -> Self:
        if self.listen == "tcp" and self.port and self.port + self.workers - 1 > 65535:
            raise BadValue("BP0104", "`port` + `workers` goes beyond port 65535")
        return self


class AdminSpec(StrictModel):
    """Where health and metrics are served: `/livez`, `/readyz`, `/metrics`."""

    host: str = "127.0.0.1"
    """Address of the admin server. Loopback by default: what it shows (regions, counts, versions) is nobody else's
    business. On any other address it answers `/livez` and `/readyz`, for probers, without saying more than yes or no,
    and everything else only to whoever shows the token of `token_file`. In a pod, name the pod's address if a prober
    or scraper is to reach it."""

    token_file: Path | None = None
    """File with the bearer token (`Authorization: Bearer …`) that opens what probers do not need, `/metrics` first of
    all; on loopback too, where it is given. 16 to 4096 bytes, a newline at its end does not count. It is read at every
    request that shows one, so that it can be changed. null: nothing else is served beyond loopback."""

    port: int = Field(default=9464, ge=0, le=65535)
    """Port of the admin server; 9464 is what OpenTelemetry registers for Prometheus exporters. 0 lets the system
    choose."""

    @property
    def is_guarded(self) -> bool:
        """Return whether what probers do not need takes a token, also where there is none that would do."""
        return self.token_file is not None or self.host not in _LOOPBACK


class LogsSpec(StrictModel):
    """How the processes log, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level that is written. Decisions are never logged here, whatever the level: they are in the
    audit log, and a client's address is in neither."""

    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is readable lines in a terminal and JSON elsewhere."""

    def apply(self, process: str) -> None:
        """Have this process log so, under this name."""
        as_json = {"auto": None, "json": True, "console": False}[self.format]
        configure_logs(level=self.level, json=as_json, process=process)
