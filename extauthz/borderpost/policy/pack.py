"""The language of policy packs: groups of places, data classes, and regimes with dated entries.

A pack is data. Each regime says when it applies and where the data may then go; what several regimes say is joined
by the rules of `decide`. Dates: a plain day means 00:00:00 UTC of that day, `from` is inclusive and `until`
exclusive, so `until: 2031-12-27` holds up to and including 2031-12-26T23:59:59.999999Z.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from borderpost.policy.fields import Classes, Code, GroupName, Identifier, Instant, Label, Places, Text, refuse_at, told
from borderpost.policy.model import Mode
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel

_FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)

Confidence = Literal["sourced", "needs-review"]
"""How far an entry's author stands behind it: read in its source, or general knowledge that somebody must check."""


class Metadata(StrictModel):
    """Who says what the pack says, and when."""

    id: Identifier
    """The pack's id; two packs of one policy never share it."""
    version: Label
    """The pack's own version, such as `2026.11.0`."""
    as_of: datetime.date
    """The day on which the facts were read; every entry without `as_of` of its own has this one."""
    review_by: datetime.date | None = None
    """The day by which somebody must read the law again; none by default, since only the author can promise it."""
    reviewed_by: tuple[Text, ...] = ()
    """Who reviewed the pack; empty means nobody did, which is what a new pack is."""
    source: Text | None = None
    """Where the facts come from, for entries that name no source; none by default."""
    parent: Identifier | None = None
    """The pack that this one narrows. A pack with a parent can only take away: its regimes do not count as the law of
    their subjects where `no_regime: refuse` asks for one, and its data classes are all protected. None by default: the
    pack then speaks for itself, and whoever lists it vouches for it."""
    builds_on: tuple[Identifier, ...] = ()
    """Packs whose groups and data classes this one uses. Built-in ones are loaded before it where the configuration
    does not list them; others must be listed before it. None by default."""
    not_legal_advice: Literal[True]
    """Must be true: who ships a list of laws says that it is no advice."""


class GroupRule(StrictModel):
    """A group made of others: all places of `all_of`, and `plus`, without `minus`."""

    all_of: tuple[GroupName, ...] = ()
    """Groups whose places all belong to this one (their union); none by default."""
    plus: tuple[Code, ...] = ()
    """Further places; none by default."""
    minus: tuple[Code, ...] = ()
    """Places taken out again, last; a country taken out takes its subdivisions along; none by default."""
    source: Text | None = None
    """Where this membership is written; none by default, for groups of one's own."""
    as_of: datetime.date | None = None
    """The day of reading; the pack's by default."""
    confidence: Confidence = "sourced"
    """`needs-review` where an author knows it only by hearsay."""


