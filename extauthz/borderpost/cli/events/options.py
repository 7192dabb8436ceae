"""Options that several actions share: which list, whose signatures, which private key, and what time it is."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.options import add_config, add_json, config_path, overrides_of, pairs
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from borderpost.config.events import EventsSection
    from borderpost.events.signing import Signers
    from borderpost.events.store import ListStore


@dataclass(frozen=True, slots=True)
class Opened:
    """A list, not yet read, and whose signatures count in it."""

    store: ListStore
    signers: Signers


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add what names a list and its signers, and what every action has."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--list", type=Path, metavar="PATH", help="the signed list (default: the configuration's)")
    place.add_argument("--redis", metavar="URL", help="the Redis server whose stream is the list")
    parser.add_argument("--stream", metavar="KEY", help="with --redis, the stream's key (default: borderpost:events)")
    parser.add_argument(
        "--signer", action="append", default=[], metavar="NAME=KEY", dest="signers",
        help="a signer's public key, a PEM file or the key itself, instead of the configuration's; may be repeated",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add `--key` and `--as`."""
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key, PEM")
    parser.add_argument("--as", required=True, metavar="NAME", dest="name", help="your name under `events.signers`")


def now_utc() -> datetime:
    """Return the machine's time."""
    from borderpost.policy.fields import EPOCH
    from borderpost_base.world import World

    return EPOCH + timedelta(microseconds=World().now_us())


def open_list(arguments: argparse.Namespace) -> Opened:
    """Return the list and signers that the arguments name, else those of the configuration.

    The configuration is read only as far as it is needed. Raises BorderpostError or Problems.
    """
    signers = given_signers(arguments)
    if signers is None or (arguments.list is None and arguments.redis is None):
        from borderpost.config.events import signers_of
        from borderpost.config.load import read_config

        config, document = read_config(config_path(arguments), overrides_of(arguments))
        store = _store(arguments, config.events)
        signers = signers_of(config.events, document) if signers is None else signers
        if not signers:
            raise BorderpostError("BP1014", "nobody may sign: `events.signers` is empty", place=Place("events.signers"))
        return Opened(store, signers)
    return Opened(_store(arguments, None), signers)


def given_signers(arguments: argparse.Namespace) -> Signers | None:
    """Return the signers given by --signer, None without one. Raises BorderpostError."""
    if not arguments.signers:
        return None
    from borderpost.config.events import EventsSection, signers_of
    from borderpost_base.strict import YamlDocument, validate

    given: dict[str, list[str]] = {}
    for name, key in pairs("--signer", arguments.signers):
        given.setdefault(name, []).append(key)
    section = validate(EventsSection, YamlDocument("--signer", {"signers": given}))
    return signers_of(section)


def _store(arguments: argparse.Namespace, section: EventsSection | None) -> ListStore:
    from borderpost.config.events import is_plain
    from borderpost.events.store import FileStore

    if arguments.redis is not None or (arguments.list is None and section is not None and section.redis is not None):
        return _redis_store(arguments, section)
    path: Path | None = arguments.list
    if path is None and section is not None:
        path = section.file
    if path is None:
        raise BorderpostError("BP0004", "no list is named: use --list, --redis or `events.file`", place=Place("events"))
    if is_plain(path):
        raise BorderpostError("BP1014", f"{path} is a plain file, which is edited by hand", place=Place(str(path)))
    return FileStore(path)


def _redis_store(arguments: argparse.Namespace, section: EventsSection | None) -> ListStore:
    from borderpost.config.redis import EventsRedisSpec
    from borderpost.events_redis import RedisStore
    from borderpost_base.strict import YamlDocument, validate

    spec = None if section is None else section.redis
    update = {"url": arguments.redis} if arguments.redis is not None else {}
    update |= {"stream": arguments.stream} if arguments.stream is not None else {}
    # How the server is logged in to comes from the configuration; it need not have one for a server that lets anyone.
    base = {"sink": "command-line"} if spec is None else spec.model_dump()
    return RedisStore(validate(EventsRedisSpec, YamlDocument("--redis", {**base, **update})))


def private_key(arguments: argparse.Namespace) -> Ed25519PrivateKey:
    """Read the private key of --key. Raises BorderpostError BP0003, or BP1015 if it is none or others can read it."""
    from borderpost.events.files import read_bounded
    from borderpost.events.signing import private_key_of_pem
    from borderpost_base import limits

    file: Path = arguments.key
    place = Place(str(file))
    raw = read_bounded(file, limits.SIGNER_KEY_BYTES_MAX, "BP1015")
    if file.stat().st_mode & 0o077:
        mend = f"chmod 600 {file}; if somebody may have copied it, make a new pair"
        raise BorderpostError("BP1015", "other users of this machine can read this private key", place=place, mend=mend)
    try:
        return private_key_of_pem(raw)
    except ValueError as error:
        raise BorderpostError("BP1015", f"{file} {error}", place=place) from error


def check_own_key(key: Ed25519PrivateKey, name: str, signers: Signers) -> None:
    """Raise BorderpostError BP1005 unless a signer of this name has this key, so that nothing is signed in vain."""
    from borderpost.events.signing import key_digest

    digest = key_digest(key.public_key())
    if name not in signers:
        raise BorderpostError("BP1005", f"no signer `{name}` is configured", place=Place("--as"))
    if all(digest != each.digest for each in signers[name]):
        raise BorderpostError("BP1005", f"`{name}` is configured with another key than this one", place=Place("--key"))
