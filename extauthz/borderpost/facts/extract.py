"""From a raw request to Facts, or to a refusal. Nothing that a client writes can make the law that applies weaker.

Who is believed, and how far:

* Residency. Each source gives at most one piece of evidence: the token's claim and the certificate's SAN (verified),
  the header (asserted), the address (inferred). How they are joined is the law's business. A claim, a SAN or a header
  that is there and is no place code ends the request: to pass over it would let it pass for a missing one. So does a
  token whose issuer is not believed.
* An address that is an exit of somebody else, or that the database is not sure of, is evidence with a doubt. It meets
  no demand for evidence.
* Tenant. Known by the token's claim, else the SAN, else the route's metadata, else the route's entry. Where several
  name different tenants the first is the tenant, and the floors and required evidence of all of them hold.
* The tenant header proves nothing. It adds the floor and the required evidence of the tenant that it names and takes
  nothing away. A name that is not configured is refused: what its floor would be is not known.
* Data classes. The floor is what the route and the verified tenants set, joined; where none of them sets any, the
  default. The class header adds to the floor. It stands in the floor's place only if every verified tenant of the
  request has `trust_declared_class`, and there is one.
* Body. Where bodies are read, a data class that one names counts as if the class header named it, and the classes that
  its content brings are added to whatever holds, the trusted class of a tenant included; they make no mode wider. A
  model that it names is the request's where no header names one, unless the law is told to rely on that header. A
  header that says something else ends the request; or, where the configuration says so, the classes of both hold and
  the model is unknown.
* Purpose. What route, verified tenants and a header that is trusted say of it; where they differ it is unknown. A
  tenant known by its header can only make it unknown.
* Mode. The strictest that route and verified tenants set. A tenant known by its header can only make it stricter than
  it would be without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from borderpost.facts.headers import Refused, is_identifier, is_label, read_list, read_one
from borderpost.facts.needs import law_headers
from borderpost.facts.request import RawRequest, Stated, client_host
from borderpost.geoip import Locator
from borderpost.policy.codes import COUNTRIES, is_code
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.schema import EvidenceSpec, RouteSpec, TenantSpec
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.memo import Remembered


@dataclass(frozen=True, slots=True)
class Extracted:
    """A request that the law can be asked about."""

    facts: Facts
    notes: tuple[str, ...] = ()
    """What was noticed and changes nothing: `address-unreadable`, `tenant-conflict`."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that is refused before the law is asked."""

    status: int
    """HTTP status: 400 malformed, 403 evidence that does not hold, 503 GeoIP database damaged."""
    code: str
    """Registered error code."""
    reason: str
    """Stable identifier, such as `header-malformed:x-data-class`."""
    facts: Facts
    """What had been established until then, for the record; without classes."""


@dataclass(slots=True)
class _Tenancy:
    """The tenants of a request, and what they bring."""

    name: str | None
    """The tenant by verified means, the first of `verified`."""
    verified: tuple[str, ...]
    header: TenantSpec | None
    """The tenant that the header names, where it is not one of the verified."""


