"""Tests of a policy as YAML: requests in a person's words, and what shall become of them.

    apiVersion: residency/v1
    kind: PolicyTests
    request: {at: 2026-11-21, classes: [personal]}         # what holds for each case that does not say it
    groups:
      - name: People in the Union
        cases:
          - name: stay there with their health data
            each: {country: [DE, FR, IE]}                  # the case is asked once for each of these
            request: {classes: [health]}
            expect: {only: [eu-central-1, eu-west-1], includes: [eu-west-1]}

A case's request is the file's, overlaid by the group's, by the case's own, and by one value of each list in `each`; its
expectations likewise. Shapes only: `hearing` asks, `expectations` compares.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from borderpost.policy import check
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.fields import Code, Identifier, Instant, Label, RouteName, Text, format_instant, refuse_at
from borderpost.policy.model import Mode
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import KeyPath, StrictModel, YamlDocument, validate


class DescribedRequest(StrictModel):
    """A request as a person would describe it. What is not said is absent, as in a request without it."""

    country: Code | None = None
    """Where GeoIP places the client's address: a country or a subdivision. Unknown by default."""
    doubt: Literal["anonymiser", "hosting", "confidence"] | None = None
    """Why the address is not to be believed; whether that counts is up to `evidence.geoip`. No doubt by default."""
    token: Text | None = None
    """The residency that a verified token claims; no token by default."""
    certificate: Text | None = None
    """The residency in the SAN of a verified client certificate, without its prefix; none by default."""
    header: Text | None = None
    """The residency that the client asserts in the header; none by default."""
    sans: tuple[Text, ...] = ()
    """Further names in the verified client certificate; none by default."""
    tenant: Label | None = None
    """The tenant as it is proved: by a token's claim where tokens are read, else by the route; none by default."""
    tenant_header: Text | None = None
    """The tenant that the client names in the header; none by default."""
    classes: tuple[Identifier, ...] = ()
    """Data classes that the client declares. None by default: then the floors or the default classes hold."""
    model: Text | None = None
    """The model that the client names; none by default."""
    purpose: Text | None = None
    """The purpose that the client names; none by default."""
    route: RouteName | None = None
    """Envoy's route; none by default."""


class CaseRequest(DescribedRequest):
    """A described request of a test, and the circumstances in which it is asked."""

    at: Instant | None = None
    """When; the instant of the run by default, so say it where the answer shall not change by itself."""
    stale: bool = False
    """Whether the list of legal events is older than `events.max_age_s`; no by default."""
    events: tuple[LegalEvent, ...] = ()
    """Legal events supposed besides those configured; what widens counts as signed by two. None by default."""


