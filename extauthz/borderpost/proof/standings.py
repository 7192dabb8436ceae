"""What a request brings beside place and time, as far as some policies tell it apart.

A request's route, tenants, model, purpose and declared classes become facts by the extractor that live requests go
through, so floors, modes and required evidence act as they do live. What gives every side the same facts for every
declaration is one standing; within a standing, declarations that the law does not tell apart are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, NamedTuple, cast

from borderpost.facts import Extracted, Extractor, RawRequest
from borderpost.geoip import Locator
from borderpost.geoip.locator import Whereabouts
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec
from borderpost.proof.data_effects import NO_EFFECT, Effect, joined
from borderpost.proof.grounds import Side
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

SOMEBODY: Final = "somebody-else"
"""A verified tenant that no configuration names."""
SOMETHING: Final = "something-else"
"""A model or a purpose that no rule names."""
_SAMPLE: Final = "DE"
_BELIEVED: Final = "192.0.2.1"
_DOUBTED: Final = "192.0.2.2"


class Asking(NamedTuple):
    """A request without its place: what its caller and its route say."""

    route: str | None = None
    tenant: str | None = None
    """A tenant verified by a token's claim, or by route metadata where no token is read."""
    named: str | None = None
    """A tenant that only the header names."""
    model: str | None = None
    purpose: str | None = None
    sources: tuple[Source, ...] = (Source.GEOIP,)
    """Who says where the subject is: all say the same."""
    declared: tuple[str, ...] = ()
    """Data classes by the header, sorted."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether the address's place is believed, for each side: what one side believes another may doubt."""

    name: str
    """`believed`, `anonymiser`, `hosting` or `confidence`."""
    confidence: int
    """Confidence in percent that the database states."""


BELIEVED: Final = Doubt("believed", 100)


class Also(NamedTuple):
    """What has to be told apart besides, because somebody asks about it."""

    places: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


class Scope(NamedTuple):
    """What can matter of data classes to one side's law of some places."""

    classes: int
    """Mask of the classes that are told apart."""
    regimes: int
    """Mask of the regimes that may be about a subject there."""


class _Addresses:
    """Stands in for the database: two addresses in one place, one of them in doubt."""

    def lookup(self, address: str) -> Whereabouts:
        if address not in (_BELIEVED, _DOUBTED):
            raise ValueError("no address")
        return Whereabouts(_SAMPLE, doubt="anonymiser" if address == _DOUBTED else None)


