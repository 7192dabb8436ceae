"""The sections `limiter.store` and `limiter.global_store`: servers that keep counters. Shapes only: no I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from borderpost_base.errors import BadValue
from borderpost_base.redis_address import RedisAddress, RedisLogin

HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$")]
"""`HOST:PORT`; an IPv6 address stands in brackets."""
Prefix = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7a]{0,64}$")]
"""Printable ASCII without a space and without braces, which are a Cluster's hash tag."""
SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""As the names under `sinks`."""


class Endpoint(NamedTuple):
    """Where one server listens."""

    host: str = ""
    port: int = 0
    socket: str = ""
    """Path of a Unix socket; then host and port say nothing."""
    tls: bool = False
    database: int = 0


class RedisStoreSpec(RedisLogin):
    """Redis or Valkey as the store. One of `url`, `sentinels` and `cluster` says how it is found."""

    url: str | None = Field(default=None, max_length=1024)
    """One server: `redis://HOST:PORT/DB`, `rediss://…` for TLS, or `unix:///PATH?db=DB`. Without name and password:
    `username` and `password_file` let you in."""

    sentinels: tuple[HostPort, ...] = ()
    """Sentinels, as `HOST:PORT`, that say where the primary is; needs `primary`. A failover is followed."""

    primary: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,128}$")
    """The name under which the Sentinels watch the primary, such as `mymaster`."""

    sentinel_username: str | None = Field(default=None, max_length=256)
    """User of the Sentinels' access list; null is their default user."""

    sentinel_password_file: Path | None = None
    """File with the Sentinels' password; null sends none."""

    cluster: tuple[HostPort, ...] = ()
    """Servers of a Cluster, as `HOST:PORT`; one that answers is enough, the others are learnt from it."""

    one_slot_a_domain: bool = False
    """In a Cluster: whether all counters of a domain lie in one slot, by the hash tag `{DOMAIN}`. A request is then
    counted atomically and by one script call, and one server counts the whole domain. Otherwise its counters are
    spread over all servers, each counts its part of a request by itself, and what a request that is refused has
    charged elsewhere is given back a moment later."""

    tls: bool = False
    """Whether `sentinels` or `cluster` are spoken to by TLS; a `url` says that itself."""

    database: int = Field(default=0, ge=0, le=9999)
    """Number of the database of the primary that Sentinels name; a `url` says that itself, a Cluster has one."""

    prefix: Prefix = "borderpost:"
    """What all names of counters begin with, so that others can use the same server."""

    near_cache_entries: int = Field(default=65_536, ge=0, le=10_000_000)
    """How many counters that are over the limiter remembers, each until it may be below again, so that a flood of
    refused requests does not reach the server; about 0.5 KiB each. 0 remembers none."""

    sink: SinkName | None = None
    """The name under `sinks` that says where the servers stand and who runs them. Inside `borderpost serve` it is
    required: counters are named by values of requests, so the law must allow the place."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else RedisAddress.plain_address(value)

    @field_validator("sentinels", "cluster")
    @classmethod
    def _ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in value:
            if not 0 < int(place.rpartition(":")[2]) < 65536:
                raise BadValue("BP0104", f"`{place}` names no port between 1 and 65535")
        return value

    @field_validator("near_cache_entries")
    @classmethod
    def _room_for_two(cls, value: int) -> int:
        if value == 1:
            raise BadValue("BP0104", "`near_cache_entries` is 0, or 2 and more")
        return value

    @model_validator(mode="after")
    def _found_in_one_way(self) -> Self:
        if sum((self.url is not None, bool(self.sentinels), bool(self.cluster))) != 1:
            raise BadValue("BP0104", "one of `url`, `sentinels` and `cluster` says where the server is")
        if (self.primary is not None) != bool(self.sentinels):
            raise BadValue("BP0104", "`sentinels` and `primary` go together")
        if not self.sentinels and (self.sentinel_username or self.sentinel_password_file or self.database):
            raise BadValue("BP0104", "`sentinel_username`, `sentinel_password_file`, `database` go with `sentinels`")
        if self.one_slot_a_domain and not self.cluster:
            raise BadValue("BP0104", "`one_slot_a_domain` is for a `cluster`")
        if self.url is not None and self.tls:
            raise BadValue("BP0104", "`tls` is for `sentinels` and `cluster`; a URL with TLS begins with `rediss://`")
        by_tls = self.tls or (self.url or "").startswith("rediss:")
        if not by_tls and (self.ca or self.certificate or self.key):
            raise BadValue("BP0104", "`ca`, `certificate` and `key` are for TLS: `rediss://` or `tls: true`")
        return self

    @property
    def endpoint(self) -> Endpoint:
        """Return where the one server listens; for `url`."""
        assert self.url is not None
        address = RedisAddress(url=self.url)
        return Endpoint(address.host, address.port, address.socket, address.scheme == "rediss", address.database)

    @property
    def cluster_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the servers of the Cluster that are named."""
        return tuple(_endpoint(place, tls=self.tls) for place in self.cluster)

    @property
    def sentinel_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the Sentinels."""
        return tuple(_endpoint(place, tls=self.tls) for place in self.sentinels)

    @property
    def sentinel_login(self) -> RedisLogin:
        """Return how the Sentinels let us in."""
        return RedisLogin(
            username=self.sentinel_username,
            password_file=self.sentinel_password_file,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            timeout_s=self.timeout_s,
        )


class GlobalRedisSpec(RedisStoreSpec):
    """The store of limits whose scope is global: counters that regions share."""

    key_file: Path
    """File with a secret of 16 bytes or more, the same in all regions. Keys of counters leave the region only as their
    hash under it (BLAKE2b), so that who sees the server learns nothing of whom they are about."""


def _endpoint(place: str, *, tls: bool) -> Endpoint:
    host, _, port = place.rpartition(":")
    return Endpoint(host.strip("[]"), int(port), tls=tls)
