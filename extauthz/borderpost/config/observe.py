"""The section `observe`: routes of which only a record is made, while their requests go their own way."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from borderpost.policy import check
from borderpost.policy.fields import ClusterName, Identifier, Label
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath

if TYPE_CHECKING:
    from borderpost.config.istio import IstioSection


class ObservedRoute(StrictModel):
    """What is known of a route that is observed."""

    region: Identifier | None = None
    """Region to which all its requests go now, by its id under `regions`. Null by default: then Envoy's cluster tells,
    and where that says nothing, it is not known whether requests would be moved."""


class ObserveSection(StrictModel):
    """Routes that are observed: each request on them is recorded as it would have been decided, and goes wherever Envoy
    sends it. No law is kept on these routes, which is said at every start, by `/readyz` and in each record."""

    routes: dict[Label, ObservedRoute] = {}
    """The routes, by the names under `routes`; none by default. Envoy has to be told as well
    (`borderpost render envoy --observe`): a request on which the two disagree is an alarm, and refused where Envoy
    waits for an answer."""

    clusters: dict[ClusterName, Identifier] = Field(default={}, max_length=limits.OBSERVED_CLUSTERS_MAX)
    """Regions in which clusters of Envoy's stand, by the cluster's name; none by default. Clusters that regions are
    routed to by us are known anyway."""


def observe_mistakes(
    section: ObserveSection, routes: Collection[str], regions: Collection[str]
) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find observed routes and regions that are described nowhere."""
    for name, route in section.routes.items():
        if name not in routes:
            error = check.unknown_name("BP1441", "route", name, routes)
            yield ("observe", "routes", name), error
        if route.region is not None and route.region not in regions:
            yield ("observe", "routes", name, "region"), check.unknown_name("BP1441", "region", route.region, regions)
    for name, region in section.clusters.items():
        if region not in regions:
            yield ("observe", "clusters", name), check.unknown_name("BP1441", "region", region, regions)


def both_mistakes(
    section: ObserveSection, istio: IstioSection | None
) -> Iterator[tuple[KeyPath, BorderpostError]]:  # fmt: skip
    """Find observed routes that an Istio gateway would enforce."""
    if istio is None or not section.routes:
        return
    if istio.whole_gateway:
        detail = "`hosts` is every host of the gateway, so each of its routes is enforced"
        yield ("istio", "hosts"), BorderpostError("BP1442", detail, mend="Name the hosts that are to be enforced.")
    for index, route in enumerate(istio.routes):
        if route.name in section.routes:
            detail = f"route `{route.name}` is under `observe.routes`, too"
            yield (
                ("istio", "routes", index),
                BorderpostError("BP1442", detail, mend="Name it in one of them."),
            )


def observe_warning(section: ObserveSection, *, bodies_read: bool) -> BorderpostError | None:
    """Return what is to be said wherever a configuration with observed routes is taken; None where there are none."""
    if not section.routes:
        return None
    names = sorted(section.routes)
    told = ", ".join(f"`{name}`" for name in names[: limits.PROBLEMS_MAX])
    more = f" and {len(names) - limits.PROBLEMS_MAX} more" if len(names) > limits.PROBLEMS_MAX else ""
    unseen = "; their bodies are not seen, as they will be once the routes are enforced" if bodies_read else ""
    return BorderpostError("BP1440", f"no law is kept on {told}{more}{unseen}", place=Place(key="observe.routes"))
