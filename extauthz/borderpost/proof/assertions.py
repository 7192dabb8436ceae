"""Assertions: what a deployment promises of its law, in a file beside it. Shapes only.

apiVersion: residency/v1
kind: PolicyAssertions
assertions:
  - id: health-stays
    says: Health data of a subject in the EEA never reaches a region outside the EEA.
    when: {subject_in: EEA, data: health}
    never: {outside: EEA}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from borderpost.policy import check, codes
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.fields import Classes, Identifier, Instant, Label, OrAlone, Places, Text, refuse_at, told
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel, YamlDocument, validate


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Labels = Annotated[tuple[Label, ...], Field(min_length=1), BeforeValidator(_listed), OrAlone()]
Ids = Annotated[tuple[Identifier, ...], Field(min_length=1), BeforeValidator(_listed), OrAlone()]
Data = Annotated[Classes, Field(min_length=1), BeforeValidator(_listed), OrAlone()]


class When(StrictModel):
    """The requests that an assertion is about: all that is named holds. A request is meant also if more holds of it."""

    subject_in: Places = ("*",)
    """Where the data subject is, by any piece of evidence that is believed: a code that lies wholly in these places and
    groups. `*` by default, which means subjects of unknown place too."""
    data: Data | None = None
    """Data classes, by declaration, floor or implication; `*` is any request, also one without data. By default any
    request with protected data (rank above 0). For `always`, requests with data of these classes and no others."""
    tenant: Labels | None = None
    """Tenants, known by verified means; every request by default."""
    model: Labels | None = None
    """Models, where the model's header is trusted; every request by default."""
    purpose: Labels | None = None
    """Purposes, where they are known by trusted means; every request by default."""


class Never(StrictModel):
    """Regions that such a request never reaches: those of which all that is named holds."""

    outside: Places | None = None
    """Regions that work, retain or tell anywhere outside these places, or may; any region by default."""
    inside: Places | None = None
    """Regions that work, retain or tell anywhere in these places, or may; any region by default."""
    operator_outside: Places | None = None
    """Regions whose operator is not surely in these places alone; any operator by default."""
    operator_in: Places | None = None
    """Regions whose operator may be in these places; any operator by default."""
    regions: Ids | None = None
    """Regions by id; any by default."""
    basis: Labels | None = None
    """Regions that are legal on one of these bases (`regime/basis`, or a basis of any regime); any basis by default."""

    @model_validator(mode="after")
    def _says_something(self) -> Never:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            detail = "an empty `never` forbids every region; say `inside: '*'` if that is meant"
            raise told(BorderpostError("BP1201", detail))
        return self


class Always(StrictModel):
    """What such a request always has, if all its evidence agrees on one place."""

    regions: Annotated[int, Field(ge=1, le=300)] | None = None
    """Least number of legal regions; none by default."""
    operators: Annotated[int, Field(ge=1, le=300)] | None = None
    """Least number of operators (`operator.entity`) among the legal regions; regions that name none count as one
    operator together. None by default."""
    reaches: Ids | None = None
    """Regions that are legal, by id; none by default."""

    @model_validator(mode="after")
    def _says_something(self) -> Always:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise told(BorderpostError("BP1201", "an empty `always` promises nothing", mend="name `regions: 1`"))
        return self


class Assertion(StrictModel):
    """One promise."""

    id: Identifier
    """Stands in every result; never that of another assertion."""
    says: Text
    """The promise in a sentence, for people."""
    when: When = When()
    """The requests that it is about; every one with protected data by default."""
    never: Never | None = None
    """What must not be; none by default."""
    always: Always | None = None
    """What must be; none by default."""
    from_: Annotated[Instant | None, Field(alias="from")] = None
    """First instant at which it must hold; from the first instant that is looked at by default."""
    until: Instant | None = None
    """First instant at which it need no longer hold (exclusive); for good by default."""

    @model_validator(mode="after")
    def _claims(self) -> Assertion:
        if (self.never is None) == (self.always is None):
            detail = f"`{self.id}` says {'neither' if self.never is None else 'both'} `never` and `always`"
            raise told(BorderpostError("BP1201", detail, mend="say one of them"))
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise told(BorderpostError("BP0207", "`until` does not come after `from`"))
        return self


