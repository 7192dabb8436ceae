"""Rules about being asked: our filter is there, on every way to a region, and nothing passes it by."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_base.names import CLUSTER_HEADER
from borderpost_base.yaml_source import KeyPath
from borderpost_envoy.doctor.checks import EXT_AUTHZ, EXT_PROC, EXT_PROC_API, HTTP_FILTERS, MANAGER, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Leads, Manager, Route
from borderpost_envoy.doctor.rules.clients import strips_ours
from borderpost_envoy.doctor.scene import Door, Scene, is_law
from borderpost_envoy.plan import Via

_FRACTIONS = {"HUNDRED": 100.0, "TEN_THOUSAND": 10_000.0, "MILLION": 1_000_000.0}


@check(
    Rule(
        "BPD001",
        "nothing asks Borderpost",
        "No listener has a filter that asks Borderpost, so no law is applied here at all. On Istio this is what an "
        "EnvoyFilter looks like that matched nothing: it is passed over without a word.",
        "Compare labels, namespace, context and names of the patch with the gateway; render it again.",
    ),
    source=HTTP_FILTERS,
)
def somebody_asks(scene: Scene) -> Iterator[Hit]:
    """Look for any door at all."""
    if "ListenersConfigDump" in scene.configuration.partial:
        return
    if not scene.doors:
        yield Hit(scene.configuration.root, "Envoy", "No filter of any listener asks Borderpost.")
    elif not any(_is_ever_on(door, scene) for door in scene.doors):
        at = scene.doors[0].filter.message
        yield Hit(at, scene.doors[0].subject, "It is disabled, and no route turns it on.")


def _is_ever_on(door: Door, scene: Scene) -> bool:
    if not door.filter.message.flag("disabled"):
        return True
    return any(scene.turned(door, *where)[0] for where in door.manager.routes())


@check(
    Rule(
        "BPD002",
        "a listener leads to a region without asking",
        "Whoever reaches this listener reaches the region; no law, no record.",
        "Give the listener Borderpost's filter, or take its way to the region out.",
    ),
    source=MANAGER,
)
def every_way_asks(scene: Scene) -> Iterator[Hit]:
    """Look for ways to regions on chains without a door."""
    if not scene.doors:
        return
    for _, chain in scene.chains():
        for cluster in sorted(set(chain.clusters) & scene.regions):
            yield Hit(chain.message, f"listener {chain.label}", f"Connections go to `{cluster}` as they come.")
        manager = chain.manager
        if manager is None or scene.doors_of(manager):
            continue
        closed = strips_ours(manager)
        for _, host, route in manager.routes():
            if closed and is_law(route) and route.header in (None, CLUSTER_HEADER):
                continue  # nobody can name a cluster here: not the client, and not us
            for cluster in _regions_of(route, scene):
                subject = f"listener {chain.label}: virtual host {host.name}, route {route.label}"
                yield Hit(route.message, subject, f"Requests go to {cluster}, and no filter of this listener asks.")


def _regions_of(route: Route, scene: Scene) -> list[str]:
    if route.leads is Leads.HEADER:
        return [f"any cluster that the header `{route.header}` names"]
    named = set(route.clusters) if route.specifier is None else route.specifier.clusters
    return [f"`{cluster}`" for cluster in sorted(named & scene.regions)]


@check(
    Rule(
        "BPD003",
        "a request goes on when Borderpost does not answer",
        "With failure_mode_allow an outage of Borderpost, or a slow answer, lets requests through undecided.",
        "Set `failure_mode_allow: false`; take overrides of it out of routes.",
    ),
    source=EXT_PROC,
)
def refuses_without_an_answer(scene: Scene) -> Iterator[Hit]:
    """Look at the filter and at each override of it."""
    for door in scene.doors:
        if door.config.flag("failure_mode_allow"):
            yield Hit(door.config.get("failure_mode_allow"), door.subject, "`failure_mode_allow` is true.")
        for each in scene.overrides(door.manager, door.filter.name):
            if each.config.get("overrides").flag("failure_mode_allow"):
                yield Hit(each.message, each.subject, f"`failure_mode_allow` is true here for `{door.filter.name}`.")


@check(
    Rule(
        "BPD004",
        "Borderpost's filter can be passed over",
        "A filter that is disabled, optional or behind a matcher is left out without a trace in the answer.",
        "Take `disabled`, `is_optional` and the matcher out; a host without law gets a listener of its own.",
    ),
    source=HTTP_FILTERS,
)
def is_never_passed_over(scene: Scene) -> Iterator[Hit]:
    """Look at the filter's entry in the chain, and whether it is on wherever a region can be reached."""
    for door in scene.doors:
        if door.filter.message.flag("is_optional"):
            yield Hit(door.filter.message, door.subject, "It is optional: an Envoy that lacks it goes on without.")
        if door.filter.conditional:
            yield Hit(door.filter.message, door.subject, "A matcher decides whether it runs.")
        told: set[KeyPath] = set()
        for table, host, route in door.manager.routes():
            reaches = is_law(route) or bool(set(route.clusters) & scene.regions)
            on, at = scene.turned(door, table, host, route)
            if reaches and not on and at.node.path not in told and not scene.observed(door.manager, route):
                told.add(at.node.path)
                subject = f"virtual host {host.name}, route {route.label}"
                yield Hit(at, subject, f"`{door.filter.name}` is off here.")
            for one in route.action.get("weighted_clusters").each("clusters"):
                for key, packed in one.entries("typed_per_filter_config"):
                    if key == door.filter.name and reaches:
                        subject = f"virtual host {host.name}, route {route.label}, cluster {one.text('name')}"
                        yield Hit(packed, subject, f"`{key}` is configured anew for a part of the requests.")