def _or_list(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


class Expectation(StrictModel):
    """What shall become of a request. All that is said must hold, and something must be said."""

    legal: tuple[Identifier, ...] | None = None
    """Exactly these regions are legal; not asked by default."""
    only: tuple[Identifier, ...] | None = None
    """No other region is legal; a refused request meets it. Not asked by default."""
    includes: tuple[Identifier, ...] | None = None
    """These regions are legal, others may be; not asked by default."""
    excludes: tuple[Identifier, ...] | None = None
    """None of these regions is legal; not asked by default."""
    refused: bool | Text | None = None
    """The reason for which the request is refused (`no-legal-region`, `embargo`); `true` for any reason, `false` if it
    shall be routed. Not asked by default."""
    ruling: Literal["legal", "forbidden", "evidence", "rejected"] | None = None
    """What law rules; `rejected` where it is not even asked, since the request is malformed. Not asked by default."""
    basis: Mapping[Identifier, Text | tuple[Text, ...]] | None = None
    """For regions: bases among those that allow them, `eu-gdpr/art45-dpf`. Not asked by default."""
    why_not: Mapping[Identifier, Text] | None = None
    """For regions: the reason for which each is refused, `eu-gdpr/no-basis`. Not asked by default."""
    regimes: tuple[Identifier, ...] | None = None
    """Exactly these regimes apply; not asked by default."""
    events: tuple[Identifier, ...] | None = None
    """Exactly these legal events take part; not asked by default."""
    mode: Mode | None = None
    """The mode that holds; not asked by default."""

    def bases_of(self, region: str) -> tuple[str, ...]:
        """Return the bases expected of a region."""
        return _or_list((self.basis or {})[region])


_LISTS: dict[str, Any] = {
    name: (
        Annotated[tuple[field.annotation, ...], Field(min_length=1)] | None,  # type: ignore[name-defined]
        Field(None, description=f"Values of `{name}`, one a request; the request's own by default."),
    )
    for name, field in CaseRequest.model_fields.items()
}
Each = create_model(
    "Each",
    __base__=StrictModel,
    __doc__="Lists of values of a request's keys: the case is asked for every combination of them.",
    **_LISTS,
)


class CaseSpec(StrictModel):
    """One case, or one a combination of `each`."""

    name: Text
    """What it says, for people."""
    request: CaseRequest = CaseRequest()
    """The request; the group's by default."""
    each: Each = Each()
    """Lists of values; one request by default."""
    expect: Expectation = Expectation()
    """What shall become of it; the group's by default."""


class CaseGroup(StrictModel):
    """Cases that belong together, and what they share."""

    name: Text
    """What they are about, for people."""
    request: CaseRequest = CaseRequest()
    """What holds for each of its cases that does not say it; the file's by default."""
    expect: Expectation = Expectation()
    """The same for expectations; the file's by default."""
    cases: Annotated[tuple[CaseSpec, ...], Field(min_length=1)]
    """The cases, in order."""


class CaseFile(StrictModel):
    """A file of tests."""

    apiVersion: Literal["residency/v1"]
    """The language's version."""
    kind: Literal["PolicyTests"]
    """What the file is."""
    request: CaseRequest = CaseRequest()
    """What holds for each case that does not say it; nothing by default."""
    expect: Expectation = Expectation()
    """The same for expectations; nothing by default."""
    groups: tuple[CaseGroup, ...] = ()
    """Groups of cases; none by default."""
    cases: tuple[CaseSpec, ...] = ()
    """Cases in no group; none by default."""

    @model_validator(mode="after")
    def _has_cases(self) -> CaseFile:
        if not self.groups and not self.cases:
            refuse_at("CaseFile", [((), BorderpostError("BP1210", "there is no case in the file"))])
        return self


@dataclass(frozen=True, slots=True)
class Case:
    """One request to ask and what to expect of it."""

    group: str
    """Empty for cases in no group."""
    name: str
    asked: str
    """Which combination of `each` it is (`country: DE`); empty where there is one only."""
    request: CaseRequest
    expect: Expectation
    place: Place
    """Where the case stands in its file."""

    @property
    def title(self) -> str:
        """Return the case's whole name."""
        name = f"{self.group} / {self.name}" if self.group else self.name
        return f"{name} ({self.asked})" if self.asked else name


def read_cases(document: YamlDocument, bundle: PolicyBundle, regions: Mapping[str, object]) -> tuple[Case, ...]:
    """Read a file of tests for a configuration.

    Raises Problems with file and line: for what does not fit the form, for regions, classes, regimes and tenants that
    the configuration does not have (a test that names them would prove nothing), and for cases that expect nothing.
    """
    file = validate(CaseFile, document)
    cases: list[Case] = []
    found: list[check.Finding] = []
    for path, group, spec in _specs(file):
        if len(cases) + math.prod(map(len, _lists(spec).values())) > limits.POLICY_CASES_MAX:
            detail = f"more than {limits.POLICY_CASES_MAX} cases, counted up to `{spec.name}`"
            raise BorderpostError("BP1211", detail, place=document.place(path))
        cases += _expanded(file, group, spec, path, document)
        if cases[-1].expect == Expectation():
            error = BorderpostError("BP1210", f"`{spec.name}` expects nothing", mend="add `expect`")
            found.append((path, error))
    for path, requests, expect in _parts(file):
        found += [((*path, *inner), error) for inner, error in _unknown(requests, expect, bundle, regions)]
    check.raise_found(found, document)
    return tuple(cases)


def _specs(file: CaseFile) -> Iterator[tuple[KeyPath, CaseGroup | None, CaseSpec]]:
    """Yield each case with where it stands."""
    for index, spec in enumerate(file.cases):
        yield ("cases", index), None, spec
    for index, group in enumerate(file.groups):
        for position, spec in enumerate(group.cases):
            yield ("groups", index, "cases", position), group, spec


def _lists(spec: CaseSpec) -> dict[str, tuple[Any, ...]]:
    """Return the lists of `each` that are given, by key of the request."""
    return {name: getattr(spec.each, name) for name in CaseRequest.model_fields if getattr(spec.each, name)}


def _expanded(
    file: CaseFile, group: CaseGroup | None, spec: CaseSpec, path: KeyPath, document: YamlDocument
) -> Iterator[Case]:
    """Yield one case for each combination of `each`."""
    levels: list[CaseFile | CaseGroup | CaseSpec] = [file, *([group] if group is not None else []), spec]
    request = _overlaid([level.request for level in levels])
    expect = Expectation(**_overlaid([level.expect for level in levels]))
    lists = _lists(spec)
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        asked = ", ".join(f"{name}: {_shown(value)}" for name, value in chosen.items())
        yield Case(
            group.name if group is not None else "",
            spec.name,
            asked,
            CaseRequest(**{**request, **chosen}),
            expect,
            document.place(path),
        )


def _overlaid(models: list[Any]) -> dict[str, Any]:
    """Return the fields that are said, each by the last that says it."""
    return {name: getattr(model, name) for model in models for name in sorted(model.model_fields_set)}


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, datetime):
        return told_instant(value)
    return value.id if isinstance(value, LegalEvent) else str(value)