def _group_kind(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return "codes"
    return "rule" if isinstance(value, (dict, GroupRule)) else None


Group = Annotated[
    Annotated[tuple[Code, ...], Tag("codes")] | Annotated[GroupRule, Tag("rule")],
    Discriminator(
        _group_kind,
        custom_error_type="group_kind",
        custom_error_message="a group is a list of codes, or a mapping with all_of, plus and minus",
    ),
]
"""A list of codes, or a rule that makes a group of groups."""


Scale = Annotated[int, Field(ge=1, le=10**12)]


class Counter(StrictModel):
    """What a threshold law counts: transfers on named bases within a window. Each request counts as one person: a
    gateway cannot tell persons apart, and one who asks often is counted often. A prompt that holds the data of many
    counts as one too; where that is so, set thresholds lower."""

    id: Identifier
    """Never that of another counter, in any pack."""
    window: Literal["calendar-year", "12-months"] = "calendar-year"
    """`calendar-year` begins anew on 1 January in `zone`; `12-months` counts the current month and the twelve before
    it, so never less than the twelve months that such laws look back on."""
    zone: Annotated[str, StringConstraints(pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$")] = "+00:00"
    """Offset from UTC in which the year or the month begins; UTC by default."""
    bases: Annotated[tuple[Label, ...], Field(min_length=1)]
    """Bases of this regime whose use is counted: a routed request counts if its region is allowed on one of them."""
    source: Text | None = None
    """Where the counting is written; the regime's source by default."""


class Threshold(StrictModel):
    """An entry holds only on one side of a count."""

    counter: Identifier
    """A counter of the same regime."""
    count: Scale
    """The count at which the entry ends (`below`) or begins (`above`)."""


class DataClass(StrictModel):
    """A kind of data that laws tell apart."""

    implies: tuple[Identifier, ...] = ()
    """Classes that data of this class also is; none by default."""
    rank: Annotated[int, Field(ge=0, le=9)] = 1
    """Sensitivity, 0 to 9. 0 is free data that needs no law to allow it; 1 by default, since a class that somebody
    names is worth protecting."""
    mode: Mode | None = None
    """The mode of requests with this class: the strictest that it or a class that it implies sets. Of several classes
    of a request the strictest holds, one without a mode counting as the policy's default. None by default."""


class Require(StrictModel):
    """What a region must bring for an entry to count; all that is named."""

    operator_certified: Label | None = None
    """A certification among the region operator's, such as `eu-us-dpf`."""
    contract: Label | None = None
    """A contract among the region's, such as `scc-2021`."""
    tia: Literal["approved"] | None = None
    """An approved transfer impact assessment for the region."""
    attestation: Label | None = None
    """An attestation among the region's, such as `sev-snp` or `soc2-type2`."""
    encryption: Label | None = None
    """A kind of encryption among the region's, such as `in-use` or `customer-keys`."""
    operator_in: Places | None = None
    """Places in which the operator's jurisdiction surely is; an unknown one is in none."""

    @field_validator("operator_in")
    @classmethod
    def _somewhere(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise told(BorderpostError("BP0212", "an empty list is never met", mend="remove the key, or name places"))
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Require:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise told(BorderpostError("BP0212", "an empty requirement requires nothing", mend="remove the key"))
        return self


class _Entry(StrictModel):
    """What allow and deny entries share."""

    to: Places
    """Destinations: a code, a group, `*`, or a list of these."""
    from_: Annotated[Instant | None, Field(alias="from")] = None
    """First instant at which the entry holds; since ever by default."""
    until: Instant | None = None
    """First instant at which it no longer holds (exclusive); for good by default."""
    source: Text | None = None
    """Where the entry is written; the regime's source by default."""
    as_of: datetime.date | None = None
    """The day of reading; the regime's or the pack's by default."""
    confidence: Confidence = "sourced"
    """`needs-review` where an author knows it only by hearsay."""
    note: Text | None = None
    """What a reader of the entry should know; none by default."""

    @model_validator(mode="after")
    def _ordered(self) -> _Entry:
        _check_window(self.from_, self.until)
        if not self.to:
            raise told(BorderpostError("BP0212", "an entry without destination says nothing"))
        return self


class AllowEntry(_Entry):
    """Destinations that a regime allows. A region counts only if every place of it is surely among them."""

    basis: Label
    """The legal basis, as it appears in records: `art45`."""
    require: Require | None = None
    """What the region must bring; nothing by default."""
    except_data: tuple[Identifier, ...] = ()
    """Data classes for which the entry does not count; none by default."""
    only_in: Literal["hybrid"] | None = None
    """`hybrid` makes it a cross-border basis that counts only for requests in that mode; none by default, so that it
    counts for all."""
    below: Threshold | None = None
    """The entry ends for the rest of the window once the counter has reached this; none by default."""
    revocable: bool = True
    """Whether the basis can be taken away by a legal event. Where the list of events is older than `events.max_age_s`,
    only bases that are not revocable count. True by default, closed when in doubt; domestic ones say no."""


class DenyEntry(_Entry):
    """Destinations that a regime forbids. A region is hit if any place of it may be among them.

    The mirror image of an allow entry would let one more data class, or one more requirement, weaken a denial.
    So a denial is limited by the classes that it hits (`data`), and lifted by what a region brings (`unless`).
    """

    basis: Label = "denied"
    """The rule's name, as it appears in records."""
    unless: Require | None = None
    """What a region must bring to escape; nothing helps by default."""
    data: Classes = ("*",)
    """Data classes that the denial is about; any data by default."""
    operator_in: Places | None = None
    """Only regions whose operator's jurisdiction may be in these places; an unknown one may be. Any by default."""
    above: Threshold | None = None
    """The denial begins, for the rest of the window, once the counter has reached this; none by default."""

    @field_validator("operator_in")
    @classmethod
    def _somewhere(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise told(BorderpostError("BP0212", "an empty list never hits", mend="remove the key, or name places"))
        return value


class Applies(StrictModel):
    """When a regime applies: all conditions named. What is not known of a request counts as fulfilled."""

    subject_in: Places
    """Where the data subject is: a code, a group, `*`, or a list of these."""
    data: Classes = ("*",)
    """Data classes, or `*`; any data by default, the strictest reading."""
    tenant: tuple[Label, ...] | None = None
    """Only for these tenants, where the tenant is known by verified means; every tenant by default."""
    model: tuple[Label, ...] | None = None
    """Only for these models, where the model is known by trusted means; every model by default."""
    purpose: tuple[Label, ...] | None = None
    """Only for these purposes, where the purpose is known by trusted means; every purpose by default."""

    @field_validator("data", "subject_in", "tenant", "model", "purpose")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise told(BorderpostError("BP0212", "an empty list never applies", mend="remove the key, or name values"))
        return value


class Regime(StrictModel):
    """One law, or one rule of one's own."""

    id: Identifier
    """Stands in every reason that the regime gives."""
    title: Text
    """The law's name for people."""
    kind: Literal["transfer", "embargo"] = "transfer"
    """`transfer` regulates where data of its subjects goes. `embargo` refuses every request of a subject there, by
    any evidence, and no region there serves anybody. `transfer` by default: it is what most laws are."""
    applies_when: Applies
    """Which requests the regime is about."""
    default: Literal["deny", "allow"] = "deny"
    """What holds for destinations that no entry names; deny by default, closed when in doubt."""
    basis: Label | None = None
    """With `default: allow`, the basis on which anything not denied may go. Without it the regime only denies: it
    does not count as the law of its subjects where `no_regime: refuse` asks for one. None by default, so that a
    denial of one's own never becomes a permission."""
    from_: Annotated[Instant | None, Field(alias="from")] = None
    """First instant at which the regime applies; since ever by default."""
    until: Instant | None = None
    """First instant at which it no longer applies (exclusive); for good by default."""
    source: Text
    """Where the law is written. Required: a rule without source cannot be checked."""
    as_of: datetime.date | None = None
    """The day of reading; the pack's by default."""
    confidence: Confidence = "sourced"
    """`needs-review` where an author knows it only by hearsay."""
    note: Text | None = None
    """What a reader should know; none by default."""
    allow: tuple[AllowEntry, ...] = ()
    """Destinations allowed; none by default."""
    deny: tuple[DenyEntry, ...] = ()
    """Destinations forbidden, whatever `allow` says; none by default."""
    counters: tuple[Counter, ...] = ()
    """What the thresholds of its entries count; none by default."""

    @model_validator(mode="after")
    def _coherent(self) -> Regime:
        _check_window(self.from_, self.until)
        refuse_at("Regime", _uncounted(self))
        if self.kind == "embargo" and (self.allow or self.default == "allow" or self.deny or self.basis):
            raise told(BorderpostError("BP0212", "an embargo refuses; it has no default, basis or entries of its own"))
        if self.kind == "embargo" and "*" in self.applies_when.subject_in:
            raise told(BorderpostError("BP0212", "an embargo on `*` would refuse every request"))
        if self.default == "deny" and self.basis is not None:
            raise told(BorderpostError("BP0212", "`basis` belongs to `default: allow`; here each entry has its own"))
        same: list[tuple[tuple[str | int, ...], BorderpostError]] = []
        for kind, entries in (("allow", self.allow), ("deny", self.deny)):
            same += [((kind, index), error) for index, error in _said_twice(kind, entries)]
        refuse_at("Regime", same)
        return self


def _check_window(start: datetime.datetime | None, end: datetime.datetime | None) -> None:
    if start is not None and end is not None and end <= start:
        raise told(BorderpostError("BP0207", f"`until` ({end.date()}) does not come after `from` ({start.date()})"))


def _uncounted(regime: Regime) -> list[tuple[tuple[str | int, ...], BorderpostError]]:
    """Find counters given twice or over no basis of the regime, and thresholds on a counter that it does not have."""
    found: list[tuple[tuple[str | int, ...], BorderpostError]] = []
    counters = [counter.id for counter in regime.counters]
    bases = {entry.basis for entry in regime.allow} | ({regime.basis} if regime.basis else set())
    for index, counter in enumerate(regime.counters):
        if counters.index(counter.id) < index:
            error = BorderpostError("BP0206", f"counter `{counter.id}` is defined already")
            found.append((("counters", index, "id"), error))
        for position, basis in enumerate(counter.bases):
            if basis not in bases:
                error = BorderpostError("BP0219", f"`{basis}` is no basis of regime `{regime.id}`")
                found.append((("counters", index, "bases", position), error))
    thresholds = [(("allow", index, "below", "counter"), entry.below) for index, entry in enumerate(regime.allow)]
    thresholds += [(("deny", index, "above", "counter"), entry.above) for index, entry in enumerate(regime.deny)]
    for path, threshold in thresholds:
        if threshold is not None and threshold.counter not in counters:
            error = BorderpostError("BP0219", f"regime `{regime.id}` has no counter `{threshold.counter}`")
            found.append((path, error))
    return found


def _said_twice(kind: str, entries: tuple[_Entry, ...]) -> list[tuple[int, BorderpostError]]:
    """Find entries that say what an earlier one says, for times that overlap."""
    seen: dict[object, list[tuple[datetime.datetime, datetime.datetime, int]]] = {}
    found = []
    ignored = {"from_", "until", "source", "as_of", "confidence", "note", "to"}
    for index, entry in enumerate(entries):
        said = (frozenset(entry.to), entry.model_dump_json(exclude=ignored))
        start, end = entry.from_ or _FIRST, entry.until or _LAST
        windows = seen.setdefault(said, [])  # in order, and none meets another: only neighbours can meet this one
        at = bisect.bisect_left(windows, (start, end, index))
        met = [earlier for began, ended, earlier in windows[max(0, at - 1) : at + 1] if began < end and start < ended]
        if met:
            detail = f"says the same as {kind}[{met[0]}] for times that overlap"
            found.append((index, BorderpostError("BP0208", detail)))
        else:
            windows.insert(at, (start, end, index))
    return found


class Rules(StrictModel):
    """Groups, data classes and regimes: what a pack holds, and what a deployment may add inline."""

    groups: Mapping[GroupName, Group] = {}
    """Groups of places by name; none by default."""
    data_classes: Mapping[Identifier, DataClass] = {}
    """Data classes by name; none by default."""
    regimes: tuple[Regime, ...] = ()
    """Regimes, in the order in which people read them; order never changes the law. None by default."""


class PolicyPack(Rules):
    """A file of law as data."""

    apiVersion: Literal["residency/v1"]
    """The language's version."""
    kind: Literal["PolicyPack"]
    """What the file is."""
    metadata: Metadata
    """Who says it, and when."""
