"""Observed routes: which they are, where their requests go, and what is wrong where Envoy says otherwise.

Two have to agree that a route is observed: Envoy, which says with each question that it goes its own way
(`RequestReader.observes`), and the configuration, which names the route (`observe.routes`). Where they do not agree it
is an alarm, with a metric for each request and a line in the log at most once a minute:

    configuration      observed                          enforced
    Envoy goes on      recorded with `mode: observe`     the same with `unenforced`; alarm BP1443
                                                         (over ext_authz, where Envoy may listen, refused)
    Envoy waits        refused; alarm BP1444             decided and answered (processor.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from borderpost.answers import Route
from borderpost.audit.fields import check_given
from borderpost.audit.profile import ProfileError
from borderpost.audit.record import recorded_reason
from borderpost.config.observe import ObserveSection
from borderpost.decision import Decision, View
from borderpost_base.alarms import Alarm
from borderpost_base.errors import BorderpostError
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

Outcome = Literal["stayed", "moved_by_law", "moved_by_rank", "refused", "routed"]
"""What would have been done with a request: sent where it went, or elsewhere because the law forbids or the ranking
passes over where it went; refused; or routed, and nobody knows whether elsewhere."""


class Observed(NamedTuple):
    """What is known of an observed request beside what was decided for it."""

    route: str | None
    """Envoy's route, where Envoy told it."""
    cluster: str | None
    """Envoy's cluster, where Envoy told it."""
    region: str | None
    """The region where it went; None where nobody knows."""
    body_unseen: bool
    """True where its body would have counted on an enforced route."""
    unenforced: bool
    """True where its route was to be enforced."""


class Observation:
    """Which routes are observed, and where their requests go. Lives on the engine's loop."""

    def __init__(self, section: ObserveSection, world: World, metrics: Metrics) -> None:
        self.routes = frozenset(section.routes)
        """Names of the routes that are observed."""
        self._region_of_route = {name: route.region for name, route in section.routes.items()}
        self._configured = dict(section.clusters)
        self._world = world
        self._metrics = metrics
        self._regions: Mapping[str, str] = {}
        self._regions_of: View | None = None
        self._unenforced = Alarm("Envoy only observes a route that is to be enforced", world, logger="observe")
        self._unobserved = Alarm(
            "Envoy enforces a route that is to be observed: its requests are refused", world, logger="observe"
        )
        self._failed = Alarm("observed requests could not be recorded", world, logger="observe")

    def located(self, gone: Observed, view: View) -> Observed:
        """Return the same request with the region where it went, as far as that is known."""
        cluster = gone.cluster if gone.cluster is not None and _is_recordable("cluster", gone.cluster) else None
        region = self._region_of_route.get(gone.route) if gone.route is not None else None
        if region is None and cluster is not None:
            region = self._region_of_cluster(cluster, view)
        if region not in view.compiled.catalog.regions:
            region = None  # a catalogue that came after the settings
        return gone._replace(cluster=cluster, region=region)

    def alarm_unenforced(self, route: str | None) -> None:
        """Tell of a request that went its way on a route that is to be enforced."""
        self._metrics.misplaced_total.inc("unenforced")
        self._unenforced.ring(BorderpostError("BP1443", _route(route)))

    def alarm_unobserved(self, route: str | None) -> None:
        """Tell of a request that was refused because its route is to be observed, and Envoy waited for the answer."""
        self._metrics.misplaced_total.inc("unobserved")
        self._unobserved.ring(BorderpostError("BP1444", _route(route)))

    def alarm_failed(self) -> None:
        """Tell of the exception under way: for its sake a request that has gone is not recorded."""
        self._failed.ring(None)

    def _region_of_cluster(self, cluster: str, view: View) -> str | None:
        configured = self._configured.get(cluster)
        if configured is not None:
            return configured
        if self._regions_of is not view:
            self._regions = {name: region for region, name in view.compiled.clusters.items()}
            self._regions_of = view
        return self._regions.get(cluster)


def _route(name: str | None) -> str:
    return f"route `{name}`" if name is not None else "a route without a name"


def outcome_of(decision: Decision, observed: Observed) -> Outcome:
    """Return what the law would have done with an observed request."""
    if not isinstance(decision.answer, Route):
        return "refused"
    if observed.region is None:
        return "routed"
    if decision.answer.region == observed.region:
        return "stayed"
    return "moved_by_law" if _unlawful(decision, observed.region) is not None else "moved_by_rank"


def observed_field(decision: Decision, observed: Observed) -> dict[str, Any]:
    """Return a record's `observed`. Raises ProfileError for what no record can hold."""
    told: dict[str, Any] = {}
    if observed.route is not None and _is_recordable("route", observed.route):
        told["route"] = observed.route
    if observed.cluster is not None:
        told["cluster"] = observed.cluster
    if observed.region is not None:
        told["r"] = observed.region
        unlawful = _unlawful(decision, observed.region)
        if unlawful is not None:
            told["unlawful"] = recorded_reason(unlawful)
    if observed.body_unseen:
        told["body_unseen"] = True
    if observed.unenforced:
        told["unenforced"] = True
    check_given("decision", {"observed": told})
    return told


def _unlawful(decision: Decision, region: str) -> str | None:
    """Return why the law does not allow a request to go to a region; None where it does, or was not asked."""
    law = decision.law
    return None if law is None or region in law.bases else law.refused.get(region, law.reason)


def _is_recordable(name: str, value: str) -> bool:
    try:
        check_given("decision", {"observed": {name: value}})
    except ProfileError:
        return False
    return True