def told_instant(at: datetime) -> str:
    """Return an instant as people write it in these files: the day alone where it is the day's first instant."""
    return format_instant(at).removesuffix("T00:00:00.000000Z")


def _parts(file: CaseFile) -> Iterator[tuple[KeyPath, list[tuple[KeyPath, CaseRequest]], Expectation]]:
    """Yield every request (those of `each` too) and expectation as they are written, each with where it stands."""
    yield (), [(("request",), file.request)], file.expect
    for index, group in enumerate(file.groups):
        yield ("groups", index), [(("request",), group.request)], group.expect
    for path, _, spec in _specs(file):
        lists = {name: getattr(spec.each, name) or () for name in CaseRequest.model_fields}
        asked = [
            (("each", name, position), CaseRequest(**{name: value}))
            for name, values in lists.items()
            for position, value in enumerate(values)
        ]
        yield path, [(("request",), spec.request), *asked], spec.expect


def _unknown(
    requests: list[tuple[KeyPath, CaseRequest]], expect: Expectation, bundle: PolicyBundle,
    regions: Mapping[str, object],
) -> Iterator[check.Finding]:  # fmt: skip
    """Find names that the configuration does not have."""
    known = bundle.vocabulary
    for key in ("legal", "only", "includes", "excludes", "basis", "why_not"):
        for index, region in enumerate(getattr(expect, key) or ()):
            if region not in regions:
                inner = region if key in ("basis", "why_not") else index
                yield ("expect", key, inner), check.unknown_region(region, regions)
    for index, regime in enumerate(expect.regimes or ()):
        if regime not in known.regimes:
            yield ("expect", "regimes", index), check.unknown_name("BP0222", "regime", regime, known.regimes)
    for path, request in requests:
        for index, name in enumerate(request.classes):
            if name not in known.classes:
                yield (*path, "classes", index), check.unknown_class(name, known)
        if request.tenant is not None and request.tenant not in bundle.tenants:
            yield (*path, "tenant"), check.unknown_name("BP0214", "tenant", request.tenant, bundle.tenants)
        for index, event in enumerate(request.events):
            for inner, error in check.check_events([event], regions, known):
                if error.code != "BP0224":  # supposed, so nobody need sign it
                    yield (*path, "events", index, *inner[2:]), error