class Reader:
    """One side's reading of requests."""

    def __init__(self, side: Side, also: Also) -> None:
        self.side = side
        bundle = side.policy.bundle
        self.evidence: EvidenceSpec = bundle.evidence
        self.tenants = bundle.tenants
        self.routes = bundle.routes
        self._extractor = Extractor(
            bundle.evidence, bundle.tenants, bundle.routes, cast("Locator", _Addresses()), mode=bundle.inline.mode
        )
        self._told = _told(side, also)
        self._read: dict[tuple[Asking, bool], Facts | None] = {}

    def facts(self, asking: Asking, *, doubted: bool = False) -> Facts | None:
        """Return the facts of a request from one sample place, None where it is refused before the law is asked.

        With `doubted` the address is not believed. What is declared is either added to a floor or stands in its place,
        whatever it is, so the extractor is asked once for all that is declared.
        """
        kind = asking._replace(declared=(UNDECLARED,) if asking.declared else ()), doubted
        if kind not in self._read:
            extracted = self._extractor.extract(self._raw(kind[0], _DOUBTED if doubted else _BELIEVED))
            self._read[kind] = extracted.facts if isinstance(extracted, Extracted) else None
        found = self._read[kind]
        if found is None or not asking.declared:
            return found
        declared = asking.declared
        if len(declared) > limits.DATA_CLASSES_MAX or len(",".join(declared)) > limits.HEADER_VALUE_BYTES_MAX:
            return None
        return replace(found, classes=tuple(sorted({*without_sample(found.classes), *declared})))

    def reads(self, source: Source) -> bool:
        """Return True if this side reads a source at all."""
        configured = {
            Source.TOKEN: self.evidence.token,
            Source.MTLS: self.evidence.mtls,
            Source.HEADER: self.evidence.header,
        }
        return source is Source.GEOIP or configured[source] is not None

    def believes(self, doubt: Doubt) -> bool:
        """Return True if an address with this doubt is believed."""
        geoip = self.evidence.geoip
        if doubt.confidence < geoip.min_confidence:
            return False
        settings = {"anonymiser": geoip.anonymiser, "hosting": geoip.hosting}
        return settings.get(doubt.name, "believe") == "believe"

    def party(self, facts: Facts) -> tuple[object, ...]:
        """Return all that the law makes of who is asking and for what, classes apart."""
        policy = self.side.policy
        return (
            policy.about_party(facts),
            self.side.events.party(facts),
            facts.missing,
            facts.mode,
            facts.tenant in self._told.tenants and facts.tenant,
            policy.trust_model and facts.model in self._told.models and facts.model,
            facts.purpose in self._told.purposes and facts.purpose,
        )

    def scope(self, places: Iterable[str]) -> Scope:
        """Return what can matter of data classes to the law of these places."""
        policy = self.side.policy
        regimes = policy.embargoes
        for code in places:
            about = policy.applicable(policy.places[code])
            regimes |= about.sure | about.partly | about.plain
        classes = self._told.classes
        for regime in policy.named(regimes):
            classes |= regime.classes | (regime.data if regime.data > 0 else 0)
        return Scope(classes, regimes)

    @property
    def everywhere(self) -> Scope:
        """Return what can matter of data classes anywhere."""
        return Scope(-1, -1)

    @property
    def treated_as(self) -> tuple[str, ...]:
        """Return the places at which a subject of unknown place is taken to be."""
        return self.side.policy.treat_as

    def effect(self, names: Iterable[str], scope: Scope) -> Effect:
        """Return all that the law makes of data classes: of two sets joined, what it makes of each, joined."""
        effect = NO_EFFECT
        for name in names:
            effect = joined(effect, self._effect(name, scope))
        return effect

    def _effect(self, name: str, scope: Scope) -> Effect:
        policy = self.side.policy
        closure = policy.classes.get(name)
        if closure is None:
            return NO_EFFECT._replace(unknown=True)
        mode = policy.class_modes.get(name)
        law = scope.regimes & policy.covering & policy.about_data(closure)
        return Effect(
            closure & scope.classes,
            frozenset(() if name in policy.free else (law,)),
            None if mode is None else mode.width,
            mode is None,
            False,
        )

    def _raw(self, asking: Asking, address: str) -> RawRequest:
        evidence = self.evidence
        said: list[tuple[str, str | None]] = [
            (evidence.headers.data_class, ",".join(asking.declared) or None),
            (evidence.headers.tenant, asking.named),
            (evidence.headers.model, asking.model),
            (evidence.headers.purpose, asking.purpose),
        ]
        if evidence.header is not None and Source.HEADER in asking.sources:
            said.append((evidence.header.name, _SAMPLE))
        token = evidence.token
        tokened = token is not None and (Source.TOKEN in asking.sources or asking.tenant is not None)
        mtls = evidence.mtls if Source.MTLS in asking.sources else None
        return RawRequest(
            address=address if Source.GEOIP in asking.sources else "",
            headers=tuple((n, v.encode()) for n, v in said if v is not None and n in self._extractor.headers),
            residency_claim=_SAMPLE if token is not None and Source.TOKEN in asking.sources else None,
            tenant_claim=asking.tenant if token is not None else None,
            issuer=token.issuers[0] if tokened and token is not None and token.issuers else None,
            sans=(mtls.san_prefix + _SAMPLE,) if mtls is not None else (),
            route=asking.route,
            route_tenant=asking.tenant if token is None else None,
        )


class _Told(NamedTuple):
    """What is told apart at any place: by events, and by the questions."""

    classes: int
    tenants: frozenset[str | None]
    models: frozenset[str | None]
    purposes: frozenset[str | None]


def _told(side: Side, also: Also) -> _Told:
    policy = side.policy
    classes = 0
    names = {name for event in side.events.counted for name in event.scope.data} | set(also.classes)
    for name in names:
        classes |= policy.own_bits.get(name, 0)
    return _Told(classes, frozenset(also.tenants), frozenset(also.models), frozenset(also.purposes))


