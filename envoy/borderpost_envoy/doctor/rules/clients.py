"""Rules about what clients bring: headers like ours, addresses of their choice, paths with two spellings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from borderpost.reports.finding import Level, Rule
from borderpost_base.names import CLIENT_HEADER, CLUSTER_HEADER, HEADER_PREFIX, STEERING_HEADERS
from borderpost_envoy.doctor.checks import HEADERS, MANAGER, ROUTES, Hit, check
from borderpost_envoy.doctor.envoy_gateway import is_made_by_envoy_gateway
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import HttpFilter, Leads, Manager
from borderpost_envoy.doctor.scene import Door, Scene
from borderpost_envoy.plan import Via

HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_EARLY = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_XFF = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
_ESCAPES_REFUSED = ("REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
_ESCAPES = ("IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", *_ESCAPES_REFUSED)


@check(
    Rule(
        "BPD020",
        "clients may bring a decision of their own",
        "Where a question ends without an answer Envoy goes on with the headers as they are. If a client's "
        f"`{CLUSTER_HEADER}` is still among them, the client has chosen its region. `internal_only_headers` does not "
        "help: it is passed over for requests that count as internal.",
        f"Remove the prefix `{HEADER_PREFIX}` in the connection manager's `early_header_mutation_extensions`, which "
        "runs before every filter.",
    ),
    source=HEADERS,
)
def strips_our_headers(scene: Scene) -> Iterator[Hit]:
    """Look for the early removal of our prefix."""
    for manager in scene.guarded:
        if not strips_ours(manager):
            message = f"Headers that begin with `{HEADER_PREFIX}` are not removed before the filters run."
            yield Hit(manager.message, f"listener {manager.label}", message)


def strips(manager: Manager, prefix: str, names: Iterable[str]) -> bool:
    """Return True if headers are taken from every client before the filters run: the prefix, or each name by itself."""
    left = set(names)
    for extension in manager.message.each("early_header_mutation_extensions"):
        kind, config = extension.typed("typed_config")
        for mutation in config.each("mutations") if kind == _EARLY else ():
            removed = mutation.get("remove_on_match", "key_matcher").text("prefix")
            if removed is not None and prefix.startswith(removed.lower()):
                return True
            left.discard((mutation.text("remove") or "").lower())
    return not left


def strips_ours(manager: Manager) -> bool:
    """Return True if no client can bring a header by which Borderpost or the router is told something."""
    return strips(manager, HEADER_PREFIX, (CLUSTER_HEADER, CLIENT_HEADER))


@check(
    Rule(
        "BPD021",
        "somebody else writes Borderpost's headers",
        "A route or a filter that sets one of our headers speaks in our place: before the question it is a decision "
        "that survives a missing answer, after it one that replaces ours.",
        "Let nobody but Borderpost set headers of its prefix.",
    ),
    source=ROUTES,
)
def nobody_else_writes_our_headers(scene: Scene) -> Iterator[Hit]:
    """Look at header additions of routes, and at header_mutation filters."""
    for manager in scene.guarded:
        for subject, holder in _holders(manager):
            for added in holder.each("request_headers_to_add"):
                if _is_ours(key := added.get("header").text("key") or ""):
                    yield Hit(added, subject, f"`{key}` is set here, towards the region.", Level.WARNING)
        for each in manager.filters:
            for mutation in _written(each, scene, manager):
                key = mutation.get("append", "header").text("key") or ""
                if _is_ours(key) and not _tells_the_client(mutation):
                    yield Hit(mutation, f"listener {manager.label}: filter {each.name}", f"`{key}` is set here.")


def _holders(manager: Manager) -> Iterator[tuple[str, Message]]:
    """Yield every message of a manager's routes that can add request headers."""
    for table in manager.tables:
        yield f"routes {table.name}", table.message
        for host in table.hosts:
            yield f"virtual host {host.name}", host.message
            for route in host.routes:
                subject = f"virtual host {host.name}, route {route.label}"
                yield subject, route.message
                for one in route.action.get("weighted_clusters").each("clusters"):
                    yield subject, one


def _written(each: HttpFilter, scene: Scene, manager: Manager) -> Iterator[Message]:
    if each.type == HEADER_MUTATION:
        yield from each.config.get("mutations").each("request_mutations")
        for override in scene.overrides(manager, each.name):
            yield from override.config.get("mutations").each("request_mutations")


def _is_ours(key: str) -> bool:
    return key.lower().startswith(HEADER_PREFIX)


def _tells_the_client(mutation: Message) -> bool:
    """Return True for the one header that the rendered chain writes: the trusted address of the client."""
    header = mutation.get("append", "header")
    return (header.text("key") or "").lower() == CLIENT_HEADER and header.text("value") in _TRUSTED_ADDRESSES


_TRUSTED_ADDRESSES = ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_ADDRESS%")


