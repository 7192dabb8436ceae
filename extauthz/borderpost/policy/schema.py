"""The sections of the configuration that law is made from. Shapes only: no I/O.

`pack` holds the language of packs, `event_schema` that of legal events; here is what a deployment says of itself: its
regions, its own place, its sinks, which evidence it believes, its tenants and routes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from borderpost.policy import codes
from borderpost.policy.fields import (
    ClusterName,
    Code,
    Country,
    HeaderName,
    Identifier,
    Label,
    OrAlone,
    Places,
    Text,
    checked,
    refuse_at,
)
from borderpost.policy.model import Mode, Source
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
    "Elsewhere",
    "EvidenceSpec",
    "GeoipSource",
    "Group",
    "GroupRule",
    "HeaderNames",
    "HeaderSource",
    "Here",
    "InlineRules",
    "Metadata",
    "MtlsSource",
    "Operator",
    "OwnProcessors",
    "PolicyPack",
    "PolicySection",
    "Processor",
    "Regime",
    "RegionSpec",
    "Require",
    "RouteSpec",
    "Rules",
    "Sink",
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
    attestations: tuple[Label, ...] = ()
    """What is attested of the place, such as `sev-snp` or `soc2-type2`; none by default, since each opens a way."""
    encryption: tuple[Label, ...] = ()
    """Kinds of encryption in force there, such as `in-use` or `customer-keys`; none by default."""

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


class Sink(Processor):
    """A place outside this gateway to which it sends what it knows: a bucket, a Redis, a collector of telemetry. The
    law must allow it like any other processor of the request."""


def _elsewhere(value: Any) -> Any:
    """Read a place of retention or telemetry that is given as one word."""
    if isinstance(value, str) and re.fullmatch(r"unknown|none|same|global|zone:[A-Za-z][A-Za-z0-9_]{0,63}", value):
        return value
    if isinstance(value, str):
        country, suffix = codes.split_code(value)
        return {"country": country, "subdivision": value if suffix else None}
    return value


class _ShortForm:
    """Lets the JSON Schema know that a place may be given by its code alone."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        words, place = handler(core)["oneOf"]
        return {"anyOf": [words, {"type": "string", "pattern": codes.PATTERN}, place]}


Elsewhere = Annotated[
    Annotated[
        str, StringConstraints(pattern=r"^(unknown|none|same|global|zone:[A-Za-z][A-Za-z0-9_]{0,63})$"), Tag("word")
    ]
    | Annotated[Processor, Tag("place")],
    Discriminator(
        lambda value: "word" if isinstance(value, str) else "place" if isinstance(value, (dict, Processor)) else None,
        custom_error_type="elsewhere",
        custom_error_message="`none`, `same`, `global`, `zone:GROUP`, a place's code, or a mapping with country",
    ),
    checked(_elsewhere),
    _ShortForm(),
]
"""Where something is kept: `none` (nowhere), `same` (in the region's own place), `zone:EU` (anywhere in a group),
`global` (anywhere), `unknown` (which counts as `global`), a code (there, by the region's own operator), or a mapping
like a region's (there; where it names no operator, contracts or anything else, by the region's own)."""


class RegionSpec(Processor):
    """A region that requests can be sent to."""

    cluster: ClusterName | None = None
    """Name of the Envoy cluster; the region's id by default, so that a plain set-up says each name once."""
    processing_scope: Annotated[
        str, StringConstraints(pattern=r"^(single|global|zone:[A-Za-z][A-Za-z0-9_]{0,63})$")
    ] = "single"
    """Where the endpoint may process what it is sent: in its own place, anywhere in a group (`zone:EU`), or
    anywhere at all (`global`, which no regime that denies by default can allow). `single` by default, because most
    endpoints are; read the provider's contract."""
    retention: Elsewhere = "unknown"
    """Where prompts and answers are kept after the inference, for abuse monitoring, caching or training. `unknown` by
    default, which counts as anywhere: an endpoint's own place says nothing of it."""
    telemetry: Elsewhere = "unknown"
    """Where what the endpoint logs of a request goes. `unknown` by default, which counts as anywhere."""

    @property
    def zone(self) -> str | None:
        """Return the group that the region processes in, if its scope is a zone."""
        return self.processing_scope.removeprefix("zone:") if self.processing_scope.startswith("zone:") else None


