"""envoyproxy/ratelimit's settings become our section `limiter`, and it is told what became of each."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from borderpost.cli.ratelimit.go_values import go_bool, go_int, go_seconds
from borderpost.cli.ratelimit.not_taken import NONE, OTHERWISE, PER_SECOND, SAME
from borderpost.cli.ratelimit.their_settings import Given, Settings
from borderpost_base.errors import BorderpostError

_LEVELS = {
    "TRACE": "debug", "DEBUG": "debug", "INFO": "info", "WARN": "warning", "WARNING": "warning", "ERROR": "error",
    "FATAL": "error", "PANIC": "error",
}  # fmt: skip
_ENTRY_BYTES = 128
"""Of envoyproxy/ratelimit's local cache: a key and what freecache adds to it, about."""
_NEAR_ENTRIES_MAX = 10_000_000
_PREFIXES = re.compile(
    r"(REDIS|MEMCACHE|RUNTIME|GRPC|LIMIT|CONFIG|XDS|TRACING|STATSD|PROMETHEUS|DEBUG|CACHE_KEY|LOCAL_CACHE)_"
)
"""What names of its settings begin with: another name with such a beginning is a slip."""
Value = TypeVar("Value")


class Fate(enum.StrEnum):
    """What became of a setting."""

    TAKEN = "taken"
    """It is a key of ours."""
    SAME = "so anyway"
    """Nothing has to be set."""
    OTHERWISE = "otherwise"
    """There is something else for it."""
    NONE = "none"
    """There is no counterpart."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one setting."""

    setting: str
    fate: Fate
    note: str
    """The key that it became, or a sentence."""


@dataclass(slots=True)
class Migration:
    """The settings on their way."""

    settings: Settings
    secrets_folder: str
    """Where files with passwords are to lie."""
    limiter: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, Any] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    errors: list[BorderpostError] = field(default_factory=list)
    passwords: dict[str, str | None] = field(default_factory=dict)
    """What belongs into files, by their paths; None where the value is elsewhere."""
    comments: dict[tuple[str, ...], str] = field(default_factory=dict)
    """By the end of a key's path."""

    @property
    def config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"limiter": self.limiter, **({"logs": self.logs} if self.logs else {})}

    def given(self, name: str, read: Callable[[str], Value], default: Value, key: str | None = None) -> Value:
        """Return a setting's value, and tell that it was taken; the default where it is not set.

        `key` is what it becomes; None leaves telling to the caller.
        """
        said = self.settings.get(name)
        if said is None:
            return default
        if key is not None:
            self.tell(name, Fate.TAKEN, f"`{key}`")
        if said.value is None:
            detail = f"the value of {name} is not known: it stands in {said.elsewhere}"
            self.errors.append(BorderpostError("BP1619", detail, place=said.place))
            return default
        if not said.value:
            return default
        try:
            return read(said.value)
        except ValueError as error:
            self.errors.append(BorderpostError("BP1619", f"{name}: {error}", place=said.place))
            return default

    def tell(self, name: str, fate: Fate, note: str) -> None:
        """Tell what became of a setting, if it was given."""
        if name in self.settings and all(told.setting != name for told in self.told):
            self.told.append(Told(name, fate, note))


def migrate(settings: Settings, *, limits: str | None, secrets_folder: str) -> Migration:
    """Return what becomes of settings; `limits` is the folder of limits files where it is another than theirs."""
    migration = Migration(settings, secrets_folder)
    _limits(migration, limits)
    _server(migration)
    _admin(migration)
    _answers(migration)
    if _backend(migration) == "redis":
        _redis(migration)
    _logs(migration)
    _rest(migration)
    return migration


def _limits(on: Migration, limits: str | None) -> None:
    parts = [
        on.given(name, str, default, "limiter.limits")
        for name, default in (
            ("RUNTIME_ROOT", "/srv/runtime_data/current"),
            ("RUNTIME_SUBDIRECTORY", ""),
            ("RUNTIME_APPDIRECTORY", "config"),
        )
    ]
    on.limiter["limits"] = [
        limits or str(PurePosixPath(*(part.lstrip("/") if at else part for at, part in enumerate(parts))))
    ]
    if on.given("CONFIG_TYPE", str, "FILE") != "FILE":
        on.tell("CONFIG_TYPE", Fate.NONE, "limits come from files, not from an xDS server")
    for name, key in (("MERGE_DOMAIN_CONFIG", "merge_domains"), ("SHADOW_MODE", "shadow"), ("QUOTA_MODE", "quota")):
        if on.given(name, go_bool, False, f"limiter.{key}"):
            on.limiter[key] = True
    ratio = on.given("NEAR_LIMIT_RATIO", float, 0.8, "limiter.near_limit_ratio")
    if ratio != 0.8:
        on.limiter["near_limit_ratio"] = ratio