@check(
    Rule(
        "BPD022",
        "clients choose their own address",
        "Where the address comes from a header that clients write, any client is in any country. Over ext_authz Envoy "
        f"tells the address of the connection's peer, so the chain must write `{CLIENT_HEADER}` first.",
        "Set `use_remote_address: true` and `xff_num_trusted_hops` to the number of your own proxies; or PROXY "
        f"protocol; or `xff_trusted_cidrs`. Over ext_authz set `{CLIENT_HEADER}` by header_mutation, as rendered.",
    ),
    source=HEADERS,
)
def knows_the_client(scene: Scene) -> Iterator[Hit]:
    """Look at where the client's address comes from."""
    for manager in scene.guarded:
        message, subject = manager.message, f"listener {manager.label}"
        for extension in message.each("original_ip_detection_extensions"):
            kind, config = extension.typed("typed_config")
            if kind != _XFF:
                yield Hit(extension, subject, "The address comes from a header of the request.")
            elif (
                not config.get("xff_trusted_cidrs").present
                and not config.number("xff_num_trusted_hops")
                # Envoy Gateway writes so for `numTrustedHops: 1`, and only where somebody has said that.
                and not any(is_made_by_envoy_gateway(route) for _, _, route in manager.routes())
            ):
                yield Hit(extension, subject, "The address comes from x-forwarded-for, and no proxy is trusted.")
        detected = any(True for _ in message.each("original_ip_detection_extensions"))
        if not message.flag("use_remote_address") and not detected:
            yield Hit(message, subject, "`use_remote_address` is not set, so x-forwarded-for is believed.")
    for door in scene.doors:
        if door.via is Via.EXT_AUTHZ and not _is_told_the_client(door, scene):
            yield Hit(door.config, door.subject, f"No filter before it sets `{CLIENT_HEADER}`.")


def _is_told_the_client(door: Door, scene: Scene) -> bool:
    before = door.manager.filters[: door.filter.index]
    return any(_tells_the_client(one) for each in before for one in _written(each, scene, door.manager))


@check(
    Rule(
        "BPD023",
        "clients may steer retries and timeouts",
        "From clients that count as internal Envoy obeys `x-envoy-` headers: retry conditions, timeouts, hedging. A "
        "retry that a client orders is a second transfer that nobody decided.",
        "Remove the prefix `x-envoy-` early, or set `internal_address_config` to an address that no client has.",
        Level.WARNING,
    ),
    source=HEADERS,
)
def nobody_is_internal(scene: Scene) -> Iterator[Hit]:
    """Look for addresses that count as internal."""
    for manager in scene.guarded:
        if strips(manager, "x-envoy-", STEERING_HEADERS):
            continue
        internal = manager.message.get("internal_address_config")
        blocks = list(internal.each("cidr_ranges"))
        if internal.present and (internal.flag("unix_sockets") or not blocks or not all(map(_is_nobody, blocks))):
            message = "Some clients count as internal, and their `x-envoy-` headers are not removed."
            yield Hit(internal, f"listener {manager.label}", message)


def _is_nobody(block: Message) -> bool:
    return block.text("address_prefix") == "255.255.255.255" and block.number("prefix_len") == 32.0


@check(
    Rule(
        "BPD024",
        "a header with underscores may pass for another",
        "Many servers read `x_borderpost_cluster` as `x-borderpost-cluster`, and evidence such as `x_data_class` as "
        "its hyphened twin; what Envoy did not strip, decide or record, they take.",
        "Set `common_http_protocol_options.headers_with_underscores_action: DROP_HEADER` (or REJECT_REQUEST).",
        Level.WARNING,
    ),
    source=MANAGER,
)
def refuses_underscores(scene: Scene) -> Iterator[Hit]:
    """Look at what becomes of underscores in names."""
    actions = ("ALLOW", "REJECT_REQUEST", "DROP_HEADER")
    for manager in scene.guarded:
        options = manager.message.get("common_http_protocol_options")
        if options.choice("headers_with_underscores_action", actions) == "ALLOW":
            yield Hit(manager.message, f"listener {manager.label}", "Headers with underscores pass.")


@check(
    Rule(
        "BPD025",
        "one path may be spelled in two ways",
        "Which law holds may depend on the route, and the route on the path. `//v1/chat` or `/v1%2Fchat` is then "
        "another route for Envoy and the same resource for the server.",
        "Set `normalize_path: true`, `merge_slashes: true` and `path_with_escaped_slashes_action: REJECT_REQUEST`.",
        Level.WARNING,
    ),
    source=MANAGER,
)
def has_one_spelling(scene: Scene) -> Iterator[Hit]:
    """Look at path normalisation where several routes are told apart."""
    for manager in scene.guarded:
        message = manager.message
        names = [route.label for _, _, route in manager.routes() if route.leads is not Leads.NOWHERE]
        if len(names) < 2:
            continue
        off = [name for name in ("normalize_path", "merge_slashes") if not message.flag(name)]
        if message.choice("path_with_escaped_slashes_action", _ESCAPES) not in _ESCAPES_REFUSED:
            off.append("path_with_escaped_slashes_action")
        if off:
            said = ", ".join(f"`{name}`" for name in off)
            yield Hit(message, f"listener {manager.label}", f"There are {len(names)} routes, and not set: {said}.")
