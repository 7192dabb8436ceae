"""The sections of the configuration that law is made from, and the events file. Shapes only: no I/O.

`pack` holds the language of packs; here is what a deployment says of itself: its regions, its own place, which
evidence it believes, its tenants and routes, and the legal events that it has recorded.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from borderpost.policy.fields import Code, Country, HeaderName, Identifier, Instant, Label, Text, refuse_at, told
from borderpost.policy.model import Source
from borderpost.policy.pack import (
    AllowEntry,
    Applies,
    DataClass,
    DenyEntry,
    Group,
    GroupRule,
    Metadata,
    PolicyPack,
    Regime,
    Require,
    Rules,
)
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel

__all__ = [
    "AllowEntry",
    "Applies",
    "DataClass",
    "DenyEntry",
    "EventScope",
    "EventsFile",
    "EvidenceSpec",
    "Group",
    "GroupRule",
    "HeaderNames",
    "HeaderSource",
    "Here",
    "InlineRules",
    "LegalEvent",
    "Metadata",
    "MtlsSource",
    "Operator",
    "PolicyPack",
    "PolicySection",
    "Processor",
    "Regime",
    "RegionSpec",
    "Require",
    "RouteSpec",
    "Rules",
    "TenantSpec",
    "TokenSource",
    "TreatAs",
]


class Operator(StrictModel):
    """Who runs a region: residency is where a machine stands, sovereignty is who can be compelled."""

    entity: Text | None = None
    """The legal person, for records and people; unknown by default."""
    jurisdiction: Code | None = None
    """Where that person can be compelled; unknown by default."""
    certifications: tuple[Label, ...] = ()
    """Schemes that the operator is certified under, such as `eu-us-dpf`; none by default, since each opens a way."""


class Processor(StrictModel):
    """A place where requests are processed, and what its operator brings."""

    country: Country
    """ISO 3166-1 alpha-2 code of the place."""
    subdivision: Code | None = None
    """ISO 3166-2 code or sub-country jurisdiction (`DE-HE`, `AE-DIFC`). Unknown by default: then the place counts
    as possibly anywhere in its country, the strictest reading."""
    operator: Operator = Operator()
    """Who runs it; unknown by default."""
    contracts: tuple[Label, ...] = ()
    """Contracts in force with the operator, such as `scc-2021`; none by default, since each opens a way."""
    tia: Literal["approved"] | None = None
    """`approved` where a transfer impact assessment was made and approved; none by default."""

    @model_validator(mode="after")
    def _inside(self) -> Processor:
        if self.subdivision is not None and not self.subdivision.startswith(self.country + "-"):
            error = BorderpostError("BP0202", f"`{self.subdivision}` is not a subdivision of {self.country}")
            refuse_at("Processor", [(("subdivision",), error)])
        return self

    @property
    def place(self) -> str:
        """Return the most exact code known of the place."""
        return self.subdivision or self.country


class Here(Processor):
    """This gateway's own place. It reads every request, so the law must allow it like any other processor."""


class RegionSpec(Processor):
    """A region that requests can be sent to."""

    cluster: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")] | None = None
    """Name of the Envoy cluster; the region's id by default, so that a plain set-up says each name once."""
    processing_scope: Annotated[
        str, StringConstraints(pattern=r"^(single|global|zone:[A-Za-z][A-Za-z0-9_]{0,63})$")
    ] = "single"
    """Where the endpoint may process what it is sent: in its own place, anywhere in a group (`zone:EU`), or
    anywhere at all (`global`, which no regime that denies by default can allow). `single` by default, because most
    endpoints are; read the provider's contract."""

    @property
    def zone(self) -> str | None:
        """Return the group that the region processes in, if its scope is a zone."""
        return self.processing_scope.removeprefix("zone:") if self.processing_scope.startswith("zone:") else None


class TokenSource(StrictModel):
    """Where a verified token's claims stand: Envoy's `jwt_authn` filter leaves them as dynamic metadata."""

    namespace: Label = "envoy.filters.http.jwt_authn"
    """Metadata namespace; the filter's own by default."""
    payload_key: Label = "payload"
    """Key below it (`payload_in_metadata` of the filter); `payload` by default, the name Envoy's docs use."""
    residency_claim: Text = "residency"
    """Claim with the subject's place code."""
    tenant_claim: Text = "tenant"
    """Claim with the tenant's name."""


class MtlsSource(StrictModel):
    """Where a client certificate states the subject's place."""

    san_prefix: Text
    """Start of the URI SAN; what follows is the code: `spiffe://example/residency/` + `DE`. No default: only the
    owner of a certificate authority knows its names."""


class HeaderSource(StrictModel):
    """The header in which a client asserts the subject's place. It can only narrow."""

    name: HeaderName = "x-data-residency"
    """The header's name."""


class HeaderNames(StrictModel):
    """Headers that describe the request. They can only tighten the floor of tenant and route."""

    data_class: HeaderName = "x-data-class"
    """Data classes, separated by commas."""
    tenant: HeaderName = "x-tenant"
    """Tenant's name."""
    model: HeaderName = "x-model"
    """Model's name."""


class TreatAs(StrictModel):
    """Treat an unknown subject as being in all of these places at once."""

    treat_as: Annotated[tuple[Code, ...], Field(min_length=1)]
    """Codes; the union of their law holds."""


