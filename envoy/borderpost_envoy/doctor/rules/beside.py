"""Rules about what stands beside our filter: others of its kind, those that run after it, and ways around the chain."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_envoy.doctor.checks import EXT_PROC, HTTP_FILTERS, UPGRADES, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import HttpFilter, Manager
from borderpost_envoy.doctor.rules.clients import HEADER_MUTATION
from borderpost_envoy.doctor.scene import EXT_AUTHZ_TYPE, EXT_PROC_TYPE, Door, Scene, is_observer, named_in_match

_GENERIC_NAME = "envoy.filters.http.ext_proc"
"""The name that Istio's own ext_proc filters have, and by which routes configure them."""
_CHANGERS = (
    EXT_PROC_TYPE,
    EXT_AUTHZ_TYPE,
    "envoy.extensions.filters.http.lua.v3.Lua",
    "envoy.extensions.filters.http.wasm.v3.Wasm",
    "envoy.extensions.filters.http.golang.v3alpha.Config",
    "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
    "envoy.extensions.filters.http.composite.v3.Composite",
)
"""Types of filters that can change any header and have the route chosen again."""
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"


@check(
    Rule(
        "BPD041",
        "another filter answers to the same name, or asks another server",
        "Routes configure a filter by its name: what another team writes for `envoy.filters.http.ext_proc` would hold "
        "for ours. A second ext_proc in the chain may set any header, ours included, unless its own rules forbid it.",
        "Name our filter `borderpost.ext_proc`; keep other processors out of chains that lead to regions.",
    ),
    source=EXT_PROC,
)
def is_alone(scene: Scene) -> Iterator[Hit]:
    """Look for other processors, and for names that are shared."""
    for manager in scene.guarded:
        doors = scene.doors_of(manager)
        own = {door.filter.index for door in doors}
        for door in doors:
            if door.filter.name == _GENERIC_NAME:
                yield Hit(door.filter.message, door.subject, "Its name is the one that everybody's ext_proc has.")
            twins = [one for one in manager.filters if one.name == door.filter.name and one.index != door.filter.index]
            if twins:
                yield Hit(
                    twins[0].message, door.subject, f"Another filter of the chain is called `{door.filter.name}`."
                )
        for one in manager.filters:
            if one.type == EXT_PROC_TYPE and one.index not in own and not is_observer(one):
                subject = f"listener {manager.label}: filter {one.name}"
                yield Hit(one.message, subject, "It is a second ext_proc in the chain.")


@check(
    Rule(
        "BPD042",
        "a filter after ours may undo the decision",
        "What runs between our filter and the router can set the cluster's header, and have the route chosen again. "
        "What a cluster runs by itself sees the prompt after the decision, and may send it to others.",
        "Put it before our filter, which writes over whatever it set; ours stands directly before the router.",
    ),
    source=HTTP_FILTERS,
)
def has_the_last_word(scene: Scene) -> Iterator[Hit]:
    """Look at filters between the last door and the router."""
    for manager in scene.guarded:
        last = max(door.filter.index for door in scene.doors_of(manager))
        for one in manager.filters[last + 1 :]:
            subject = f"listener {manager.label}: filter {one.name}"
            if is_observer(one):
                continue
            if one.type in _CHANGERS:
                yield Hit(one.message, subject, f"It is {one.type.rpartition('.')[2]} and runs after the decision.")
            elif not one.type:
                yield Hit(
                    one.message, subject, "What it is cannot be seen, and it runs after the decision.", Level.WARNING
                )
            elif one.type == HEADER_MUTATION and _removes(one):
                yield Hit(one.message, subject, "It removes headers of ours after the decision.")

    for cluster in scene.reachable:
        for each in cluster.http_options.each("http_filters"):
            kind, _ = each.typed("typed_config")
            if kind in _CHANGERS:
                message = (
                    f"Its own filter `{each.text('name')}` is {kind.rpartition('.')[2]}, on the way to the region."
                )
                yield Hit(each, f"cluster {cluster.name}", message)


def _removes(one: HttpFilter) -> bool:
    mutations = one.config.get("mutations").each("request_mutations")
    return any((mutation.text("remove") or "").lower().startswith("x-borderpost-") for mutation in mutations)


@check(
    Rule(
        "BPD043",
        "authorization judged another route",
        "RBAC before our filter goes by the route as it was before the decision. Where the decision picks another "
        "route, what that route says for RBAC is never asked.",
        "Put the rules where they hold for all routes, or choose the cluster by the matcher, which keeps the route.",
    ),
    source=HTTP_FILTERS,
)
def authorizes_the_route_that_is_taken(scene: Scene) -> Iterator[Hit]:
    """Look for RBAC of routes that only the decision picks."""
    for manager in scene.guarded:
        for door in scene.doors_of(manager):
            for one in _rbac_before(manager, door):
                for each in scene.overrides(manager, one.name):
                    if each.route is not None and named_in_match(each.route) is not None:
                        message = f"`{one.name}` runs before the decision, and this route is only picked after it."
                        yield Hit(each.message, each.subject, message)


def _rbac_before(manager: Manager, door: Door) -> Iterator[HttpFilter]:
    for one in manager.filters[: door.filter.index]:
        if one.type == _RBAC:
            yield one


@check(
    Rule(
        "BPD044",
        "a tunnel goes past the decision",
        "An upgraded or CONNECT request is decided once, by its headers, and then carries anything for as long as it "
        "likes. An upgrade may have a chain of filters of its own, without ours. Websockets by the usual chain, which "
        "Istio and Envoy Gateway allow everywhere, are a note.",
        "Take `upgrade_configs` and `connect_matcher` out where regions are reached; if a websocket is needed, let its "
        "`filters` be absent, so that it takes the usual chain.",
    ),
    source=UPGRADES,
)
def has_no_tunnels(scene: Scene) -> Iterator[Hit]:
    """Look for upgrades and CONNECT on guarded managers."""
    for manager in scene.guarded:
        subject = f"listener {manager.label}"
        for one in manager.message.each("upgrade_configs"):
            if any(True for _ in one.each("filters")):
                message = f"Requests that upgrade to {one.text('upgrade_type')} take a chain of filters of their own."
                yield Hit(one, subject, message)
            else:
                yield from _upgrades(one, subject)
        for _, host, route in scene.asking(manager):
            told = f"virtual host {host.name}, route {route.label}"
            if route.message.get("match").has("connect_matcher"):
                yield Hit(route.message, told, "It takes CONNECT requests.")
            for one in route.action.each("upgrade_configs"):
                yield from _upgrades(one, told)


def _upgrades(one: Message, subject: str) -> Iterator[Hit]:
    """Tell an upgrade that takes the usual chain: a CONNECT is an error; a websocket is decided, once, and noted."""
    kind = one.text("upgrade_type") or "?"
    if one.flag("enabled", default=True):
        level = Level.ERROR if kind.upper().startswith("CONNECT") else Level.NOTE
        yield Hit(one, subject, f"Requests may upgrade to {kind}; what follows their headers is not decided.", level)