def _server(on: Migration) -> None:
    socket = on.given("GRPC_UDS", str, "", "limiter.server.socket")
    if socket:
        on.limiter["server"] = {"listen": "unix", "socket": socket}
        for name in ("GRPC_HOST", "GRPC_PORT"):
            on.tell(name, Fate.SAME, "it has no effect beside GRPC_UDS")
        return
    server: dict[str, Any] = {
        "listen": "tcp",
        "host": on.given("GRPC_HOST", str, "0.0.0.0", "limiter.server.host"),  # noqa: S104 - as it is there
        "port": on.given("GRPC_PORT", go_int, 8081, "limiter.server.port"),
    }
    if on.given("GRPC_SERVER_USE_TLS", go_bool, False, "limiter.server.tls"):
        tls: dict[str, Any] = {
            "certificate": on.given("GRPC_SERVER_TLS_CERT", str, "", "limiter.server.tls.certificate"),
            "key": on.given("GRPC_SERVER_TLS_KEY", str, "", "limiter.server.tls.key"),
        }
        if authority := on.given("GRPC_CLIENT_TLS_CACERT", str, "", "limiter.server.tls.client_ca"):
            tls["client_ca"] = authority
        if name := on.given("GRPC_CLIENT_TLS_SAN", str, "", "limiter.server.tls.client_sans"):
            tls["client_sans"] = [name]
        server["tls"] = tls
    if not server.get("tls", {}).get("client_ca") and server["host"] not in ("127.0.0.1", "::1", "localhost"):
        server["plaintext"] = True
        on.comments["server", "plaintext"] = (
            "As it was: whoever reaches the port can use up anybody's limits. Better: tls with client_ca, or loopback."
        )
    on.limiter["server"] = server


def _admin(on: Migration) -> None:
    on.limiter["admin"] = {
        "host": on.given("HOST", str, "0.0.0.0", "limiter.admin.host"),  # noqa: S104 - as it is there
        "port": on.given("PORT", go_int, 8080, "limiter.admin.port"),
    }
    if on.limiter["admin"]["host"] not in ("127.0.0.1", "::1", "localhost"):
        on.comments["admin", "host"] = (
            "Beyond loopback only health is open: /json, /rlconfig and /metrics take the token of token_file."
        )


def _answers(on: Migration) -> None:
    answers: dict[str, Any] = {}
    if on.given("LIMIT_RESPONSE_HEADERS_ENABLED", go_bool, False, "limiter.answers.headers"):
        answers["headers"] = ["envoyproxy"]
    names = {
        key: on.given(f"LIMIT_{key.upper()}_HEADER", str, default, f"limiter.answers.header_names.{key}")
        for key, default in (
            ("limit", "RateLimit-Limit"), ("remaining", "RateLimit-Remaining"), ("reset", "RateLimit-Reset"),
        )
    }  # fmt: skip
    changed = {key: name for key, name in names.items() if f"LIMIT_{key.upper()}_HEADER" in on.settings}
    if changed:
        answers["header_names"] = changed
    if on.given("RESPONSE_DYNAMIC_METADATA", go_bool, False, "limiter.answers.dynamic_metadata"):
        answers["dynamic_metadata"] = True
    if answers:
        on.limiter["answers"] = answers


def _backend(on: Migration) -> str:
    """Return `redis`, or `memory` where there is no Redis or what there is has no counterpart."""
    backend = on.given("BACKEND_TYPE", str, "redis").lower()
    if backend != "redis":
        on.tell("BACKEND_TYPE", Fate.NONE, "counters are kept in memory here; for several limiters set `limiter.store`")
        return "memory"
    on.tell("BACKEND_TYPE", Fate.TAKEN, "`limiter.store`")
    return "redis"