def readers_of(sides: Sequence[Side], also: Also) -> tuple[Reader, ...]:
    """Return how each side reads requests."""
    return tuple(Reader(side, also) for side in sides)


def askings(readers: Sequence[Reader], also: Also) -> tuple[Asking, ...]:
    """Return a request for each standing that anybody tells apart, with nothing declared.

    Tenants and routes that every side treats alike count once.
    """
    tenants = alike(_tenant_names(readers, also), lambda name: _tenant_key(readers, also, name))
    routes = alike(
        {name for reader in readers for name in reader.routes},
        lambda name: tuple(_route_key(reader, name, readers, also) for reader in readers),
    )
    configured = [name for name in tenants if any(name in reader.tenants for reader in readers)]
    dimensions = (
        (None, *routes),
        (None, *tenants, SOMEBODY),
        (None, *configured),
        _models(readers, also),
        _purposes(readers, also),
        _sources(readers),
    )
    size = 1
    for dimension in dimensions:
        size *= len(dimension)
    if size > limits.PROOF_STANDINGS_MAX:
        detail = f"routes, tenants, models, purposes and evidence make {size:,} kinds of requests"
        raise BorderpostError("BP1202", detail)
    found: dict[object, Asking] = {}
    for route, tenant, named, model, purpose, sources in product(*dimensions):
        if named is not None and named == tenant:
            continue
        asking = Asking(route, tenant, named, model, purpose, sources)
        found.setdefault(_standing(readers, asking), asking)
    return tuple(asking for key, asking in found.items() if key is not None)


def standing_of(readers: Sequence[Reader], asking: Asking) -> object:
    """Return what tells a request's standing from others; None if no side would ask the law about it."""
    return _standing(readers, asking._replace(declared=()))


def _standing(readers: Sequence[Reader], asking: Asking) -> object:
    key: list[object] = []
    for reader in readers:
        bare, declaring = reader.facts(asking), reader.facts(asking._replace(declared=(UNDECLARED,)))
        if bare is None or declaring is None:
            key.append(None)
        else:
            floor = reader.effect(bare.classes, reader.everywhere).told
            kept = reader.effect(without_sample(declaring.classes), reader.everywhere).told
            doubted = reader.facts(asking, doubted=True)
            placed = any(one.source in _PLACING for one in bare.evidence)
            key.append((reader.party(bare), floor, kept, placed, doubted and doubted.missing))
    return tuple(key) if any(part is not None for part in key) else None


UNDECLARED: Final = "none-of-these"
"""A class that stands for any that is declared."""


def without_sample(classes: Iterable[str]) -> Iterator[str]:
    """Return classes without the one that stands for any that is declared."""
    return (name for name in classes if name != UNDECLARED)


def said_of(facts: Facts, code: str) -> Facts:
    """Return the same facts with the subject at a place, by every source."""
    evidence = tuple(Evidence(one.source, code, "-" not in code, one.doubt) for one in facts.evidence)
    return replace(facts, evidence=evidence)


def doubts(readers: Sequence[Reader]) -> tuple[Doubt, ...]:
    """Return the doubts that some side does not believe through, told apart by which sides do."""
    confidences = {reader.evidence.geoip.min_confidence - 1 for reader in readers}
    candidates = [Doubt("anonymiser", 100), Doubt("hosting", 100)]
    candidates += [Doubt("confidence", confidence) for confidence in sorted(confidences) if confidence >= 0]
    found: dict[tuple[bool, ...], Doubt] = {}
    for doubt in candidates:
        believed = tuple(reader.believes(doubt) for reader in readers)
        if not all(believed):
            found.setdefault(believed, doubt)
    return tuple(found.values())


def _tenant_names(readers: Sequence[Reader], also: Also) -> set[str]:
    names = set(also.tenants)
    for reader in readers:
        names |= set(reader.tenants)
        names |= {name for regime in reader.side.policy.bundle.regimes for name in regime.applies_when.tenant or ()}
        names |= {name for event in reader.side.events.counted for name in event.scope.tenants}
    return names


