"""Rules about running it: the admin interface, logs, rate limits, and what a dump does not show."""

from __future__ import annotations

import re
from collections.abc import Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_envoy.doctor.addresses import is_loopback
from borderpost_envoy.doctor.charges import bare_charges, ignored_charges
from borderpost_envoy.doctor.checks import ACCESS_LOGS, ADMIN, RATE_LIMITS, Hit, check
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import HttpFilter, Manager
from borderpost_envoy.doctor.scene import Scene

_RATE_LIMIT = "envoy.extensions.filters.http.ratelimit.v3.RateLimit"
_PERSONAL = re.compile(
    r"%(?:DOWNSTREAM_(?:DIRECT_)?REMOTE_(?:ADDRESS|PORT)|REQ(?:_WITHOUT_QUERY)?\((?:x-forwarded-for|x-real-ip|forwarded|"
    r"x-envoy-external-address|authorization|cookie|x-borderpost-client)\b)",
    re.IGNORECASE,
)
"""Substitutions that write who a client is, or what proves it."""
_OWN_FORMATS = ("log_format", "format", "json_format", "typed_json_format")


@check(
    Rule(
        "BPD045",
        "Envoy's admin interface is open to the network",
        "It has no authentication: whoever reaches it reads the configuration, drains listeners, changes runtime and "
        "ends Envoy.",
        "Bind it to 127.0.0.1 or a Unix socket.",
    ),
    source=ADMIN,
)
def keeps_admin_to_itself(scene: Scene) -> Iterator[Hit]:
    """Look at the admin address of the bootstrap."""
    address = scene.configuration.admin.get("address", "socket_address")
    host = address.text("address")
    if address.present and (host is None or not is_loopback(host)):
        yield Hit(address, "admin", f"It listens on `{host}`.")


@check(
    Rule(
        "BPD046",
        "an access log names clients",
        "Client addresses and credentials are personal data in a place that no retention rule of Borderpost reaches. "
        "Envoy's own format has x-forwarded-for.",
        "Write the fields that are needed, as the rendered log does; the decision id leads to the record.",
        Level.WARNING,
    ),
    source=ACCESS_LOGS,
)
def logs_no_clients(scene: Scene) -> Iterator[Hit]:
    """Look at the formats of access logs."""
    for listener, chain in scene.chains():
        manager = chain.manager
        if manager is None or not scene.doors_of(manager):
            continue
        for log in (*listener.message.each("access_log"), *_logs(manager)):
            subject = f"listener {manager.label}: access log"
            kind, config = log.typed("typed_config")
            if kind.endswith("GrpcAccessLogConfig"):
                yield Hit(log, subject, "A gRPC access log sends the client's address with each entry.")
            elif kind.endswith("AccessLog") and not any(config.has(name) for name in _OWN_FORMATS):
                yield Hit(log, subject, "It has Envoy's own format, with x-forwarded-for.")
            else:
                texts = (text for one in (log.node,) for text in one.texts())
                found = next((match for text in texts if (match := _PERSONAL.search(str(text.value)))), None)
                if found is not None:
                    yield Hit(log, subject, f"`{found[0].strip('%')}` is written.")


def _logs(manager: Manager) -> Iterator[Message]:
    yield from manager.message.each("access_log")
    for one in manager.filters:
        if one.type.endswith("router.v3.Router"):
            yield from one.config.each("upstream_log")


@check(
    Rule(
        "BPD047",
        "rate limits may not hold",
        "`failure_mode_deny` is false unless said: an outage of the service lets everybody through, and since Envoy "
        "1.38 a timeout of 0s waits for ever. Before the decision the route has no cluster yet, and Envoy asks nobody "
        "(1.40, tried).",
        "Put the filter behind Borderpost's; say `failure_mode_deny: true` and a `timeout`.",
        Level.WARNING,
    ),
    source=RATE_LIMITS,
)
def limits_hold(scene: Scene) -> Iterator[Hit]:
    """Look at rate-limit filters of guarded managers."""
    for manager, one in _limiters(scene):
        subject = f"listener {manager.label}: filter {one.name}"
        if not one.config.flag("failure_mode_deny"):
            yield Hit(one.message, subject, "`failure_mode_deny` is not set.")
        if one.config.seconds("timeout") == 0:
            yield Hit(one.message, subject, "`timeout` is 0s, which is no bound.")
        if one.index < max(door.filter.index for door in scene.doors_of(manager)):
            yield Hit(one.message, subject, "It stands before Borderpost's filter, so it limits nothing.", Level.ERROR)


@check(
    Rule(
        "BPD048",
        "a charge at the end of a request is not what it seems",
        "`apply_on_stream_done` fires for requests that a limit refused, too: without `hits_addend` each is charged 1, "
        "with a number that number, with what the request says whatever that is. On a route's own `rate_limits` Envoy "
        "ignores `hits_addend` without a word.",
        "Give the charge `hits_addend.format` from the response's metadata, without which Envoy sends nothing, or "
        "`number: 0` where the end alone is to be told; in RateLimitPerRoute or the filter's own `rate_limits`.",
    ),
    source=RATE_LIMITS,
)
def charges_what_was_used(scene: Scene) -> Iterator[Hit]:
    """Look at charges, wherever rate limits stand."""
    for manager in scene.guarded:
        for _, host, route in scene.asking(manager):
            for holder, subject in (
                (host.message, f"virtual host {host.name}"),
                (route.action, f"virtual host {host.name}, route {route.label}"),
            ):
                yield from (Hit(limit, subject, told) for limit, told in ignored_charges(holder))
    for manager, one in _limiters(scene):
        subject = f"listener {manager.label}: filter {one.name}"
        yield from (Hit(limit, subject, told) for limit, told in bare_charges(one.config))
        for each in scene.overrides(manager, one.name):
            yield from (Hit(limit, each.subject, told) for limit, told in bare_charges(each.config))


def _limiters(scene: Scene) -> Iterator[tuple[Manager, HttpFilter]]:
    for manager in scene.guarded:
        for one in manager.filters:
            if one.type == _RATE_LIMIT:
                yield manager, one


@check(
    Rule(
        "BPD049",
        "not all of the configuration is in force, or can be seen",
        "Envoy goes on with the old configuration when it refuses a new one. And what a dump lacks, no rule can "
        "examine.",
        "Read the reason and mend what was sent; dump with `/config_dump?include_eds`.",
        Level.WARNING,
    ),
    source=ADMIN,
)
def all_is_seen(scene: Scene) -> Iterator[Hit]:
    """Look for refused updates and missing parts."""
    configuration = scene.configuration
    for refused in configuration.refused:
        yield Hit(refused.message, refused.what, f"Envoy refused an update: {refused.reason}")
    for kind in configuration.partial:
        yield Hit(
            configuration.root, "dump", f"It has no {kind}, so half of the rules have nothing to look at.", Level.ERROR
        )
    for manager in scene.guarded:
        for name in manager.missing_tables:
            yield Hit(manager.message, f"listener {manager.label}", f"The routes `{name}` are not there to be seen.")
        for one in manager.filters:
            if not one.type and one.message.get("config_discovery").present:
                yield Hit(one.message, f"listener {manager.label}: filter {one.name}", "What it does cannot be seen.")
        for table in manager.tables:
            if table.message.get("vhds").present:
                message = "Virtual hosts are discovered as they are asked for, and a dump has only some."
                yield Hit(table.message, f"routes {table.name}", message)
    for cluster in scene.reachable:
        if cluster.unseen:
            yield Hit(
                cluster.message, f"cluster {cluster.name}", "Its endpoints are discovered and are not in the dump."
            )
