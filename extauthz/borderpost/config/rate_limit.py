"""A rate-limit service that Envoy asks after it asked Borderpost: where it is, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from borderpost.config.mesh_fields import Address, FileInProxy, Port
from borderpost.policy.fields import HeaderName, Label, Text
from borderpost_base.errors import BadValue, BorderpostError
from borderpost_base.names import METADATA_NAMESPACE
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath

if TYPE_CHECKING:  # workers need of this module which facts there are, and nothing of a limiter
    from borderpost.config.limiter import LimiterSection

Fact: TypeAlias = Literal["class", "jurisdiction", "model", "purpose", "region", "tenant"]
"""What a decision knows of a request, by its key in the metadata of our answer; `-` where it does not know."""


def _not_reserved(key: str) -> str:
    if key.startswith(f"{METADATA_NAMESPACE}."):
        raise BadValue("BP1670", f"`{key}` begins with `{METADATA_NAMESPACE}.`")
    return key


UsagePath: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,7}$")
]
"""Where a number stands in a JSON object: keys from the outside in, joined by dots."""


class DescriptorEntry(StrictModel):
    """One key of a rate limit's descriptor, and where its value is taken from: exactly one source."""

    key: Annotated[Label, AfterValidator(_not_reserved)]
    """The key, as the limits know it. Those that begin with `borderpost.` are reserved."""

    value: Text | None = None
    """A value that is always the same."""

    fact: Fact | None = None
    """What Borderpost found of the request: `tenant`, `jurisdiction` (where several hold, joined by commas), `region`
    (the one chosen; with `failover`, each that may serve the request, in order, joined by commas), `class` (data
    classes, sorted, joined by commas), `model`, `purpose`. Where it knows nothing the value is `-`, which is limited
    like any other."""

    header: HeaderName | None = None
    """A request header; without it the descriptor is left out, so it limits only those who send it."""

    claim: Label | None = None
    """A claim of the verified token that is text; without it the descriptor is left out."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.value, self.fact, self.header, self.claim)) != 1:
            raise BadValue("BP0104", "exactly one of `value`, `fact`, `header` and `claim` is needed")
        return self


class Descriptor(StrictModel):
    """One thing that is asked of each request, and what is told of it at its end."""

    keys: Annotated[tuple[DescriptorEntry, ...], Field(min_length=1, max_length=8)]
    """Keys that hold together, in the order in which the limits nest them."""

    charge: UsagePath | None = None
    """Where in the JSON of a response stands what the request has used, such as `usage.total_tokens`: that much is
    charged when its stream has ended, and nothing where the response does not say it. At its beginning the request
    only asks, and a limit of the kind `budget` reserves its estimate. JSON is held back until it is whole
    (`response_bytes_max`), and asked for uncompressed; streamed responses (server-sent events) pass as they come, and
    are read where Envoy has the filter for it."""

    release: bool = False
    """Whether the end of the request is told, for limits of the kind `concurrency`."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.charge is not None and self.release:
            raise BadValue("BP1671", "`charge` and `release` stand in one descriptor")
        return self


class RateLimitSpec(StrictModel):
    """A rate-limit service (Envoy's RLS v3), asked about requests that Borderpost has let pass."""

    domain: Label
    """The domain of its limits."""

    host: Address | None = None
    """Its address or name, on the network."""

    port: Port = 8081
    """Its port; 8081 is what envoyproxy/ratelimit listens on."""

    socket: FileInProxy | None = None
    """Its Unix socket, in place of `host`. With neither it is the limiter that runs inside `borderpost serve`."""

    service: Literal["borderpost", "other"] | None = None
    """Who answers there: `borderpost ratelimit`, which is told each request's decision id, so that both records name
    it, or another service such as envoyproxy/ratelimit, which would take the id for part of a limit. null: `other`
    with `host` or `socket`, else `borderpost`."""

    when_unreachable: Literal["refuse", "admit"]
    """Whether requests are refused while it does not answer. No default: Envoy's own is to admit them all, and nobody
    should get that by leaving out a line."""

    timeout_ms: int = Field(default=100, ge=1, le=10_000)
    """How long it may take."""

    response_bytes_max: int = Field(default=4 << 20, ge=64 << 10, le=256 << 20)
    """The longest JSON response that is read for a `charge`, in bytes: Envoy holds it back whole, and a longer one
    gives the client a 500. Each of its connections may take as much memory, so say no more than your models answer.
    On Istio it stays at Envoy's own 1 MiB, unless you patch the gateway's listener."""

    descriptors: Annotated[tuple[Descriptor, ...], Field(min_length=1, max_length=32)]
    """What it is asked."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.host is not None and self.socket is not None:
            raise BadValue("BP0104", "at most one of `host` and `socket` is needed")
        if self.service == "other" and self.is_inside:
            raise BadValue("BP1672", "with `service: other` one of `host` and `socket` says where it is")
        if not self.names_requests and any(one.release for one in self.descriptors):
            raise BadValue("BP1671", "`release` needs `service: borderpost`: others know no leases")
        return self

    @property
    def is_inside(self) -> bool:
        """Return whether the limiter of `borderpost serve` is meant."""
        return self.host is None and self.socket is None

    @property
    def names_requests(self) -> bool:
        """Return whether descriptors carry the request's decision id, in a reserved key."""
        return self.is_inside if self.service is None else self.service == "borderpost"

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return the facts that descriptors ask for, sorted."""
        entries = (entry for one in self.descriptors for entry in one.keys)
        return tuple(sorted({entry.fact for entry in entries if entry.fact is not None}))

    @property
    def charges(self) -> tuple[str, ...]:
        """Return where responses are read, sorted."""
        return tuple(sorted({one.charge for one in self.descriptors if one.charge is not None}))


def rate_limit_mistakes(
    spec: RateLimitSpec | None, limiter: LimiterSection | None
) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Yield where Envoy would ask a limiter that it cannot reach."""
    if spec is None or not spec.is_inside:
        return
    if limiter is None:
        yield ("rate_limit",), BorderpostError("BP1672", "there is no section `limiter`, and no `host` or `socket`")
    elif limiter.server.tls is not None:
        detail = "the limiter listens with TLS, which the rendered Envoy does not speak to it"
        mend = "Give it a Unix socket: `limiter.server.listen: unix`."
        yield ("limiter", "server", "tls"), BorderpostError("BP1672", detail, mend=mend)
    elif limiter.server.listen == "tcp" and limiter.server.port == 0:
        detail = "`limiter.server.port` is 0, so nobody can know it before the start"
        yield ("limiter", "server", "port"), BorderpostError("BP1672", detail, mend="Name a port, or a Unix socket.")