class PolicyAssertions(StrictModel):
    """A file of assertions."""

    apiVersion: Literal["residency/v1"]
    """The language's version."""
    kind: Literal["PolicyAssertions"]
    """What the file is."""
    assertions: Annotated[tuple[Assertion, ...], Field(min_length=1, max_length=1000)]
    """The promises, in any order."""

    @model_validator(mode="after")
    def _distinct(self) -> PolicyAssertions:
        ids = [assertion.id for assertion in self.assertions]
        twice = [(index, one) for index, one in enumerate(ids) if one in ids[:index]]
        found = [
            (("assertions", index, "id"), BorderpostError("BP1201", f"there is an assertion `{one}` above already"))
            for index, one in twice
        ]
        refuse_at("PolicyAssertions", found)
        return self


def read_assertions(document: YamlDocument, bundle: PolicyBundle, regions: Iterable[str]) -> tuple[Assertion, ...]:
    """Validate a file of assertions against the policy that they are about. Raises Problems, each with its line.

    A name that the policy does not have is one: an assertion about it would hold whatever the policy says.
    """
    file = validate(PolicyAssertions, document)
    names = tuple(regions)
    found = [
        (("assertions", index, *path), error)
        for index, assertion in enumerate(file.assertions)
        for path, error in _unknown(assertion, bundle, names)
    ]
    check.raise_found(found, document)
    return file.assertions


def _unknown(assertion: Assertion, bundle: PolicyBundle, regions: tuple[str, ...]) -> Iterator[check.Finding]:
    known = bundle.vocabulary
    when, never, always = assertion.when, assertion.never, assertion.always
    places = [(("when", "subject_in"), when.subject_in)]
    if never is not None:
        for key in ("outside", "inside", "operator_outside", "operator_in"):
            places.append((("never", key), getattr(never, key) or ()))
    for path, refs in places:
        for index, ref in enumerate(refs):
            if ref != "*" and not codes.is_code(ref) and ref not in known.groups:
                yield (*path, index), check.unknown_group(ref, known)
    for index, name in enumerate(when.data or ()):
        if name != "*" and name not in known.classes:
            yield ("when", "data", index), check.unknown_class(name, known)
    conditions = [regime.applies_when for regime in bundle.regimes]
    tenants = {*bundle.tenants, *(name for one in conditions for name in one.tenant or ())}
    for index, name in enumerate(when.tenant or ()):
        if name not in tenants:
            yield ("when", "tenant", index), check.unknown_name("BP0214", "tenant", name, tenants)
    if when.model is not None and not bundle.evidence.trust_model_header:
        detail = "no model is known by trusted means, so no request is meant"
        mend = "set `evidence.trust_model_header` where the header is set by something trusted, or leave `model` out"
        yield ("when", "model"), BorderpostError("BP1201", detail, mend=mend)
    for key, ids in (("never", never and never.regions), ("always", always and always.reaches)):
        inner = "regions" if key == "never" else "reaches"
        for index, region_id in enumerate(ids or ()):
            if region_id not in regions:
                yield (key, inner, index), check.unknown_region(region_id, regions)
    labels = {f"{regime.id}/{entry.basis}" for regime in bundle.regimes for entry in regime.allow}
    labels |= {f"{regime.id}/{regime.basis}" for regime in bundle.regimes if regime.basis is not None}
    bases = labels | {label.partition("/")[2] for label in labels}
    for index, name in enumerate((never and never.basis) or ()):
        if name not in bases:
            yield ("never", "basis", index), check.unknown_name("BP0222", "basis", name, bases)