class Extractor:
    """Works out facts for one configuration and one locator of addresses; a new one of either needs a new Extractor.

    `mode` is that of requests for which nobody sets one.
    """

    def __init__(
        self, evidence: EvidenceSpec, tenants: Mapping[str, TenantSpec], routes: Mapping[str, RouteSpec],
        locator: Locator, *, mode: Mode = Mode.LEGAL_FIRST,
    ) -> None:  # fmt: skip
        self.headers = law_headers(evidence, tenants)
        """Names of the headers that belong into `RawRequest.headers`."""
        self._evidence = evidence
        self._tenants = dict(tenants)
        self._routes = dict(routes)
        self._locator = locator
        self._mode = mode
        self._tenant_of_san = _tenants_by_san(tenants)
        self._remembered: Remembered[RawRequest, Extracted] = Remembered(limits.REMEMBERED_REQUESTS_MAX)

    def extract(self, raw: RawRequest) -> Extracted | Rejected:
        """Return facts, or why there are none. Never raises, whatever the values are.

        Requests that are alike but for the client's port are worked out once and remembered, refusals excepted.
        """
        host = client_host(raw.address)
        if len(host) > limits.ADDRESS_BYTES_MAX:
            host = ""
        key = RawRequest(host, *raw[1:])
        known = self._remembered.get(key)
        if known is not None:
            return known
        evidence: list[Evidence] = []
        try:
            extracted = self._extract(key, evidence)
        except Refused as refused:
            return Rejected(refused.status, refused.code, refused.reason, Facts(_in_order(evidence), ()))
        if sum(map(len, raw.sans)) <= limits.REMEMBERED_SAN_BYTES_MAX:
            self._remembered.put(key, extracted)
        return extracted

    def _extract(self, raw: RawRequest, evidence: list[Evidence]) -> Extracted:
        """Return facts; `evidence` fills as it is read, so that a refusal can tell what was known."""
        notes: list[str] = []
        values: dict[str, list[bytes]] = {}
        for name, value in raw.headers:
            values.setdefault(name, []).append(value)
        self._read_address(raw.address, evidence, notes)
        if self._evidence.token is not None:
            self._check_issuer(raw.issuer)
            self._read_token(raw.residency_claim, evidence)
        if len(raw.sans) > limits.SAN_COUNT_MAX:
            raise Refused(403, "BP0825", "certificate-too-many-names")
        if self._evidence.mtls is not None:
            _read_certificate(raw.sans, self._evidence.mtls.san_prefix, evidence)
        if self._evidence.header is not None:
            name = self._evidence.header.name
            asserted = read_one(name, values.get(name, ()), is_code)
            if asserted is not None:
                evidence.append(_evidence(Source.HEADER, asserted))
        route = self._routes.get(raw.route) if raw.route is not None else None
        tenancy = self._tenancy(raw, route, values)
        if len(tenancy.verified) > 1:
            notes.append("tenant-conflict")
        names = self._evidence.headers
        declared = read_list(names.data_class, values.get(names.data_class, ()), is_identifier, limits.DATA_CLASSES_MAX)
        model = read_one(names.model, values.get(names.model, ()), is_label)
        if raw.body is not None:
            model, declared = self._with_body(raw.body, model, declared)
        classes = self._classes(declared, tenancy, route)
        mode = self._mode_of(tenancy, route)
        if raw.body is not None and raw.body.brought:
            if not classes and mode is None:
                mode = self._mode  # that of a request without classes, which the mode of a class must not widen
            classes = tuple(sorted({*classes, *raw.body.brought}))
        if raw.body is not None and len(classes) > limits.DATA_CLASSES_MAX:
            raise Refused(400, "BP1332", "too-many-classes")  # no record could name them all
        facts = Facts(
            evidence=_in_order(evidence),
            classes=classes,
            tenant=tenancy.name,
            model=model,
            missing=self._missing(evidence, tenancy, route),
            purpose=self._purpose(values, tenancy, route),
            mode=mode,
        )
        return Extracted(facts, tuple(notes))

    def _with_body(
        self, body: Stated, model: str | None, declared: tuple[str, ...]
    ) -> tuple[str | None, tuple[str, ...]]:
        """Return model and declared classes of headers and body together. Raises Refused."""
        if body.refusal is not None:
            raise Refused(*body.refusal)
        models = {named for named in (model, body.model) if named is not None}
        contradicted = declared and body.declared and {*declared} != {*body.declared}
        if not body.strictest and (len(models) > 1 or contradicted):
            raise Refused(400, "BP1330", "body-contradicts:model" if len(models) > 1 else "body-contradicts:class")
        if len(models) > 1 or (model is None and self._evidence.trust_model_header):
            return None, (*declared, *body.declared)
        return model or body.model, (*declared, *body.declared)

    def _read_address(self, host: str, evidence: list[Evidence], notes: list[str]) -> None:
        try:
            found = self._locator.lookup(host)
        except ValueError:
            notes.append("address-unreadable")
            return
        except BorderpostError as error:
            raise Refused(503, error.code, "geoip-damaged") from error
        if found.country in COUNTRIES:
            code = found.subdivision if found.subdivision is not None else found.country
            evidence.append(Evidence(Source.GEOIP, code, found.subdivision is None, found.doubt))

    def _check_issuer(self, issuer: str | None) -> None:
        if issuer is not None and self._evidence.token is not None and issuer not in self._evidence.token.issuers:
            raise Refused(403, "BP0826", "issuer-not-believed")

    def _read_token(self, claim: str | None, evidence: list[Evidence]) -> None:
        if claim is None:
            return
        if len(claim) > limits.JWT_CLAIM_BYTES_MAX or not is_code(claim):
            raise Refused(403, "BP0824", "claim-malformed:residency")
        evidence.append(_evidence(Source.TOKEN, claim))

    def _tenancy(self, raw: RawRequest, route: RouteSpec | None, values: Mapping[str, list[bytes]]) -> _Tenancy:
        verified: list[str] = []
        if self._evidence.token is not None and raw.tenant_claim is not None:
            if not is_label(raw.tenant_claim):
                raise Refused(403, "BP0824", "claim-malformed:tenant")
            verified.append(raw.tenant_claim)
        by_san = {self._tenant_of_san[san] for san in raw.sans if san in self._tenant_of_san}
        if len(by_san) > 1:
            raise Refused(403, "BP0825", "certificate-conflict:tenant")
        verified += by_san
        if raw.route_tenant is not None:
            verified.append(raw.route_tenant)
        if route is not None and route.tenant is not None:
            verified.append(route.tenant)
        header = None
        if self._tenants:
            name = self._evidence.headers.tenant
            named = read_one(name, values.get(name, ()), is_label)
            if named is not None and named not in verified:
                header = self._tenants.get(named)
                if header is None:
                    raise Refused(400, "BP0823", "tenant-unknown")
        return _Tenancy(verified[0] if verified else None, tuple(dict.fromkeys(verified)), header)

    def _classes(self, declared: tuple[str, ...], tenancy: _Tenancy, route: RouteSpec | None) -> tuple[str, ...]:
        specs = [self._tenants.get(name) for name in tenancy.verified]
        trusted = bool(specs) and all(spec is not None and spec.trust_declared_class for spec in specs)
        classes = set(declared)
        if not (declared and trusted):
            verified = self._verified(tenancy, route)
            floors = [spec.classes for spec in verified if spec.classes is not None]
            classes = classes.union(*floors) if floors else classes.union(self._evidence.default_classes)
        if tenancy.header is not None and tenancy.header.classes is not None:
            classes.update(tenancy.header.classes)
        return tuple(sorted(classes))

    def _missing(self, evidence: Iterable[Evidence], tenancy: _Tenancy, route: RouteSpec | None) -> str | None:
        asserted = (tenancy.header,) if tenancy.header is not None else ()
        specs = (*self._verified(tenancy, route), *asserted)
        required = {source for spec in specs for source in spec.require_evidence}
        required.difference_update(piece.source for piece in evidence if piece.doubt is None)
        return next((source.value for source in Source if source in required), None)

    def _purpose(
        self, values: Mapping[str, list[bytes]], tenancy: _Tenancy, route: RouteSpec | None
    ) -> str | None:  # fmt: skip
        said = {spec.purpose for spec in self._verified(tenancy, route) if spec.purpose is not None}
        if self._evidence.trust_purpose_header:
            name = self._evidence.headers.purpose
            named = read_one(name, values.get(name, ()), is_label)
            said |= {named} if named is not None else set()
        asserted = tenancy.header.purpose if tenancy.header is not None else None
        if len(said) != 1 or (asserted is not None and asserted not in said):
            return None
        return said.pop()

    def _mode_of(self, tenancy: _Tenancy, route: RouteSpec | None) -> Mode | None:
        modes = [spec.mode for spec in self._verified(tenancy, route) if spec.mode is not None]
        if tenancy.header is not None and tenancy.header.mode is not None:
            modes = [*(modes or [self._mode]), tenancy.header.mode]
        return min(modes, key=lambda mode: mode.width) if modes else None

    def _verified(self, tenancy: _Tenancy, route: RouteSpec | None) -> Iterator[RouteSpec | TenantSpec]:
        """Yield what is configured of the route and the verified tenants."""
        if route is not None:
            yield route
        yield from (self._tenants[name] for name in tenancy.verified if name in self._tenants)


def _read_certificate(sans: Iterable[str], prefix: str, evidence: list[Evidence]) -> None:
    stated = {san.removeprefix(prefix) for san in sans if san.startswith(prefix)}
    if not stated:
        return
    if len(stated) > 1:
        raise Refused(403, "BP0825", "certificate-conflict:residency")
    (code,) = stated
    if not is_code(code):
        raise Refused(403, "BP0825", "certificate-malformed:residency")
    evidence.append(_evidence(Source.MTLS, code))


def _evidence(source: Source, code: str) -> Evidence:
    return Evidence(source, code, subdivision_unknown="-" not in code)


def _in_order(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    by_source = {piece.source: piece for piece in evidence}
    return tuple(by_source[source] for source in Source if source in by_source)


def _tenants_by_san(tenants: Mapping[str, TenantSpec]) -> dict[str, str]:
    """Return the tenant of each SAN. Raises BorderpostError BP0308 where two tenants claim one."""
    owners: dict[str, str] = {}
    for name, spec in tenants.items():
        for san in spec.san:
            if owners.setdefault(san, name) != name:
                place = Place(key=f"tenants.{name}.san")
                raise BorderpostError("BP0308", f"`{san}` is also a name of `{owners[san]}`", place=place)
    return owners
