"""Rules about EnvoyFilters: patches of ours that do not arrive, and patches of others that undo them."""

from __future__ import annotations

from typing import Final

from borderpost.reports.finding import Level, Rule

_SILENT = (
    "istiod skips it without a word, in its log, its status and `istioctl validate` alike, and the gateway runs on "
)
_GONE = "What Borderpost is not asked about goes wherever the route leads, and no record says so."

PATCH_MATCHES_NOTHING: Final = Rule(
    "BPD050",
    "a patch of the EnvoyFilter matches nothing",
    f"{_SILENT}without what the patch should have brought: the filter, the strip of headers, or the allow-list.",
    "Name what istiod makes of the Gateways and VirtualServices: virtual hosts `host:port` (of several hosts of one "
    "VirtualService only the longest), routes by the VirtualService's `http[].name`, listeners by the Gateway's port.",
)
ROUTE_UNNAMED: Final = Rule(
    "BPD051",
    "a route of a protected host has no name",
    "EnvoyFilter finds routes by name alone, and the policy knows its `routes` by that name: an unnamed one can be "
    "neither patched nor given a purpose, and its requests are decided as of no route.",
    "Give each entry of `http` a `name` of its own.",
)
PATCH_WITHOUT_EFFECT: Final = Rule(
    "BPD052",
    "the operation does nothing on what it is applied to",
    f"{_SILENT}as if the patch were not there. REPLACE of an HTTP_ROUTE, a CLUSTER or a LISTENER is such a one, and so "
    "is anything but MERGE on a ROUTE_CONFIGURATION.",
    "Use MERGE where one setting changes; REMOVE and ADD where a whole object does.",
)
WRONG_CONTEXT: Final = Rule(
    "BPD053",
    "the patch is for sidecars, and the workload is a gateway",
    f"{_SILENT}unpatched: a gateway takes patches of the contexts GATEWAY and ANY alone.",
    "Say `match: {context: GATEWAY}`.",
)
SELECTS_NOTHING: Final = Rule(
    "BPD054",
    "the EnvoyFilter selects no gateway",
    f"{_SILENT}unpatched: no pod and no Gateway in the namespace has the labels.",
    "Take the labels of the gateway's pods, which its Gateway selects by too.",
)
WRONG_NAMESPACE: Final = Rule(
    "BPD055",
    "the EnvoyFilter stands neither in the gateway's namespace nor in the root namespace",
    f"{_SILENT}unpatched: only these two namespaces are looked into for a proxy.",
    "Move it into the namespace of the gateway's pods.",
)
PROXY_VERSION: Final = Rule(
    "BPD056",
    "the patch is for no supported version of the proxy",
    f"{_SILENT}unpatched, on the day of the upgrade at the latest.",
    r"Leave out `proxyVersion`, or match each version that you run, such as `^1\.(2[7-9]|3[01])\..*`.",
)
UNKNOWN_FIELD: Final = Rule(
    "BPD057",
    "a field that the type does not have is dropped",
    "istiod drops unknown fields in a patch's value: a setting with a typo is a setting that is not there, such as "
    "`failure_mode_alow: false` or a `mutation_rule` that allows everything.",
    "Correct the name; `istioctl validate` warns of it too.",
)
LATER_PATCH: Final = Rule(
    "BPD058",
    "another EnvoyFilter changes the same thing after ours",
    "Patches apply by priority, then root namespace first, then by age and name: who comes later wins, and a MERGE "
    "appends to lists that nobody can shorten again.",
    "Give the EnvoyFilter of Borderpost the highest `priority` of those that touch the gateway.",
    Level.WARNING,
)
FAILURE_ALLOWED: Final = Rule(
    "BPD059",
    "requests pass where Borderpost does not answer",
    "`failure_mode_allow: true` lets a request go on unexamined when the service is down, slow or full; an override on "
    "one route is enough, in whatever namespace it is written.",
    "Set it to false, and remove overrides of it.",
)
ASKING_DISABLED: Final = Rule(
    "BPD060",
    "the filter is switched off for some requests",
    f"{_GONE} `disabled: true` in a `typed_per_filter_config` of any EnvoyFilter does it for a route or a host.",
    "Remove the entry, or serve what needs no decision on a host of its own.",
)
ASKING_OVERRIDDEN: Final = Rule(
    "BPD061",
    "somebody overrides the filter's settings for some requests",
    "Per-route overrides can point the question at another service, skip the request headers or forward other "
    "metadata: the decision is then somebody else's.",
    "Remove the override; each setting has its place in the configuration of Borderpost.",
)
SECOND_EXT_PROC: Final = Rule(
    "BPD062",
    "a second processor stands in the chain",
    "Another ext_proc or a filter of that default name can set the header that we route by, clear the route cache "
    "after us, or be configured per route by an InferencePool, which fails open.",
    "Serve inference pools on a gateway of their own; forbid other processors our headers by `mutation_rules`.",
    Level.WARNING,
)
FILTER_TAKEN_OUT: Final = Rule(
    "BPD063",
    "a patch takes out or replaces what protects",
    f"{_GONE} A REMOVE or REPLACE that matches our filter, the connection manager, or everything, does it in silence.",
    "Remove the patch, or narrow its match.",
)
HEADER_SET: Final = Rule(
    "BPD064",
    "something other than Borderpost sets the header that routes",
    "Routes follow `x-borderpost-cluster`: whoever sets it after our filter chooses the region.",
    "Leave every header under `x-borderpost-` to Borderpost.",
)
ROUTE_ELSEWHERE: Final = Rule(
    "BPD065",
    "a patch gives protected requests another destination",
    "A route, cluster or whole virtual host that another EnvoyFilter brings in comes before the decision, or in its "
    "place.",
    "Remove the patch; destinations are regions of the configuration.",
)
INTERNAL_REDIRECT: Final = Rule(
    "BPD067",
    "Envoy follows redirects of the upstream",
    "With `internal_redirect_policy` the body of the request is sent once more, to wherever the first answer points.",
    "Remove the policy: the caller follows redirects, and is decided again.",
)
UPGRADES: Final = Rule(
    "BPD068",
    "CONNECT or another upgrade is let through",
    "After the upgrade Envoy passes bytes: further requests inside of it are decided by nobody.",
    "Remove `upgrade_configs` and `connect_config` from protected routes and their listener.",
)
RATE_LIMIT_OPEN: Final = Rule(
    "BPD069",
    "the rate limit fails open",
    "Without `failure_mode_deny: true` every request passes while the limiter is away.",
    "Say `failure_mode_deny: true`.",
    Level.WARNING,
)
CHARGED_BARE: Final = Rule(
    "BPD100",
    "a charge at the end of a request is not what it seems",
    "`apply_on_stream_done` fires for requests that a limit refused, too, and a charge without `hits_addend` is 1. On "
    "a route's own `rate_limits` Envoy ignores `hits_addend` without a word.",
    "Give the charge `hits_addend.format` from the response's metadata, without which Envoy sends nothing, or "
    "`number: 0` where the end alone is to be told; in RateLimitPerRoute or the filter's own `rate_limits`.",
)

RULES: Final = (
    PATCH_MATCHES_NOTHING,
    ROUTE_UNNAMED,
    PATCH_WITHOUT_EFFECT,
    WRONG_CONTEXT,
    SELECTS_NOTHING,
    WRONG_NAMESPACE,
    PROXY_VERSION,
    UNKNOWN_FIELD,
    LATER_PATCH,
    FAILURE_ALLOWED,
    ASKING_DISABLED,
    ASKING_OVERRIDDEN,
    SECOND_EXT_PROC,
    FILTER_TAKEN_OUT,
    HEADER_SET,
    ROUTE_ELSEWHERE,
    INTERNAL_REDIRECT,
    UPGRADES,
    RATE_LIMIT_OPEN,
    CHARGED_BARE,
)
