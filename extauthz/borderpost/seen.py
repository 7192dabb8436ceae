"""What the audit log has seen already: the law, the legal events and the files of GeoIP that it last decided by.

Law that is withheld or put back is an attack as much as law that is forged. Whoever can put an older pack, a shorter
list of events or an older database in place would undo what was known, and nothing in those files says so; the log
does. So a steward asks it before it begins. Records name their inputs by digest and the store beside the log holds
the bytes, so what was seen can be compared with, and put back in force.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import maxminddb
import orjson
from pydantic import ValidationError

from borderpost.audit.backwards import stream_backwards
from borderpost.audit.forms import DIGEST
from borderpost.audit.inputs import InputStore
from borderpost.audit.kinds import Stamp
from borderpost.audit.profile import ProfileError, decode
from borderpost.audit.segment import streams_of
from borderpost.geoip import Anonymisers
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList
from borderpost.policy.pack import Metadata
from borderpost_base.errors import BorderpostError, Place

PARTS: Final = ("policy", "events", "geoip", "anonymisers")
"""What only ever moves forward."""

_ACTIVATED: Final = {
    "policy.activate": "policy",
    "legal_event.apply": "events",
    "geoip.activate": "geoip",
    "anonymisers.activate": "anonymisers",
}
_MARKS: Final = tuple(b'"type":"%b"' % kind.encode() for kind in (*_ACTIVATED, "decision"))
_VERSION_PART: Final = re.compile(r"([0-9]+)|[^0-9.+_-]+")


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class PackMark:
    """How far a pack has come, to be compared."""

    as_of: date
    """The day of its facts, which counts first."""
    version: str
    """Its version. Numbers in it count as numbers, and `1.0-rc1` comes before `1.0`."""

    def __lt__(self, other: PackMark) -> bool:
        """Return True if this is the older one."""
        return (self.as_of, _parts(self.version)) < (other.as_of, _parts(other.version))

    def __str__(self) -> str:
        """Return both, for a person."""
        return f"{self.version} of {self.as_of}"

    @classmethod
    def of(cls, metadata: Metadata) -> PackMark:
        """Return the mark of a pack."""
        return cls(metadata.as_of, metadata.version)


def _parts(version: str) -> list[tuple[int, int, str]]:
    found = _VERSION_PART.finditer(version)
    return [*((2, int(part[1]), "") if part[1] else (0, 0, part[0]) for part in found), (1, 0, "")]


@dataclass(frozen=True, slots=True)
class SeenInput:
    """An input that the log names."""

    digest: str
    """`sha256:<64 hex digits>`."""
    ts: str
    """When it was named, as the record has it."""
    stream: Path
    """The stream whose record names it."""


def last_inputs(audit_directory: Path) -> dict[str, SeenInput]:
    """Return by part (`PARTS`) what the newest record of any stream that names it names; nothing for an empty log.

    Each stream is read from its end, back to the first decision, which names all that there was.
    Raises OSError.
    """
    newest: dict[str, SeenInput] = {}
    for stream in streams_of(audit_directory) if audit_directory.is_dir() else []:
        for part, seen in _last_of(stream).items():
            if part not in newest or seen.ts > newest[part].ts:
                newest[part] = seen
    return newest


def _last_of(stream: Path) -> dict[str, SeenInput]:
    found: dict[str, SeenInput] = {}
    for line in stream_backwards(stream, _MARKS):
        decided, named = _named_in(line)
        for part, digest, ts in named:
            found.setdefault(part, SeenInput(digest, ts, stream))
        if decided or len(found) == len(PARTS):
            break
    return found


def _named_in(line: bytes) -> tuple[bool, list[tuple[str, str, str]]]:
    """Return whether a record is a decision, and (part, digest, instant) of what it names; a line may be no record."""
    try:
        record = decode(line)
        kind, ts = record["type"], record["ts"]
        named = []
        if kind == "decision":
            named = [(part, record["inputs"][part], ts) for part in PARTS if part in record["inputs"]]
        elif kind in _ACTIVATED:
            named = [(_ACTIVATED[kind], record["digest"], ts)]
        Stamp().check(ts)
        for _, digest, _ in named:
            DIGEST.check(digest)
    except (ProfileError, KeyError, TypeError):
        return False, []
    return kind == "decision", named


class SeenStore:
    """Reads what was seen out of the store of inputs. Every method raises BorderpostError BP0613 if it is not there.

    An input may be from an older release, whose models lacked keys that today's have: what it says counts, not
    whether today's release would write it with the same bytes.
    """

    def __init__(self, inputs: InputStore) -> None:
        self._inputs = inputs

    def bundle(self, seen: SeenInput) -> PolicyBundle:
        """Return the law that was in force."""
        try:
            return PolicyBundle.model_validate(self._json(seen))
        except ValidationError as error:
            raise self._unusable(seen, f"it is no policy for this release: {_first(error)}") from error

    def pack_marks(self, seen: SeenInput) -> dict[str, PackMark]:
        """Return how far each pack of that law had come, by its id."""
        try:
            metadata = [pack["metadata"] for pack in self._json(seen).get("packs", [])]
            return {each["id"]: PackMark(date.fromisoformat(each["as_of"]), str(each["version"])) for each in metadata}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unusable(seen, f"it is no policy: {error}") from error

    def events(self, seen: SeenInput) -> EventList:
        """Return the list of legal events that was in force."""
        try:
            return EventList(EventsFile.model_validate(self._json(seen)))
        except ValidationError as error:
            raise self._unusable(seen, f"it is no list of events for this release: {_first(error)}") from error

    def geoip_path(self, seen: SeenInput) -> Path:
        """Return where the copy of the GeoIP database lies, whole."""
        if not self._inputs.is_intact(seen.digest):
            raise self._unusable(seen, "the copy of the GeoIP database is missing or altered")
        return self._inputs.path(seen.digest)

    def geoip_built_s(self, seen: SeenInput) -> int:
        """Return when that database was built, seconds since 1970 (UTC)."""
        path = self.geoip_path(seen)
        try:
            with maxminddb.open_database(path) as reader:
                return int(reader.metadata().build_epoch)
        except (maxminddb.InvalidDatabaseError, OSError, TypeError, ValueError) as error:
            raise self._unusable(seen, f"the copy of the GeoIP database cannot be read: {error}") from error

    def anonymisers(self, seen: SeenInput) -> Anonymisers:
        """Return the copies of the files that flagged anonymisers, open."""
        try:
            digests = [str(digest) for digest in self._json(seen)["files"]]
            if not all(map(self._inputs.is_intact, digests)):
                raise self._unusable(seen, "a copy of the anonymisers' files is missing or altered")
            return Anonymisers.open(map(self._inputs.path, digests))
        except (KeyError, TypeError, ValueError) as error:
            raise self._unusable(seen, f"it is no list of anonymisers' files: {error}") from error

    def _json(self, seen: SeenInput) -> Any:
        try:
            return orjson.loads(self._inputs.get(seen.digest))
        except BorderpostError as error:
            raise self._unusable(seen, error.detail) from error
        except (OSError, orjson.JSONDecodeError) as error:
            raise self._unusable(seen, str(error)) from error

    def _unusable(self, seen: SeenInput, what: str) -> BorderpostError:
        place = Place(str(self._inputs.directory / seen.digest.removeprefix("sha256:")))
        return BorderpostError("BP0613", f"{seen.stream.name} decided by it at {seen.ts}: {what}", place=place)


def marks_of(bundle: PolicyBundle) -> Mapping[str, PackMark]:
    """Return how far each pack of some law has come, by its id."""
    return {pack.metadata.id: PackMark.of(pack.metadata) for pack in bundle.packs}


def _first(error: ValidationError) -> str:
    told = error.errors()[0]
    return f"{'.'.join(map(str, told['loc']))}: {told['msg']}"