class EvidenceSpec(StrictModel):
    """Which evidence is read, and what holds where it does not say enough."""

    token: TokenSource | None = TokenSource()
    """Claims of a verified token; read by default, since only Envoy's own filter can write that metadata."""
    mtls: MtlsSource | None = None
    """SAN of a verified client certificate; not read by default."""
    header: HeaderSource | None = HeaderSource()
    """Header in which clients assert a place; read by default, since it can only narrow."""
    headers: HeaderNames = HeaderNames()
    """Names of the headers that describe a request."""
    subdivision_unknown: Literal["country-only", "strictest", "refuse"] = "country-only"
    """What holds where only the country is known and a regime is about a part of it. `country-only` reads the place
    as none of the parts that policy names, `strictest` as any of them, `refuse` refuses the request.
    `country-only` by default: most databases know no subdivisions, and `strictest` would embargo all of Ukraine for
    Crimea's sake. Each such decision is marked in its record."""
    unknown: Literal["refuse"] | TreatAs = "refuse"
    """What holds for a subject whose place is unknown; `refuse` by default, closed when in doubt."""
    default_classes: tuple[Identifier, ...] = ("personal",)
    """Data classes of a request for which neither tenant nor route sets any; `personal` by default, because people
    write prompts, and the strictest common reading costs a legal region, not a breach."""
    trust_model_header: bool = False
    """Whether the model header is set by something trusted, so that a regime's `model` condition may rely on it; no
    by default, since any client can write it."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TenantSpec(StrictModel):
    """What holds for requests of one tenant, once it is known by verified means."""

    san: Annotated[tuple[Text, ...], BeforeValidator(_as_list)] = ()
    """URI or DNS SANs of client certificates that prove the tenant; none by default."""
    classes: tuple[Identifier, ...] | None = None
    """Floor: data classes of all its requests. None by default: then the route's floor or the default classes hold."""
    trust_declared_class: bool = False
    """Whether this tenant's declared data class may stand in place of the floor; no by default, since a floor that
    a header can lower is none."""
    require_evidence: tuple[Source, ...] = ()
    """Sources that must have spoken (`token`, `mtls`, `header`, `geoip`); none by default."""


class RouteSpec(StrictModel):
    """What holds for requests of one Envoy route, by its name."""

    classes: tuple[Identifier, ...] | None = None
    """Floor: data classes of all its requests. None by default: then the tenant's floor or the default classes hold."""
    tenant: Label | None = None
    """The tenant that the route belongs to, verified by configuration; none by default."""
    require_evidence: tuple[Source, ...] = ()
    """Sources that must have spoken; none by default."""


class InlineRules(Rules):
    """Rules of this deployment's own, and what holds where no rule is known."""

    no_regime: Literal["refuse", "allow"] = "refuse"
    """What holds where no law is known for a subject's place and protected data. `refuse` by default: data of a
    place that policy forgot must not go anywhere for that reason. Free data (rank 0) needs no law."""


class PolicySection(InlineRules):
    """The configuration's `policy` section: packs by name or path, and rules of one's own that can only narrow them."""

    packs: tuple[Text, ...] = ("starter",)
    """Built-in names, or paths of YAML files, in order; the starter pack by default, so that a first file works."""

    @property
    def inline(self) -> InlineRules:
        """Return the section without the packs' names, which are this machine's and decide nothing."""
        return InlineRules(**{name: getattr(self, name) for name in InlineRules.model_fields})


class EventScope(StrictModel):
    """What an event is about."""

    regions: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    """Region ids."""


class LegalEvent(StrictModel):
    """Something that happened to the law, with the time it holds and the time at which it became known."""

    id: Identifier
    """Never used again; stands in the reason that the event gives."""
    type: Literal["region_suspend"]
    """`region_suspend` takes regions out of every legal set."""
    scope: EventScope
    """What it is about."""
    effective_from: Instant
    """First instant at which it holds, in law."""
    effective_until: Instant | None = None
    """First instant at which it no longer holds (exclusive); until further notice by default."""
    recorded_at: Instant
    """When it became known here; it is never in force before."""
    source: Text
    """Who ordered it, and where that is written."""
    reason: Text
    """Why, in a sentence for people."""

    @model_validator(mode="after")
    def _ordered(self) -> LegalEvent:
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise told(BorderpostError("BP0207", "`effective_until` does not come after `effective_from`"))
        return self


class EventsFile(StrictModel):
    """The events file: append-only, so that what was known when can be told later."""

    apiVersion: Literal["residency/v1"] = "residency/v1"
    """The language's version; there is one."""
    kind: Literal["LegalEvents"] = "LegalEvents"
    """What the file is."""
    events: tuple[LegalEvent, ...] = ()
    """Events in the order in which they became known."""

    @model_validator(mode="after")
    def _append_only(self) -> EventsFile:
        found: list[tuple[tuple[str | int, ...], BorderpostError]] = []
        seen: dict[str, int] = {}
        for index, event in enumerate(self.events):
            if event.id in seen:
                detail = f"id `{event.id}` is already that of events[{seen[event.id]}]"
                found.append((("events", index, "id"), BorderpostError("BP0210", detail)))
            seen.setdefault(event.id, index)
            if index and event.recorded_at < self.events[index - 1].recorded_at:
                detail = f"`{event.id}` was recorded before the event above it"
                found.append((("events", index, "recorded_at"), BorderpostError("BP0210", detail)))
        refuse_at("EventsFile", found)
        return self