@check(
    Rule(
        "BPD005",
        "Borderpost is asked and not obeyed",
        "In observability mode Envoy does not wait for the answer, in shadow mode it ignores it, and a runtime "
        "fraction lets the rest go unasked. What the configuration observes is told as a note.",
        "Take `observability_mode`, `shadow_mode`, `filter_enabled` and `filter_enabled_metadata` out where law holds.",
    ),
    source=EXT_PROC_API,
)
def is_obeyed(scene: Scene) -> Iterator[Hit]:
    """Look for modes in which answers do not bind."""
    for manager, _, host, route in scene.guarded_routes():
        if scene.observed(manager, route):
            subject = f"virtual host {host.name}, route {route.label}"
            said = "The configuration says so, too." if route.name in scene.expected.observed else _NOT_SAID
            message = f"It is only observed: no law is kept on it. {said}"
            yield Hit(route.message, subject, message, _observed_level(scene, route))
    for door in scene.doors:
        config = door.config
        if config.flag("observability_mode"):
            yield Hit(
                config.get("observability_mode"),
                door.subject,
                "`observability_mode` is on: the answer changes nothing.",
            )
        if config.flag("shadow_mode"):
            yield Hit(
                config.get("shadow_mode"), door.subject, "`shadow_mode` is on: a refusal is counted and passed over."
            )
        if config.has("filter_enabled_metadata"):
            yield Hit(config, door.subject, "`filter_enabled_metadata`: requests without that metadata are not asked.")
        enabled = config.get("filter_enabled")
        if enabled.present:
            share = enabled.get("default_value")
            whole = _FRACTIONS.get(share.choice("denominator", tuple(_FRACTIONS)), 0.0)
            if (share.number("numerator") or 0.0) < whole or enabled.text("runtime_key"):
                yield Hit(enabled, door.subject, "`filter_enabled` asks about a part of the requests only.")


_NOT_SAID = "No configuration that was given says so."


def _observed_level(scene: Scene, route: Route) -> Level:
    """Return an error where Borderpost means to decide on the route, a note where it means not to."""
    if is_law(route) or (scene.expected.known and route.name not in scene.expected.observed):
        return Level.ERROR
    return Level.NOTE if scene.expected.known else Level.WARNING


@check(
    Rule(
        "BPD006",
        "the request's headers are not sent to Borderpost",
        "Without them there is no question: Envoy opens no stream for the headers and goes on.",
        "Set `request_header_mode: SEND`.",
    ),
    source=EXT_PROC_API,
)
def is_told_the_headers(scene: Scene) -> Iterator[Hit]:
    """Look at processing modes of the filter and of its overrides."""
    for door, at, subject, mode in _modes(scene):
        if mode.choice("request_header_mode", ("DEFAULT", "SEND", "SKIP")) == "SKIP":
            yield Hit(at, subject, f"`request_header_mode` is SKIP for `{door}`.")


