"""Rules about answers: what they may change, how long they may take, and what happens without one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_base.names import CLUSTER_HEADER, METADATA_NAMESPACE
from borderpost_envoy.doctor.checks import EXT_AUTHZ, EXT_PROC, EXT_PROC_API, MUTATION_RULES, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.scene import Scene
from borderpost_envoy.plan import Via

_TIMEOUT_S_MAX = 10.0
"""A caller has given up by then; the product's own default is a quarter of a second."""
_EVERYTHING = re.compile(r"\^?\.[*+]\$?")
_ROUTING_HEADERS = (":path", ":authority", "host", "x-forwarded-for", "x-request-id", "authorization")
"""Headers that no answer of ours sets; an allow-list that takes one of them is too wide."""


@check(
    Rule(
        "BPD010",
        "the route is not chosen again after the decision",
        "Envoy chose the route before it asked. Unless the choice is cleared, the decision names a cluster and the "
        "request goes where the first choice led, or nowhere.",
        "ext_proc: `route_cache_action: CLEAR`; ext_authz: `clear_route_cache: true`.",
    ),
    source=EXT_PROC_API,
)
def chooses_again(scene: Scene) -> Iterator[Hit]:
    """Look at what becomes of the cached route."""
    for door in scene.doors:
        config = door.config
        if door.via is Via.EXT_AUTHZ:
            if not config.flag("clear_route_cache"):
                yield Hit(config.get("clear_route_cache"), door.subject, "`clear_route_cache` is not set.")
        elif config.choice("route_cache_action", ("DEFAULT", "CLEAR", "RETAIN")) == "RETAIN":
            yield Hit(config.get("route_cache_action"), door.subject, "`route_cache_action` is RETAIN.")
        elif config.flag("disable_clear_route_cache"):
            yield Hit(config.get("disable_clear_route_cache"), door.subject, "`disable_clear_route_cache` is set.")


@check(
    Rule(
        "BPD011",
        "answers may change more than Borderpost's own headers",
        "Envoy's default lets an answer rewrite the path, the client's address and the credentials. Whoever gets hold "
        "of Borderpost's socket could.",
        "Set `disallow_all: true`, an `allow_expression` of our headers and those of refusals, `disallow_is_error: "
        "true`, as `borderpost render envoy` does.",
        Level.WARNING,
    ),
    source=MUTATION_RULES,
)
def changes_its_headers_only(scene: Scene) -> Iterator[Hit]:
    """Look at the mutation rules."""
    for door in scene.doors:
        name = "mutation_rules" if door.via is Via.EXT_PROC else "decoder_header_mutation_rules"
        rules = door.config.get(name)
        wrong = _too_wide(rules)
        if wrong is not None:
            level = Level.ERROR if wrong.startswith("they refuse") else None
            yield Hit(rules if rules.present else door.config, door.subject, f"`{name}`: {wrong}.", level)


def _too_wide(rules: Message) -> str | None:
    if not rules.present:
        return "there are none, so Envoy's wide default holds"
    if not rules.flag("disallow_all"):
        return "`disallow_all` is not set"
    if not rules.flag("disallow_is_error"):
        return "`disallow_is_error` is not set, so a refused header is dropped without a word"
    allowed = rules.get("allow_expression").text("regex") or ""
    try:
        expression = re.compile(allowed)
    except re.error:
        return "`allow_expression` is one that cannot be judged here"
    if not expression.fullmatch(CLUSTER_HEADER):
        return f"they refuse `{CLUSTER_HEADER}`, so every decision is an error"
    wide = [header for header in _ROUTING_HEADERS if expression.fullmatch(header)]
    return f"they allow `{wide[0]}`" if wide else None


@check(
    Rule(
        "BPD012",
        "answers may fill other metadata than Borderpost's",
        "Metadata steers load balancing and other filters, and carries verified claims. Without our namespace the "
        "access log and the response headers lack the decision.",
        f"Set `metadata_options.receiving_namespaces.untyped: [{METADATA_NAMESPACE}]`.",
        Level.WARNING,
    ),
    source=EXT_PROC_API,
)
def fills_its_metadata_only(scene: Scene) -> Iterator[Hit]:
    """Look at the receiving namespaces of the filter and of its overrides."""
    for door in scene.doors:
        if door.via is not Via.EXT_PROC:
            continue
        held = [(door.config, door.subject, door.config.get("metadata_options"))]
        for each in scene.overrides(door.manager, door.filter.name):
            options = each.config.get("overrides", "metadata_options")
            if options.present:
                held.append((each.message, each.subject, options))
        for at, subject, options in held:
            received = options.get("receiving_namespaces")
            names = (*received.texts("untyped"), *received.texts("typed"))
            if METADATA_NAMESPACE not in names:
                yield Hit(at, subject, f"`{METADATA_NAMESPACE}` is not among the receiving namespaces.")
            for other in (name for name in names if name != METADATA_NAMESPACE):
                yield Hit(at, subject, f"`{other}` is among the receiving namespaces.")