class RegionDefaults(StrictModel):
    """What holds for each region that does not say it itself."""

    retention: Elsewhere = "unknown"
    """Where prompts and answers are kept; `unknown` by default, which counts as anywhere."""
    telemetry: Elsewhere = "unknown"
    """Where what the endpoint logs goes; `unknown` by default, which counts as anywhere."""


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
    issuers: tuple[Text, ...] = ()
    """Issuers (`iss`) whose claims are believed; a token of another one ends the request. Empty by default: whatever
    `jwt_authn` lets through."""


class MtlsSource(StrictModel):
    """Where a client certificate states the subject's place."""

    san_prefix: Text
    """Start of the URI SAN; what follows is the code: `spiffe://example/residency/` + `DE`. No default: only the
    owner of a certificate authority knows its names."""


class HeaderSource(StrictModel):
    """The header in which a client asserts the subject's place. It can only narrow."""

    name: HeaderName = "x-data-residency"
    """The header's name."""


class GeoipSource(StrictModel):
    """How far what the GeoIP databases say of an address is believed. What is not believed is unknown: it places
    nobody; an embargo on the place it names still holds."""

    min_confidence: Annotated[int, Field(ge=0, le=100)] = 80
    """Least confidence in percent, of databases that state it (GeoIP2 Enterprise); 80 by default, where MaxMind draws
    its own line between likely and not. A database that states none is believed."""
    anonymiser: Literal["unknown", "believe"] = "unknown"
    """What an address is worth that `geoip.anonymisers` flags as VPN, proxy or Tor exit; `unknown` by default, since
    such an address says where the exit is and not where the person is."""
    hosting: Literal["unknown", "believe"] = "unknown"
    """The same for addresses of hosting networks; `unknown` by default, since people do not sit in data centres. Say
    `believe` where the callers are servers."""


class HeaderNames(StrictModel):
    """Headers that describe the request. They can only tighten the floor of tenant and route."""

    data_class: HeaderName = "x-data-class"
    """Data classes, separated by commas."""
    tenant: HeaderName = "x-tenant"
    """Tenant's name."""
    model: HeaderName = "x-model"
    """Model's name."""
    purpose: HeaderName = "x-purpose"
    """What the request is for."""


class TreatAs(StrictModel):
    """Treat an unknown subject as being in all of these places at once."""

    treat_as: Annotated[tuple[Code, ...], Field(min_length=1)]
    """Codes; the union of their law holds."""


Unknown = Annotated[
    Annotated[Literal["refuse"], Tag("word")] | Annotated[TreatAs, Tag("places")],
    Discriminator(
        lambda value: "word" if isinstance(value, str) else "places" if isinstance(value, (dict, TreatAs)) else None,
        custom_error_type="unknown",
        custom_error_message="`refuse`, or a mapping with treat_as",
    ),
]
"""What holds for a subject whose place is unknown."""