@check(
    Rule(
        "BPD007",
        "Borderpost is asked more than once a request",
        "Each request is decided once, by its headers or its body. A response phase, trailers or an overridden mode is "
        "a second question on the same stream, which costs a round trip and which nobody answers.",
        "Set `response_header_mode: SKIP`; leave response bodies, trailers and `allow_mode_override` off.",
        Level.WARNING,
    ),
    source=EXT_PROC_API,
)
def is_asked_once(scene: Scene) -> Iterator[Hit]:
    """Look for phases beyond the request."""
    for door, at, subject, mode in _modes(scene):
        if mode.choice("response_header_mode", ("DEFAULT", "SEND", "SKIP")) != "SKIP":
            yield Hit(at, subject, f"Response headers are sent to `{door}`, too (`response_header_mode`).")
        if mode.choice("response_body_mode", ("NONE",)) != "NONE":
            yield Hit(at, subject, f"Response bodies are sent to `{door}`, too.")
        for name in ("request_trailer_mode", "response_trailer_mode"):
            if mode.choice(name, ("DEFAULT", "SEND", "SKIP")) == "SEND":
                yield Hit(at, subject, f"Trailers are sent to `{door}`, too (`{name}`).")
    for asking in scene.doors:
        if asking.config.flag("allow_mode_override"):
            yield Hit(
                asking.config.get("allow_mode_override"),
                asking.subject,
                "`allow_mode_override`: an answer may change what is asked.",
            )


@check(
    Rule(
        "BPD008",
        "a decision may rest on a part of the body",
        "What stands after the part that was seen goes undecided to wherever the part led.",
        "Use `request_body_mode: BUFFERED` behind Envoy's buffer filter (the bound holds in HTTP/2 only there), and no "
        "`allow_partial_message`.",
    ),
    source=EXT_PROC_API,
)
def sees_whole_bodies(scene: Scene) -> Iterator[Hit]:
    """Look at body modes, and for the buffer that bounds bodies."""
    for door, at, subject, mode in _modes(scene):
        body = mode.choice("request_body_mode", ("NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL"))
        if body not in ("NONE", "BUFFERED"):
            yield Hit(at, subject, f"`request_body_mode` of `{door}` is {body}.")
    for asking in scene.doors:
        bodies = asking.config.get("with_request_body")
        if bodies.flag("allow_partial_message"):
            yield Hit(bodies, asking.subject, "`allow_partial_message`: a longer body is cut and decided by its begin.")
        mode = asking.config.get("processing_mode")
        buffered = mode.choice("request_body_mode", ("NONE", "STREAMED", "BUFFERED")) == "BUFFERED"
        if (buffered or bodies.present) and not _buffers_before(asking.manager, asking.filter.index):
            message = "Bodies are sent, and no buffer filter before it bounds them: over HTTP/2 nothing does."
            yield Hit(asking.config, asking.subject, message)


def _buffers_before(manager: Manager, index: int) -> bool:
    return any(one.type.endswith("buffer.v3.Buffer") for one in manager.filters[:index])


@check(
    Rule(
        "BPD009",
        "a route asks somebody else",
        "An override of `grpc_service` takes the question away from Borderpost; whoever answers there, routes.",
        "Take `grpc_service` out of the override.",
    ),
    source=EXT_AUTHZ,
)
def asks_nobody_else(scene: Scene) -> Iterator[Hit]:
    """Look for overrides of whom to ask."""
    for door in scene.doors:
        for each in scene.overrides(door.manager, door.filter.name):
            for holder in ("overrides", "check_settings"):
                service = each.config.get(holder, "grpc_service")
                other = service.get("envoy_grpc").text("cluster_name")
                if each.config.get(holder).has("http_service") or (service.present and other != door.cluster):
                    yield Hit(each.message, each.subject, f"`{other or 'another service'}` is asked, not Borderpost.")


def _modes(scene: Scene) -> Iterator[tuple[str, Message, str, Message]]:
    """Yield each processing mode of ext_proc: the filter's name, where it stands, its subject and itself."""
    for door in scene.doors:
        if door.via is not Via.EXT_PROC:
            continue
        yield door.filter.name, door.config, door.subject, door.config.get("processing_mode")
        for each in scene.overrides(door.manager, door.filter.name):
            mode = each.config.get("overrides", "processing_mode")
            if mode.present:
                yield door.filter.name, each.message, each.subject, mode