@check(
    Rule(
        "BPD013",
        "the time for one decision is not bounded as it should be",
        "ext_proc goes by `message_timeout` and ignores a timeout of `grpc_service`; ext_authz goes by that one. What "
        "is not said is 200 ms of Envoy's choice; zero is none or no time at all.",
        "ext_proc: `message_timeout: 0.250s`; ext_authz: `grpc_service.timeout: 0.250s`.",
        Level.WARNING,
    ),
    source=EXT_PROC,
)
def ends_in_time(scene: Scene) -> Iterator[Hit]:
    """Look at the bound on a decision."""
    for door in scene.doors:
        if door.via is Via.EXT_PROC:
            name, holder, field = "message_timeout", door.config, "message_timeout"
        else:
            name, holder, field = "grpc_service.timeout", door.config.get("grpc_service"), "timeout"
        seconds, at = holder.seconds(field), holder.get(field)
        if seconds is None:
            yield Hit(at, door.subject, f"`{name}` is not said.")
        elif seconds <= 0:
            yield Hit(at, door.subject, f"`{name}` is zero.", Level.ERROR)
        elif seconds > _TIMEOUT_S_MAX:
            yield Hit(at, door.subject, f"`{name}` is {seconds:g} s: callers are gone by then.")
        if (door.config.seconds("max_message_timeout") or 0) > _TIMEOUT_S_MAX:
            yield Hit(
                door.config.get("max_message_timeout"),
                door.subject,
                "`max_message_timeout` lets an answer stretch the bound.",
            )


@check(
    Rule(
        "BPD014",
        "an outage of Borderpost looks like something else",
        "Without `status_on_error` a missing answer is 500 over ext_proc, and 403 over ext_authz: a caller takes it "
        "for the law's refusal and does not try again.",
        "Set `status_on_error: {code: ServiceUnavailable}`.",
        Level.WARNING,
    ),
    source=EXT_AUTHZ,
)
def tells_an_outage(scene: Scene) -> Iterator[Hit]:
    """Look at the status of failures."""
    for door in scene.doors:
        code = door.config.get("status_on_error").text("code")
        if code is None:
            yield Hit(door.config, door.subject, "`status_on_error` is not said.")
        elif not (code.isdigit() and code.startswith("5")) and code not in _SERVER_ERRORS:
            level = Level.ERROR if code in ("OK", "200") else None
            yield Hit(door.config.get("status_on_error"), door.subject, f"`status_on_error` is {code}.", level)


_SERVER_ERRORS = frozenset(("InternalServerError", "BadGateway", "ServiceUnavailable", "GatewayTimeout"))


@check(
    Rule(
        "BPD015",
        "every header of a request is sent to Borderpost",
        "Tokens, cookies and whatever else callers send leave Envoy, though no evidence needs them.",
        "Name the headers that the evidence needs in `forward_rules.allowed_headers` (ext_proc) or `allowed_headers` "
        "(ext_authz).",
        Level.WARNING,
    ),
    source=EXT_PROC_API,
)
def is_told_no_more_than_it_needs(scene: Scene) -> Iterator[Hit]:
    """Look for the list of headers that are forwarded."""
    for door in scene.doors:
        holder = door.config.get("forward_rules") if door.via is Via.EXT_PROC else door.config
        patterns = list(holder.get("allowed_headers").each("patterns"))
        if not patterns:
            yield Hit(door.config, door.subject, "No list says which headers are sent.")
        for pattern in patterns:
            if _EVERYTHING.fullmatch(pattern.get("safe_regex").text("regex") or ""):
                yield Hit(pattern, door.subject, "The list of headers takes all of them.")


@check(
    Rule(
        "BPD016",
        "repeated headers arrive as one",
        "Over ext_authz Envoy joins them by commas unless told otherwise: two claims become one that nobody made, and "
        "bytes that are not UTF-8 become others.",
        "Set `encode_raw_headers: true`.",
        Level.WARNING,
    ),
    source=EXT_AUTHZ,
)
def is_told_headers_as_they_are(scene: Scene) -> Iterator[Hit]:
    """Look at ext_authz's way with headers."""
    for door in scene.doors:
        if door.via is Via.EXT_AUTHZ and not door.config.flag("encode_raw_headers"):
            yield Hit(door.config, door.subject, "`encode_raw_headers` is not set.")