def _tenant_key(readers: Sequence[Reader], also: Also, name: str | None) -> object:
    key: list[object] = [name in also.tenants and name]
    for reader in readers:
        spec = reader.tenants.get(name) if name is not None else None
        key.append(spec.model_dump_json(exclude={"san"}) if spec is not None else None)
        key.append(tuple(name in (regime.applies_when.tenant or ()) for regime in reader.side.policy.bundle.regimes))
        key.append(tuple(name in event.scope.tenants for event in reader.side.events.counted))
    return tuple(key)


def _route_key(reader: Reader, name: str, readers: Sequence[Reader], also: Also) -> object:
    spec = reader.routes.get(name)
    if spec is None:
        return None
    return spec.model_dump_json(exclude={"tenant"}), _tenant_key(readers, also, spec.tenant)


def alike(names: Iterable[str], key: Callable[[str], object]) -> tuple[str, ...]:
    """Return the first name of each that have the same key."""
    found: dict[object, str] = {}
    for name in sorted(names):
        found.setdefault(key(name), name)
    return tuple(found.values())


def _models(readers: Sequence[Reader], also: Also) -> tuple[str | None, ...]:
    if not any(reader.evidence.trust_model_header for reader in readers):
        return (None,)
    names = set(also.models)
    for reader in readers:
        names |= {name for regime in reader.side.policy.bundle.regimes for name in regime.applies_when.model or ()}
        names |= {name for event in reader.side.events.counted for name in event.scope.models}
    return (None, *sorted(names), SOMETHING)


def _purposes(readers: Sequence[Reader], also: Also) -> tuple[str | None, ...]:
    """Return what a trusted header may say; purposes of tenants and routes come with these."""
    if not any(reader.evidence.trust_purpose_header for reader in readers):
        return (None,)
    names = set(also.purposes)
    for reader in readers:
        names |= {name for regime in reader.side.policy.bundle.regimes for name in regime.applies_when.purpose or ()}
        names |= {tenant.purpose for tenant in reader.tenants.values() if tenant.purpose is not None}
        names |= {route.purpose for route in reader.routes.values() if route.purpose is not None}
    return (None, *sorted(names), SOMETHING)


_PLACING: Final = (Source.GEOIP, Source.TOKEN, Source.MTLS)
"""Sources that place a subject; a header only asserts."""


def _sources(readers: Sequence[Reader]) -> tuple[tuple[Source, ...], ...]:
    """Return who says where the subject is: every part of what some tenant or route requires, and somebody who places
    the subject."""
    required: set[Source] = set()
    for reader in readers:
        specs: list[TenantSpec | RouteSpec] = [*reader.tenants.values(), *reader.routes.values()]
        required.update(source for spec in specs for source in spec.require_evidence)
    found: dict[tuple[Source, ...], None] = {}
    for number in range(1 << len(required)):
        part = {source for bit, source in enumerate(sorted(required)) if number >> bit & 1}
        if not part & set(_PLACING):
            free = [one for one in _PLACING if one not in required and all(reader.reads(one) for reader in readers)]
            if not free:
                continue  # who meets no more than this part is placed by nobody
            part.add(free[0])
        found[tuple(source for source in Source if source in part)] = None
    return tuple(sorted(found, key=lambda one: (len(one), one)))


def unplaced(asking: Asking) -> Asking:
    """Return the same request as it is where nobody places its subject."""
    return asking._replace(sources=tuple(source for source in asking.sources if source not in _PLACING))


def class_names(readers: Sequence[Reader]) -> tuple[str, ...]:
    """Return every data class of any side, sorted."""
    return tuple(sorted({name for reader in readers for name in reader.side.policy.classes}))


def label_of(asking: Asking) -> Mapping[str, str]:
    """Return what a request brings, by name, without what it leaves out."""
    return dict(_labels(asking))


def _labels(asking: Asking) -> Iterator[tuple[str, str]]:
    for name in ("route", "tenant", "named", "model", "purpose"):
        value = getattr(asking, name)
        if value is not None:
            yield name, value
    if asking.declared:
        yield "data", ", ".join(asking.declared)
