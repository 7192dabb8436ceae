"""Errors of area 14: rendering for Istio, Envoy Gateway and Kubernetes."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP1401",
        "name that Envoy or Kubernetes cannot carry",
        "Host names are ASCII, of labels of at most 63 letters, digits and `-`, together at most 253 (RFC 1123). "
        "Unicode names travel as `xn--…`, and which spelling is meant is not guessed.",
        "Correct the name; write an international name as clients send it.",
    ),
    ErrorSpec(
        "BP1402",
        "regions are not the same in two places",
        "`istio.regions` says how the gateway reaches each region under `regions`, no more and no fewer.",
        "Add the region where it is missing, or correct its name.",
    ),
    ErrorSpec(
        "BP1403",
        "cluster has another name on Istio",
        "istiod names clusters itself, `outbound|PORT|SUBSET|HOST`. An answer with any other name leads nowhere.",
        "Leave out `cluster` under `regions`: the name follows from `istio.regions`.",
    ),
    ErrorSpec(
        "BP1404",
        "one host would be two regions",
        "Envoy balances over all endpoints of a host, so that a request for one region could be served by the other.",
        "Give each region a host of its own, or `labels` with different values for the same key.",
    ),
    ErrorSpec(
        "BP1405",
        "routes are not the same in two places",
        "`routes` says what law holds on a route, `istio.routes` which paths it serves. A route with law that "
        "serves no path is a law that is never kept.",
        "Describe each route in both places, or leave out `istio.routes` where one route serves everything.",
    ),
    ErrorSpec(
        "BP1406",
        "the configuration has no section for this",
        "What is to be rendered needs to know hosts, gateways and how regions are reached.",
        "Add the section; the guide has an example.",
    ),
    ErrorSpec(
        "BP1407",
        "nobody can say where a region's addresses lie",
        "A NetworkPolicy knows addresses alone, and this region is reached by a name outside the cluster.",
        "Name its `networks`, or set `istio.egress: null` to have no NetworkPolicy rendered.",
    ),
    ErrorSpec(
        "BP1408",
        "object is larger than Kubernetes takes",
        "Kubernetes keeps an object of at most 1.5 MiB (etcd), with annotations of at most 256 KiB.",
        "Have fewer hosts or regions in one gateway, or choose `--route-style cluster_header`, which names none.",
    ),
    ErrorSpec(
        "BP1409",
        "this release of Istio cannot do that",
        "The proxy of `istio.version` is built without an extension, or older than a field, that is needed.",
        "Choose what it can do, or a newer release.",
    ),
    ErrorSpec(
        "BP1410",
        "rendered files cannot be written there",
        "Files of an earlier rendering are replaced. One of the same name that was not rendered stays as it is, and so "
        "does a directory that cannot be written.",
        "Name an empty directory, or move the file.",
    ),
    ErrorSpec(
        "BP1411",
        "claims are read where Istio does not put them",
        "A RequestAuthentication leaves a token's claims in one fixed place of the request's metadata.",
        "Leave out `namespace` and `payload_key` of `evidence.token`.",
    ),
    ErrorSpec(
        "BP1420",
        "failover group of other regions than it may have",
        "A failover group names a region that the catalogue does not have, or one region twice.",
        "List each region once, by its id under `regions`.",
    ),
    ErrorSpec(
        "BP1421",
        "two failover groups for one thing",
        "Two failover groups are the same regions in the same order, and which of them is answered would be chance.",
        "Remove one of them, or change its order.",
    ),
    ErrorSpec(
        "BP1422",
        "cannot be rendered for Envoy Gateway",
        "Envoy Gateway has no way to say this, or none that keeps the law.",
        "Change what the message names, or render for plain Envoy or Istio.",
    ),
    ErrorSpec(
        "BP1440",
        "routes are observed, not enforced",
        "Requests on these routes are recorded as they would have been decided, and go wherever Envoy sends them: no "
        "law is kept on them.",
        "Read `borderpost shadow-summary`, then take the routes out of `observe.routes` and render Envoy anew.",
    ),
    ErrorSpec(
        "BP1441",
        "what is to be observed is not described",
        "`observe` names a route that is not under `routes`, or a region that is not under `regions`.",
        "Describe it there (`routes: {NAME: {}}` will do), or correct the name.",
    ),
    ErrorSpec(
        "BP1442",
        "route would be observed and enforced",
        "A route is one or the other: what is observed leads to a cluster of your own, what is enforced leads nowhere "
        "without our answer.",
        "Give Envoy the routes under `observe.routes` with --observe, the others with --route, and no prefix twice.",
    ),
    ErrorSpec(
        "BP1443",
        "Envoy only observes a route that is to be enforced",
        "Envoy told us of a request and does not wait for the answer, but the configuration does not name its route "
        "under `observe.routes`. The request went its way, whatever the law says.",
        "Render Envoy anew for a route that is enforced now; or name the route under `observe.routes`, as its filter "
        "does.",
    ),
    ErrorSpec(
        "BP1444",
        "Envoy enforces a route that is to be observed",
        "Envoy waits for the answer to a request whose route is under `observe.routes`. It is refused: a route that is "
        "only observed must not look as if it were kept to the law.",
        "Take the route out of `observe.routes` to enforce it, or have Envoy observe it "
        "(`borderpost render envoy --observe`).",
    ),
    ErrorSpec(
        "BP1445",
        "nothing in the log was observed",
        "No record of the log, within the time asked for, is of an observed route or was made beside a shadow, so "
        "there is nothing to sum up.",
        "See that requests pass the route (`borderpost_observed_total`), or name another log or time.",
    ),
    ErrorSpec(
        "BP1450",
        "Istio's control plane is not built, and Go is missing",
        "No package registry has istiod as a program, so it is built here by Go, once; neither a build nor Go was "
        "found.",
        "Install Go 1.25 or later and run `make istio-tools`, or copy `borderpost/istio` from the cache "
        "(`$XDG_CACHE_HOME`, by default `~/.cache`) of a machine that has built it.",
    ),
    ErrorSpec(
        "BP1451",
        "Istio's control plane could not be built",
        "Go did not build istiod or istioctl; its last lines stand above.",
        "Read those lines; no way to fetch Go modules, a Go older than 1.25, or less than 4 GB of disk are the usual "
        "reasons.",
    ),
    ErrorSpec(
        "BP1452",
        "this needs a checkout",
        "The Go module that requires Istio is part of the repository and not of the installed package.",
        "Clone the repository and run it there.",
    ),
)
