"""The whole configuration as one strict model; each section lives with the part that it configures."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from borderpost.audit.config import AuditSpec
from borderpost.config.counters import CountersSection
from borderpost.config.events import EventsSection
from borderpost.config.istio import IstioSection
from borderpost.config.keys import config_keys
from borderpost.config.limiter import LimiterSection
from borderpost.config.observe import ObserveSection
from borderpost.config.operation import AnswersSpec, RuntimeSpec
from borderpost.config.pack_signatures import PackSignaturesSection
from borderpost.config.payload import PayloadSection
from borderpost.config.rate_limit import RateLimitSpec
from borderpost.config.sections import AdminSpec, LogsSpec, ServerSpec
from borderpost.config.shadow import ShadowSection
from borderpost.geoip.config import GeoipSpec
from borderpost.policy.fields import Identifier, Label
from borderpost.policy.schema import (
    EvidenceSpec,
    Here,
    PolicySection,
    RegionDefaults,
    RegionSpec,
    RouteSpec,
    Sink,
    TenantSpec,
)
from borderpost.regions.config import RankingSpec
from borderpost.regions.failover import FailoverGroup
from borderpost_base.limits import FAILOVER_GROUPS_MAX, REGIONS_MAX
from borderpost_base.strict import StrictModel
from borderpost_base.variables import VARIABLES


class Config(StrictModel):
    """The one YAML file. Only `here` and `regions` are required; every other default is meant to be lived with."""

    here: Here
    """This gateway's own place. It reads every request, so it is a processor that the law must allow; there is no
    default, because nobody but you knows where it stands."""

    regions: dict[Identifier, RegionSpec] = Field(min_length=1, max_length=REGIONS_MAX)
    """The regions that requests can be sent to, by id."""

    region_defaults: RegionDefaults = RegionDefaults()
    """What holds for each region that does not say it itself: where endpoints keep what they are sent."""

    sinks: dict[Identifier, Sink] = {}
    """Places outside this gateway to which it sends what it knows of requests, by the names that `events.redis` and
    other sections give them; none by default. The law must allow each of them."""

    policy: PolicySection = PolicySection()
    """The law: packs, and rules of your own that can only narrow them."""

    pack_signatures: PackSignaturesSection = PackSignaturesSection()
    """Whose signatures a pack from a file needs before it is law here."""

    shadow: ShadowSection = ShadowSection()
    """What is weighed beside the law and binds nobody: a policy before it is put into force."""

    evidence: EvidenceSpec = EvidenceSpec()
    """Which evidence about the data subject's place is read, and what holds where it does not say enough."""

    tenants: dict[Label, TenantSpec] = {}
    """What holds for each tenant, by the name that its claim or certificate proves."""

    routes: dict[Label, RouteSpec] = {}
    """What holds for each Envoy route, by the route's name."""

    payload: PayloadSection = PayloadSection()
    """Whether bodies of requests are read before they are decided, and what is read of them."""

    observe: ObserveSection = ObserveSection()
    """Routes of which only a record is made, while their requests go their own way."""

    events: EventsSection = EventsSection()
    """Where legal events are read from."""

    counters: CountersSection = CountersSection()
    """Where uses of legal bases with a threshold are counted."""

    geoip: GeoipSpec = GeoipSpec()
    """Where countries of client addresses come from."""

    ranking: RankingSpec = RankingSpec()
    """How a region is chosen among those that the law allows."""

    failover: dict[Identifier, FailoverGroup] = Field(default={}, max_length=FAILOVER_GROUPS_MAX)
    """Groups of regions that stand in for each other, by id; none by default, because a retry in another region is a
    second transfer. A group's cluster is answered only for requests that may go to each of its regions."""

    audit: AuditSpec = AuditSpec()
    """Where the record is kept."""

    server: ServerSpec = ServerSpec()
    """Where Envoy reaches the workers."""

    answers: AnswersSpec = AnswersSpec()
    """What callers are told beside the status."""

    rate_limit: RateLimitSpec | None = None
    """A rate-limit service, which the rendered Envoy asks about requests that may go somewhere; none by default."""

    limiter: LimiterSection | None = None
    """The rate-limit service that runs beside the workers, a process of its own; null runs none."""

    istio: IstioSection | None = None
    """The Istio ingress gateway that asks Borderpost, for `borderpost render istio`; null where there is none. With it
    the regions' clusters are named as istiod names them."""

    runtime: RuntimeSpec = RuntimeSpec()
    """What the steward and its workers share on this machine."""

    admin: AdminSpec = AdminSpec()
    """Where health and metrics are served."""

    logs: LogsSpec = LogsSpec()
    """How the processes log."""


def variables() -> Iterator[tuple[str, str]]:
    """Yield every environment variable and its meaning: those of configuration keys first, then the others."""
    for key in config_keys(Config):
        if key.variable is not None:
            yield key.variable, f"`{key.dotted}`: {key.kind}"
    for variable in VARIABLES.values():
        yield variable.name, variable.meaning
