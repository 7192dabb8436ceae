"""Rules about where requests go: VirtualServices, routes of the Gateway API, DestinationRules, ServiceEntries."""

from __future__ import annotations

from typing import Final

from borderpost.reports.finding import Level, Rule

_BESIDE = "No retry, no health check and no weight asks the law: what one name leads to has to be one legal region."

MIRRORED: Final = Rule(
    "BPD066",
    "requests are copied to somewhere else",
    "A mirror sends headers and body to a second place, whatever was decided of the first.",
    "Remove the mirror, or mirror inside the region behind the decision.",
)
HOST_CAUGHT: Final = Rule(
    "BPD070",
    "another route takes requests of a protected host",
    "On one gateway, routes for one host are put together and the more exact host wins: what another team binds there "
    "later answers in place of ours, or catches what was not decided.",
    "Take the host out of it, bind it to another gateway, or keep other namespaces out by the Gateway's `hosts`.",
)
ROUTE_UNASKED: Final = Rule(
    "BPD071",
    "a route leads to a region without the decision",
    "When the question ends without an answer (Envoy goes on after a clean close), or a host was forgotten, this route "
    "serves the request in a region that nobody chose.",
    "Match `x-borderpost-cluster` in each route to a region, and have no route without it.",
)
RETRY_REMOTE: Final = Rule(
    "BPD072",
    "retries may leave the region",
    "`retryRemoteLocalities` (Envoy's previous_priorities) sends the next attempt to another locality on purpose.",
    "Remove it; retries inside the cluster stay in the region.",
)
SENT_ELSEWHERE: Final = Rule(
    "BPD073",
    "a redirect or rewrite names another host",
    "A caller that follows the redirect, or an upstream that serves by host name, is somewhere that was not decided.",
    "Rewrite to hosts of the same region only, and redirect to hosts that this gateway protects.",
    Level.WARNING,
)
DELEGATED: Final = Rule(
    "BPD074",
    "the routes of a protected host are delegated",
    "Whoever may write the delegate adds routes to the host, with destinations, mirrors and retries of their own.",
    "Write the routes of a protected host in its own VirtualService.",
    Level.WARNING,
)
FAILOVER_ON: Final = Rule(
    "BPD075",
    "locality failover is on",
    "Outlier detection turns on Istio's locality failover unless `localityLbSetting` says otherwise: on the day when a "
    "region fails, its requests cross the border.",
    "Say `trafficPolicy.loadBalancer.localityLbSetting: {enabled: false}` for the host of each region.",
)
FAILOVER_ACROSS: Final = Rule(
    "BPD076",
    "failover or distribution across regions is configured",
    f"{_BESIDE} `failover`, `failoverPriority` and `distribute` lead out of it by design.",
    "Remove them; Borderpost chooses the next region, among those that the law allows for the request.",
)
REGIONS_MIXED: Final = Rule(
    "BPD077",
    "one host has endpoints in several regions",
    f"{_BESIDE} With endpoints of two regions under one name, any request may land in either.",
    "Give each region a host of its own.",
)
WEIGHTS_MIX: Final = Rule(
    "BPD078",
    "one route or subset spreads requests over several regions",
    f"{_BESIDE} A weight is a coin that is tossed after the decision.",
    "Route to one region's host; let Borderpost weigh regions.",
)
PLAINTEXT: Final = Rule(
    "BPD079",
    "requests travel to a region in clear",
    "Between gateway and region lie networks of others, perhaps of other countries: whoever carries the packets reads "
    "the prompts.",
    "Originate TLS: `tls: {mode: MUTUAL, …}`, or `SIMPLE` with `subjectAltNames`.",
)
TLS_UNVERIFIED: Final = Rule(
    "BPD080",
    "nobody checks who answers for a region",
    "Without pinned names, whoever holds any certificate of the authority, or the name in the DNS, is the region.",
    "Give `subjectAltNames` and `sni`, and take out `insecureSkipVerify`.",
)
HOST_OPEN: Final = Rule(
    "BPD081",
    "a host of a region stands for no known endpoints",
    "With a wildcard, `resolution: NONE` or DYNAMIC_DNS the request's own authority or address says where it goes, "
    "which is the caller's choice.",
    "Name one host for each region, `resolution: STATIC` with its endpoints, or DNS with one name.",
)
EVERY_CLUSTER: Final = Rule(
    "BPD082",
    "the header may name any cluster of the proxy",
    "`cluster_header` follows whatever name it is given. Where outbound traffic is ALLOW_ANY, a sidecar has "
    "PassthroughCluster, which connects wherever the request wants.",
    "Use the matcher, an allow-list; or REGISTRY_ONLY, and no `cluster_header` in a sidecar.",
)

RULES: Final = (
    MIRRORED,
    HOST_CAUGHT,
    ROUTE_UNASKED,
    RETRY_REMOTE,
    SENT_ELSEWHERE,
    DELEGATED,
    FAILOVER_ON,
    FAILOVER_ACROSS,
    REGIONS_MIXED,
    WEIGHTS_MIX,
    PLAINTEXT,
    TLS_UNVERIFIED,
    HOST_OPEN,
    EVERY_CLUSTER,
)
