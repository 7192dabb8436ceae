"""Nothing older than what was seen is taken: not at start, where the log tells, and not while running.

At start, an older pack or database is refused and the newer one comes back from the store beside the log; a list of
events that forgets something is met in the same way by the law book. A first start has no log and takes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from borderpost.audit.inputs import InputStore
from borderpost.config.load import Loaded
from borderpost.geoip import Anonymisers, GeoDatabase
from borderpost.geoip.mmdb import MaxMindFile
from borderpost.law_book import made_here
from borderpost.policy.bundle import check_regions
from borderpost.policy.compile import compile_policy
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList
from borderpost.seen import PackMark, SeenInput, SeenStore, last_inputs, marks_of
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.logs import get_logger
from borderpost_base.world import World


@dataclass(frozen=True, slots=True)
class Settled:
    """What a steward begins with: what is configured, but for what the log has seen newer."""

    loaded: Loaded
    """The configuration, with the law that is to be in force."""
    geo: GeoDatabase
    """The GeoIP database that is to be in force."""
    packs: Mapping[str, PackMark]
    """How far packs have come, by id: nothing older is taken."""
    events: EventList | None = None
    """The list of legal events that was last in force; None where the log knows of none."""
    anonymisers: Anonymisers | None = None
    """The anonymisers that were last in force and stay so; None where those that are configured come into force."""
    refused: Mapping[str, BorderpostError | Problems] | None = None
    """Why something configured is not in force, by what it is (`config`, `geoip`, `anonymisers`); None where all is."""

    @classmethod
    def as_configured(cls, loaded: Loaded) -> Settled:
        """Take everything as it is configured. Raises BorderpostError for a GeoIP database that is none."""
        return cls(loaded, GeoDatabase.open(loaded.config.geoip.database), marks_of(loaded.bundle))


def settle(loaded: Loaded, world: World, *, accept_older: bool = False) -> Settled:
    """Compare what is configured with what the audit log has seen, and keep what is newer.

    Reads the log's end and, where something differs, the store beside it. `accept_older` takes what is configured,
    whatever the log has seen; only what the gateway made itself (a trigger fired, a threshold was reached) stays, since
    nothing that is configured would bring it back. Raises BorderpostError BP0613 where the store lacks what the log
    names, Problems where the law that was seen does not fit the regions that are configured, and as
    `Settled.as_configured`.
    """
    settled = Settled.as_configured(loaded)
    seen = _seen(loaded.config.audit.directory)
    store = SeenStore(InputStore(loaded.config.audit.directory, world))
    if accept_older:
        return replace(settled, events=_made_here(seen, store))
    refused: dict[str, BorderpostError | Problems] = {}
    if "policy" in seen and seen["policy"].digest != loaded.bundle.digest:
        settled = _settle_policy(settled, seen["policy"], store, refused)
    if "geoip" in seen and seen["geoip"].digest != settled.geo.digest:
        settled = _settle_geoip(settled, seen["geoip"], store, refused)
    if "anonymisers" in seen:
        settled = _settle_anonymisers(settled, seen["anonymisers"], store, refused)
    events = store.events(seen["events"]) if "events" in seen else None
    return replace(settled, events=events, refused=refused or None)


def _seen(audit_directory: Path) -> dict[str, SeenInput]:
    try:
        return last_inputs(audit_directory)
    except OSError as error:
        place = Place(error.filename or str(audit_directory))
        raise BorderpostError("BP0613", f"the log cannot be read: {error.strerror}", place=place) from error


def _made_here(seen: Mapping[str, SeenInput], store: SeenStore) -> EventList | None:
    """Return the events that this gateway made, of the list that was last in force; None where that cannot be read."""
    if "events" not in seen:
        return None
    try:
        events = store.events(seen["events"]).events
    except BorderpostError as error:
        get_logger("rollback").warning("events that were made here are lost", **error.as_dict())
        return None
    return EventList(EventsFile(events=tuple(event for event in events if made_here(event))))


def _settle_policy(
    settled: Settled, seen: SeenInput, store: SeenStore, refused: dict[str, BorderpostError | Problems]
) -> Settled:
    loaded = settled.loaded
    marks = store.pack_marks(seen)
    try:
        refuse_older_packs(loaded, marks)
    except Problems as older:
        bundle = store.bundle(seen)
        check_regions(bundle, loaded.regions)
        compile_policy(bundle, loaded.regions)  # what does not fit must show now, not in every worker
        refused["config"] = older
        loaded = replace(loaded, bundle=bundle)
    return replace(settled, loaded=loaded, packs={**marks, **marks_of(loaded.bundle)})


def _settle_geoip(
    settled: Settled, seen: SeenInput, store: SeenStore, refused: dict[str, BorderpostError | Problems]
) -> Settled:
    try:
        refuse_older_database(settled.geo, store.geoip_built_s(seen))
    except BorderpostError as older:
        if older.code != "BP0611":
            raise
        refused["geoip"] = older
        settled.geo.close()
        return replace(settled, geo=GeoDatabase.open(store.geoip_path(seen)))
    return settled


def _settle_anonymisers(
    settled: Settled, seen: SeenInput, store: SeenStore, refused: dict[str, BorderpostError | Problems]
) -> Settled:
    found = Anonymisers.open(settled.loaded.config.geoip.anonymisers)
    if not found or found.digest == seen.digest:
        return settled
    held = store.anonymisers(seen)
    try:
        refuse_older_anonymisers(found, held)
    except BorderpostError as older:
        refused["anonymisers"] = older
        return replace(settled, anonymisers=held)
    finally:
        found.close()
    held.close()
    return settled


def refuse_older_packs(loaded: Loaded, seen: Mapping[str, PackMark]) -> None:
    """Raise Problems with a BP0610 for each pack that is older than the one seen."""
    place = Place(str(loaded.path), key="policy.packs")
    older = [
        BorderpostError("BP0610", f"pack `{name}` is {mark}; seen was {seen[name]}", place=place)
        for name, mark in marks_of(loaded.bundle).items()
        if name in seen and mark < seen[name]
    ]
    if older:
        raise Problems(older)


def refuse_older_database(geo: MaxMindFile, seen_built_s: int) -> None:
    """Raise BorderpostError BP0611 for a database that was built before the one seen (seconds since 1970)."""
    if geo.build_epoch_s < seen_built_s:
        detail = f"built {_instant(geo.build_epoch_s)}; seen was one built {_instant(seen_built_s)}"
        raise BorderpostError("BP0611", detail, place=Place(str(geo.path)))


def refuse_older_anonymisers(found: Anonymisers, held: Anonymisers) -> None:
    """Raise BorderpostError BP0611 for a database that was built before the one held of its kind.

    Of several of one kind the newest is compared with the newest, the next with the next. A list has no date.
    """
    held_s: dict[str, list[int]] = {}
    for file in sorted(held.databases, key=lambda file: file.build_epoch_s):
        held_s.setdefault(file.database_type, []).append(file.build_epoch_s)
    for file in sorted(found.databases, key=lambda file: file.build_epoch_s, reverse=True):
        if builds_s := held_s.get(file.database_type):
            refuse_older_database(file, builds_s.pop())


def _instant(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()