class EvidenceSpec(StrictModel):
    """Which evidence is read, and what holds where it does not say enough."""

    token: TokenSource | None = TokenSource()
    """Claims of a verified token; read by default, since only Envoy's own filter can write that metadata."""
    mtls: MtlsSource | None = None
    """SAN of a verified client certificate; not read by default."""
    header: HeaderSource | None = HeaderSource()
    """Header in which clients assert a place; read by default, since it can only narrow."""
    geoip: GeoipSource = GeoipSource()
    """How far the address is believed; always read."""
    headers: HeaderNames = HeaderNames()
    """Names of the headers that describe a request."""
    subdivision_unknown: Literal["country-only", "strictest", "refuse"] = "country-only"
    """What holds where only the country is known and a regime is about a part of it. `country-only` reads the place
    as none of the parts that policy names, `strictest` as any of them, `refuse` refuses the request.
    `country-only` by default: most databases know no subdivisions, and `strictest` would embargo all of Ukraine for
    Crimea's sake. Each such decision is marked in its record."""
    unknown: Unknown = "refuse"
    """What holds for a subject whose place is unknown; `refuse` by default, closed when in doubt."""
    default_classes: tuple[Identifier, ...] = ("personal",)
    """Data classes of a request for which neither tenant nor route sets any; `personal` by default, because people
    write prompts, and the strictest common reading costs a legal region, not a breach."""
    trust_model_header: bool = False
    """Whether the model header is set by something trusted, so that a regime's `model` condition may rely on it; no
    by default, since any client can write it."""
    trust_purpose_header: bool = False
    """Whether the purpose header is set by something trusted, so that a regime's `purpose` condition may rely on it;
    no by default. A purpose set by tenant or route is trusted anyway."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TenantSpec(StrictModel):
    """What holds for requests of one tenant, once it is known by verified means."""

    san: Annotated[tuple[Text, ...], BeforeValidator(_as_list), OrAlone()] = ()
    """URI or DNS SANs of client certificates that prove the tenant; none by default."""
    classes: tuple[Identifier, ...] | None = None
    """Floor: data classes of all its requests. None by default: then the route's floor or the default classes hold."""
    trust_declared_class: bool = False
    """Whether this tenant's declared data class may stand in place of the floor; no by default, since a floor that
    a header can lower is none."""
    require_evidence: tuple[Source, ...] = ()
    """Sources that must have spoken (`token`, `mtls`, `header`, `geoip`); none by default."""
    mode: Mode | None = None
    """The mode of its requests; where tenant, route and data classes set several, the strictest holds. None by
    default: then the others' or the policy's holds."""
    purpose: Label | None = None
    """What its requests are for; none by default."""


class RouteSpec(StrictModel):
    """What holds for requests of one Envoy route, by its name."""

    classes: tuple[Identifier, ...] | None = None
    """Floor: data classes of all its requests. None by default: then the tenant's floor or the default classes hold."""
    tenant: Label | None = None
    """The tenant that the route belongs to, verified by configuration; none by default."""
    require_evidence: tuple[Source, ...] = ()
    """Sources that must have spoken; none by default."""
    mode: Mode | None = None
    """The mode of its requests; where tenant, route and data classes set several, the strictest holds. None by
    default: then the others' or the policy's holds."""
    purpose: Label | None = None
    """What its requests are for; none by default, and where the tenant names another, both are taken to be possible."""


class OwnProcessors(StrictModel):
    """When `here` and the sinks are held to the law."""

    checked: Literal["per-request", "at-load"] = "per-request"
    """`per-request` refuses each request that the law does not let this gateway or a sink see. `at-load` refuses the
    whole policy, and still each request, if some law about `subjects` and protected data does not. `per-request` by
    default: with laws of many countries loaded, no gateway may see them all."""
    subjects: Places = ("*",)
    """Whose law counts at load; everybody's by default."""


class InlineRules(Rules):
    """Rules of this deployment's own, and what holds where no rule is known."""

    mode: Mode = Mode.LEGAL_FIRST
    """The mode of requests for which neither tenant nor route nor data class sets one; `legal-first` by default."""
    processors: OwnProcessors = OwnProcessors()
    """When this gateway's own place and its sinks are held to the law."""

    no_regime: Literal["refuse", "allow"] = "refuse"
    """What holds where no law is known for a subject's place and protected data. `refuse` by default: data of a
    place that policy forgot must not go anywhere for that reason. Free data (rank 0) needs no law."""


class PolicySection(InlineRules):
    """The configuration's `policy` section: packs by name or path, and rules of one's own that can only narrow them."""

    packs: tuple[Text, ...] = ("starter",)
    """Built-in packs, collections of them (`starter`, `world`), or paths of YAML files, in order; `starter` by default,
    so that a first file works."""

    review_grace_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """How many days past a pack's `review_by` the daily warning becomes an error; a quarter by default, in which
    somebody can be found to read the law again."""

    @property
    def inline(self) -> InlineRules:
        """Return the section without the packs' names, which are this machine's and decide nothing."""
        return InlineRules(**{name: getattr(self, name) for name in InlineRules.model_fields})
