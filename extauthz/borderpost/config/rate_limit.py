"""A rate-limit service that Envoy asks after it asked Borderpost: where it is, and what it is asked."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from borderpost.config.mesh_fields import Address, FileInProxy, Port
from borderpost.policy.fields import HeaderName, Label, Text
from borderpost_base.errors import BadValue
from borderpost_base.strict import StrictModel


class DescriptorEntry(StrictModel):
    """One key of a rate limit's descriptor, and where its value is taken from: exactly one source."""

    key: Label
    """The key, as the limits know it."""

    value: Text | None = None
    """A value that is always the same."""

    header: HeaderName | None = None
    """A request header; without it the descriptor is left out."""

    claim: Label | None = None
    """A claim of the verified token; without it the descriptor is left out."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.value, self.header, self.claim)) != 1:
            raise BadValue("BP0104", "exactly one of `value`, `header` and `claim` is needed")
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
    """Its Unix socket, in place of `host`."""

    when_unreachable: Literal["refuse", "admit"]
    """Whether requests are refused while it does not answer. No default: Envoy's own is to admit them all, and nobody
    should get that by leaving out a line."""

    timeout_ms: int = Field(default=100, ge=1, le=10_000)
    """How long it may take."""

    descriptors: Annotated[
        tuple[Annotated[tuple[DescriptorEntry, ...], Field(min_length=1, max_length=8)], ...], Field(min_length=1)
    ]
    """What it is asked: each is a list of keys that hold together."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.host is None) == (self.socket is None):
            raise BadValue("BP0104", "exactly one of `host` and `socket` is needed")
        return self
