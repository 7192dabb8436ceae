"""Asks a policy about described requests, by the extractor and the law that live requests meet.

Only GeoIP is made up: every address is where the description says, and in doubt for the reason that it gives if
`evidence.geoip` minds that reason. Floors, tenants, routes, modes and required evidence act as they do live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from borderpost.facts import Extracted, Extractor, RawRequest, Rejected
from borderpost.geoip import Locator, Whereabouts
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.codes import split_code
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import SIGNATURES_TO_WIDEN, Approval, EventsFile, LegalEvent
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.fields import to_us
from borderpost.policy.model import Facts, Law
from borderpost.policy.schema import GeoipSource
from borderpost.proof.cases import CaseRequest, DescribedRequest
from borderpost_base.errors import BorderpostError

_NO_SIGNATURE: Final = "A" * 86 + "=="


class Heard(NamedTuple):
    """What became of one request."""

    at_us: int
    facts: Facts
    """What had been established; without classes where the request was rejected."""
    law: Law | None
    """None where the request was rejected before law was asked."""
    rejected: str | None
    """The reason of that, such as `header-malformed:x-data-class`; else None."""
    events: CompiledEvents
    """The events that it was decided with."""

    @property
    def ruling(self) -> str:
        """Return the law's ruling, or `rejected`."""
        return "rejected" if self.law is None else self.law.ruling.value

    @property
    def reason(self) -> str:
        """Return why: `ok`, or the reason of the refusal."""
        return self.law.reason if self.law is not None else str(self.rejected)

    @property
    def legal(self) -> tuple[str, ...]:
        """Return the regions that are legal, sorted."""
        return self.law.legal if self.law is not None else ()


@dataclass(frozen=True, slots=True)
class _Address:
    """An address of which everything is stated. It stands in a `RawRequest` as text."""

    country: str | None
    doubt: str | None

    def __str__(self) -> str:
        return f"{self.country or ''}/{self.doubt or ''}"

    @staticmethod
    def read(text: str) -> _Address:
        country, _, doubt = text.partition("/")
        return _Address(country or None, doubt or None)


class _StatedPlaces:
    """Stands in for the databases: an address is where its text says."""

    def __init__(self, belief: GeoipSource) -> None:
        self._believed = {kind for kind in ("anonymiser", "hosting") if getattr(belief, kind) == "believe"}

    def lookup(self, address: str) -> Whereabouts:
        """Return what the address says of itself."""
        stated = _Address.read(address)
        if stated.country is None:
            return Whereabouts(None)
        country, suffix = split_code(stated.country)
        doubt = None if stated.doubt in self._believed else stated.doubt
        return Whereabouts(country, stated.country if suffix is not None else None, doubt)


class Hearing:
    """One policy, and the events that hold for it, asked about described requests."""

    def __init__(self, policy: CompiledPolicy, events: EventList, *, now_us: int) -> None:
        """Prepare. `now_us` is the instant of requests that name none, microseconds since 1970."""
        bundle: PolicyBundle = policy.bundle
        self.policy = policy
        self.event_list = events
        self.now_us = now_us
        self._evidence = bundle.evidence
        self._events: dict[tuple[LegalEvent, ...], CompiledEvents] = {(): compile_events(events, policy)}
        self._extractor = Extractor(
            bundle.evidence,
            bundle.tenants,
            bundle.routes,
            cast("Locator", _StatedPlaces(bundle.evidence.geoip)),
            mode=bundle.inline.mode,
        )

    def hear(self, request: CaseRequest, at_us: int | None = None) -> Heard:
        """Decide a request, at its own instant unless another is given.

        Raises BorderpostError BP1210 where the request says what the configuration does not read.
        """
        if at_us is None:
            at_us = to_us(request.at) if request.at is not None else self.now_us
        events = self.events_with(request.events)
        extracted = self.extract(request)
        if not isinstance(extracted, Extracted):
            return Heard(at_us, extracted.facts, None, extracted.reason, events)
        law = decide(extracted.facts, self.policy, events, at_us, stale=request.stale)
        return Heard(at_us, extracted.facts, law, None, events)

    def extract(self, request: DescribedRequest) -> Extracted | Rejected:
        """Return what facts the policy makes of a request, or why it makes none.

        Raises BorderpostError BP1210 where the request says what the configuration does not read.
        """
        return self._extractor.extract(self.raw(request))

    def raw(self, request: DescribedRequest) -> RawRequest:
        """Return a request as Envoy would hand it over. Raises BorderpostError BP1210."""
        evidence, names = self._evidence, self._evidence.headers
        self._check_is_read(request)
        sans = list(request.sans)
        if request.certificate is not None and evidence.mtls is not None:
            sans.append(evidence.mtls.san_prefix + request.certificate)
        headers = [
            (evidence.header.name if evidence.header is not None else "", request.header),
            (names.tenant, request.tenant_header),
            (names.data_class, ",".join(request.classes) or None),
            (names.model, request.model),
            (names.purpose, request.purpose),
        ]
        by_token = evidence.token is not None
        with_token = request.token is not None or (by_token and request.tenant is not None)
        return RawRequest(
            address=str(_Address(request.country, request.doubt)),
            headers=tuple(
                (name, value.encode())
                for name, value in headers
                if value is not None and name in self._extractor.headers
            ),
            residency_claim=request.token,
            tenant_claim=request.tenant if by_token else None,
            issuer=evidence.token.issuers[0] if with_token and evidence.token and evidence.token.issuers else None,
            sans=tuple(sans),
            route=request.route,
            route_tenant=None if by_token else request.tenant,
        )

    def _check_is_read(self, request: DescribedRequest) -> None:
        evidence = self._evidence
        for key, said, read in (
            ("token", request.token, evidence.token),
            ("certificate", request.certificate, evidence.mtls),
            ("header", request.header, evidence.header),
        ):
            if said is not None and read is None:
                section = "mtls" if key == "certificate" else key
                detail = f"the request has a {key}, and `evidence.{section}` is null, so it is not read"
                raise BorderpostError("BP1210", detail, mend=f"take `{key}` out of the case, or configure its evidence")

    def events_with(self, supposed: tuple[LegalEvent, ...]) -> CompiledEvents:
        """Return the configured events with further ones. Raises BorderpostError BP0210 for an id that is taken."""
        found = self._events.get(supposed)
        if found is None:
            found = self._events[supposed] = compile_events(joined(self.event_list, supposed), self.policy)
        return found


def joined(events: EventList, supposed: tuple[LegalEvent, ...]) -> EventList:
    """Return a list with supposed events put in by the time at which each becomes known; what widens counts as signed.

    Raises BorderpostError BP0210 where an id is taken.
    """
    taken = {event.id for event in events.events}
    for event in supposed:
        if event.id in taken:
            raise BorderpostError("BP0210", f"id `{event.id}` is already that of a configured event")
        taken.add(event.id)
    listed = sorted((*events.events, *map(_signed, supposed)), key=lambda event: event.recorded_at)
    return EventList(EventsFile.model_validate({**dict(events.file), "events": tuple(listed)}))


def _signed(event: LegalEvent) -> LegalEvent:
    if not event.widens or event.approvals:
        return event
    approvals = tuple(
        Approval(by=f"supposed-{n}", key=f"sha256:{n:064x}", at=event.recorded_at, signature=_NO_SIGNATURE)
        for n in range(SIGNATURES_TO_WIDEN)
    )
    return event.model_copy(update={"approvals": approvals})