def _redis(on: Migration) -> None:
    kind = on.given("REDIS_TYPE", str, "SINGLE", "limiter.store").upper()
    tls = on.given("REDIS_TLS", go_bool, False, "limiter.store")
    unix = on.given("REDIS_SOCKET_TYPE", str, "unix", "limiter.store.url") == "unix"
    url = on.given("REDIS_URL", str, "/var/run/nutcracker/ratelimit.sock", "limiter.store")
    login = _Login(on)
    store: dict[str, Any] = {}
    if kind == "SENTINEL":
        primary, *sentinels = [part.strip() for part in url.split(",")]
        store = {"sentinels": [login.host(each) for each in sentinels], "primary": primary}
    elif kind == "CLUSTER":
        store = {"cluster": [login.host(part.strip()) for part in url.split(",")]}
    elif unix and "://" not in url:
        store = {"url": f"unix://{url}"}
    else:
        database = urlsplit(url).path if "://" in url else ""
        scheme = "rediss" if tls or url.startswith("rediss://") else "redis"
        store = {"url": f"{scheme}://{login.host(url)}{database}"}
    if tls and kind in ("SENTINEL", "CLUSTER"):
        store["tls"] = True
    login.give(store, "REDIS_AUTH", "username", "password_file", "redis-password")
    if kind == "SENTINEL":
        login.give(store, "REDIS_SENTINEL_AUTH", "sentinel_username", "sentinel_password_file", "sentinel-password")
    else:
        on.tell("REDIS_SENTINEL_AUTH", Fate.SAME, "it has no effect without Sentinels")
    for name, key in (("CACERT", "ca"), ("CLIENT_CERT", "certificate"), ("CLIENT_KEY", "key")):
        if (file := on.given(f"REDIS_TLS_{name}", str, "", f"limiter.store.{key}")) and tls:
            store[key] = file
    if on.given("REDIS_TLS_SKIP_HOSTNAME_VERIFICATION", go_bool, False):
        on.tell("REDIS_TLS_SKIP_HOSTNAME_VERIFICATION", Fate.NONE, "the server's name is always checked")
    if "REDIS_TIMEOUT" in on.settings:
        store["timeout_s"] = min(max(on.given("REDIS_TIMEOUT", go_seconds, 10.0, "limiter.store.timeout_s"), 0.1), 60.0)
    if "LOCAL_CACHE_SIZE_IN_BYTES" in on.settings:
        size = on.given("LOCAL_CACHE_SIZE_IN_BYTES", go_int, 0, "limiter.store.near_cache_entries")
        store["near_cache_entries"] = min(-(-max(size, 0) // _ENTRY_BYTES), _NEAR_ENTRIES_MAX)
    store["prefix"] = on.given("CACHE_KEY_PREFIX", str, "", "limiter.store.prefix")
    on.comments["limiter", "key_style"] = "The same counters as envoyproxy/ratelimit's, while one takes over."
    on.limiter["key_style"] = "envoyproxy"
    on.limiter["store"] = store
    _per_second(on)


def _per_second(on: Migration) -> None:
    if on.given("REDIS_PERSECOND", go_bool, False):
        for name in PER_SECOND:
            on.tell(name, Fate.NONE, "limits by the second are counted in the same store as all others")
    for name in PER_SECOND:
        on.tell(name, Fate.SAME, "it has no effect without REDIS_PERSECOND")


class _Login:
    """Names and passwords, from settings and from addresses that carry them."""

    def __init__(self, on: Migration) -> None:
        self._on = on
        self._in_address: tuple[str, str] | None = None

    def host(self, address: str) -> str:
        """Return `HOST:PORT` of an address, and keep the name and password that it carries."""
        parts = urlsplit(address if "://" in address else f"redis://{address}")
        if parts.password is not None:
            self._in_address = (unquote(parts.username or ""), unquote(parts.password))
        return parts.netloc.rpartition("@")[2]

    def give(self, store: dict[str, Any], setting: str, user_key: str, file_key: str, file: str) -> None:
        """Name a file for the password, and the user, if there are such."""
        said = self._on.settings.get(setting)
        user, password = "", None
        if said is not None:
            text = self._on.given(setting, str, "") if said.value is not None else ""
            user, sign, password = text.partition(":")
            user, password = (user, password) if sign else ("", text)
        elif setting == "REDIS_AUTH" and self._in_address is not None:
            user, password = self._in_address
        else:
            return
        if said is not None and said.value is None:
            password = None
        elif not password:
            return
        path = str(PurePosixPath(self._on.secrets_folder) / file)
        where = f"; its value is in {said.elsewhere}" if said is not None and said.value is None else ""
        self._on.tell(setting, Fate.TAKEN, f"`limiter.store.{file_key}`: a file with the password{where}")
        self._on.passwords[path] = password
        store[file_key] = path
        if user and user != "default":
            store[user_key] = user


def _logs(on: Migration) -> None:
    level = on.given("LOG_LEVEL", str, "", "logs.level").upper()
    if level:
        on.logs["level"] = _LEVELS.get(level, "info")
    form = on.given("LOG_FORMAT", str, "", "logs.format").lower()
    if form:
        on.logs["format"] = "json" if form == "json" else "console"


def _rest(on: Migration) -> None:
    """Tell of all other settings."""
    for prefixes, note in _idle(on):
        for name in on.settings:
            if name.startswith(prefixes):
                on.tell(name, Fate.SAME, note)
    for fate, notes in ((Fate.SAME, SAME), (Fate.OTHERWISE, OTHERWISE), (Fate.NONE, NONE)):
        for name, note in notes.items():
            on.tell(name, _unless_default(on, name, fate), note)
    known = known_settings()
    for name in on.settings:
        if name in known:
            on.tell(name, Fate.SAME, "it has no effect beside the other settings")
        elif _PREFIXES.match(name):
            near = difflib.get_close_matches(name, known, n=1)
            on.tell(name, Fate.NONE, "it is no setting of envoyproxy/ratelimit" + (f": {near[0]}?" if near else ""))
    order = {name: at for at, name in enumerate(on.settings)}
    on.told.sort(key=lambda told: order[told.setting])


def _idle(on: Migration) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the beginnings of settings that have no effect there either, and why."""
    if on.given("CONFIG_TYPE", str, "FILE") == "FILE":
        yield ("CONFIG_GRPC_XDS_", "XDS_CLIENT_"), "it has no effect where limits come from files"
    if on.given("BACKEND_TYPE", str, "redis").lower() != "memcache":
        yield ("MEMCACHE_",), "it has no effect without Memcached"
    if not on.given("USE_STATSD", go_bool, True) and not on.given("USE_DOG_STATSD", go_bool, False):
        yield ("STATSD_", "STATS_FLUSH_"), "it has no effect without statsd"
    if not on.given("TRACING_ENABLED", go_bool, False):
        yield ("TRACING_",), "it has no effect without tracing"


def _unless_default(on: Migration, name: str, fate: Fate) -> Fate:
    """Return SAME for what has no counterpart and is switched off there too."""
    said: Given | None = on.settings.get(name)
    off = said is not None and (said.value or "").lower() in ("", "0", "f", "false")
    return Fate.SAME if fate is Fate.NONE and off else fate


def known_settings() -> Mapping[str, None]:
    """Return the names of all settings of envoyproxy/ratelimit."""
    return dict.fromkeys((*TAKEN, *PER_SECOND, *SAME, *OTHERWISE, *NONE))


TAKEN = (
    "HOST", "PORT", "GRPC_UDS", "GRPC_HOST", "GRPC_PORT", "GRPC_SERVER_USE_TLS", "GRPC_SERVER_TLS_CERT",
    "GRPC_SERVER_TLS_KEY", "GRPC_CLIENT_TLS_CACERT", "GRPC_CLIENT_TLS_SAN", "LOG_LEVEL", "LOG_FORMAT", "RUNTIME_ROOT",
    "RUNTIME_SUBDIRECTORY", "RUNTIME_APPDIRECTORY", "LOCAL_CACHE_SIZE_IN_BYTES", "NEAR_LIMIT_RATIO", "CACHE_KEY_PREFIX",
    "BACKEND_TYPE", "LIMIT_RESPONSE_HEADERS_ENABLED", "LIMIT_LIMIT_HEADER", "LIMIT_REMAINING_HEADER",
    "LIMIT_RESET_HEADER", "REDIS_SOCKET_TYPE", "REDIS_TYPE", "REDIS_URL", "REDIS_AUTH", "REDIS_TLS",
    "REDIS_TLS_CLIENT_CERT", "REDIS_TLS_CLIENT_KEY", "REDIS_TLS_CACERT", "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION",
    "REDIS_SENTINEL_AUTH", "REDIS_TIMEOUT", "SHADOW_MODE", "QUOTA_MODE", "RESPONSE_DYNAMIC_METADATA",
    "MERGE_DOMAIN_CONFIG",
)  # fmt: skip
"""Settings that become keys of ours."""
