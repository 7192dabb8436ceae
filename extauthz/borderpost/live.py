"""What a worker decides by, kept current: reads published snapshots and swaps its view whole.

Reading, compiling and storing the inputs durably (a record may name them only once they are kept) happen off the
loop; the loop only swaps. Where law and catalogue change together with events or signals, the events and
signals are taken first by the old law: an injunction must not wait for a long compile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from borderpost.audit.inputs import InputStore
from borderpost.catalog import Catalog
from borderpost.decision import View
from borderpost.event_memory import EventMemory
from borderpost.geoip import Anonymisers
from borderpost.geoip_parts import FILE_PARTS, take_anonymisers, take_geoip
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.events import EventList
from borderpost.policy.fields import EPOCH, format_instant
from borderpost.regions.signals import Signals
from borderpost.shadow import Shadow, has_drills
from borderpost.snapshots import SharedPage, SnapshotReader
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.logs import get_logger

LAW_PARTS = ("policy", "catalog")
"""Parts whose change means compiling anew."""
COMPILED_PARTS = frozenset({*LAW_PARTS, "shadow"})
"""Parts of which something is compiled that lives until they change."""

_RETRY_S = 1.0
"""After how long a snapshot that could not be taken is tried again: a full disk or a damaged file may be mended
without anybody publishing anew, and to go on by old law then would be for good."""

Adopt = Callable[[View, frozenset[str]], None]
"""Told on the loop of a new view and which parts of it changed."""


class Live:
    """The view in force. `view` is None until the first snapshot has been read."""

    def __init__(
        self, *, page: SharedPage, reader: SnapshotReader, inputs: InputStore, remembered_addresses: int,
        max_age_us: int, adopt: Adopt, now_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self.view: View | None = None
        self.generation = 0
        """Generation of the snapshot in use."""
        self.shadow_broken = False
        """True while a shadow is published that cannot be used here, so that nothing is weighed beside the law."""
        self._page = page
        self._reader = reader
        self._inputs = inputs
        self._events = EventMemory()
        self._remembered_addresses = remembered_addresses
        self._max_age_us = max_age_us
        self._adopt = adopt
        self._now_us = now_us
        self._preparing: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._refused_generation = 0
        self._behind_since_us: int | None = None
        self._told = ""
        self._log = get_logger("snapshots")

    def current(self, mono_us: int) -> View | None:
        """Return the view to decide by; None if there is none, or no current one.

        A view stops being current when the steward has been silent, or a newer snapshot could not be taken, for
        longer than `max_age_us`. Called once a batch: it costs two memory loads while nothing changes.
        """
        generation = self._page.generation
        if generation != self.generation:
            if self._behind_since_us is None:
                self._behind_since_us = mono_us
            if self._loading is None and generation != self._refused_generation:
                self._loading = asyncio.get_running_loop().create_task(self._load(generation))
            if mono_us - self._behind_since_us > self._max_age_us:
                return None
        if mono_us - self._page.steward_beat_us > self._max_age_us:
            return None
        return self.view

    @property
    def events_fresh_until_us(self) -> int:
        """Return until when the list of legal events counts as fresh, microseconds since the epoch (UTC)."""
        return self._page.events_fresh_until_us

    def look_ahead(self) -> None:
        """Have what legal events change next worked out before its instant, off the loop."""
        view = self.view
        if view is None or self._preparing is not None or view.events.is_prepared(self._now_us()):
            return
        self._preparing = asyncio.get_running_loop().create_task(asyncio.to_thread(view.events.prepare, self._now_us()))
        self._preparing.add_done_callback(self._prepared)

    def _prepared(self, done: asyncio.Task[None]) -> None:
        self._preparing = None
        if not done.cancelled() and done.exception() is not None:
            self._log.error("events ahead not worked out: decisions will work them out", exc_info=done.exception())

    async def _load(self, generation: int) -> None:
        try:
            manifest = self._reader.manifest()
            held = self.view.parts if self.view is not None else {}
            changed = frozenset(part for part in {*manifest, *held} if held.get(part) != manifest.get(part))
            if self.view is not None and changed & COMPILED_PARTS and changed - COMPILED_PARTS:
                await self._take_urgent(manifest, changed - COMPILED_PARTS)
            view = await asyncio.to_thread(self._build, manifest, self.view)
            self._swap(view, changed)
            self.generation, self._behind_since_us, self._told = generation, None, ""
        except (BorderpostError, Problems, OSError) as error:
            if self._page.generation != generation:
                return  # its parts may have been removed since: the newer one is read next
            self._refuse(generation)
            if str(error) != self._told:
                self._told = str(error)
                self._log.error("snapshot not taken: the last good one stays", generation=generation, error=self._told)
        except Exception:  # noqa: BLE001 - a bug in one snapshot must not be tried again at every batch
            self._refuse(generation)
            self._log.exception("snapshot not taken: the last good one stays", generation=generation)
        finally:
            self._loading = None

    def _refuse(self, generation: int) -> None:
        """Leave this snapshot alone for a while; a newer one is taken at once."""
        self._refused_generation = generation
        asyncio.get_running_loop().call_later(_RETRY_S, self._forgive)

    def _forgive(self) -> None:
        self._refused_generation = 0

    async def _take_urgent(self, manifest: dict[str, str], parts: frozenset[str]) -> None:
        """Take events, signals and GeoIP by the old law where they fit it; if not, they come with the new one."""
        assert self.view is not None
        old_law = {part: digest for part, digest in manifest.items() if part not in COMPILED_PARTS}
        old_law |= {part: digest for part, digest in self.view.parts.items() if part in COMPILED_PARTS}
        try:
            view = await asyncio.to_thread(self._build, old_law, self.view)
        except (BorderpostError, Problems) as error:
            self._log.info("events and signals wait for the new law", why=str(error))
            return
        self._swap(view, parts)

    def _swap(self, view: View, changed: frozenset[str]) -> None:
        self.view = view
        self._adopt(view, changed)

    def _build(self, manifest: dict[str, str], held: View | None) -> View:
        """Read and compile what changed; keep the rest, and the memory of law where law stays the same."""
        same = {part for part, digest in manifest.items() if held is not None and held.parts.get(part) == digest}
        alike = held is not None and held.parts.keys() == manifest.keys()
        for part, digest in manifest.items():
            if part not in same and part not in FILE_PARTS:
                self._inputs.put(self._reader.part(digest))
        signals = Signals.from_canonical(self._reader.part(manifest["signals"]))
        if held is not None and alike and same >= manifest.keys() - {"signals"}:
            return held.with_signals(signals, manifest)
        if held is not None and "geoip" in same:
            geo = held.geo
        else:
            geo = take_geoip(self._reader.part(manifest["geoip"]), self._inputs)
        anonymisers = self._anonymisers(manifest, held)
        if held is not None and {*LAW_PARTS} <= same:
            law = held.compiled
        else:
            bundle = PolicyBundle.from_canonical(self._reader.part(manifest["policy"]))
            law = CompiledLaw.of(bundle, Catalog.from_canonical(self._reader.part(manifest["catalog"])))
        events = self._events.read(self._reader.part(manifest["events"]))
        shadow = self._shadow(manifest, held, law, events)
        view = View.of(
            law, events, signals, geo, manifest, anonymisers=anonymisers,
            remembered_addresses=self._remembered_addresses, shadow=shadow,
        )  # fmt: skip
        view.events.prepare(self._now_us())
        return view

    def _anonymisers(self, manifest: dict[str, str], held: View | None) -> Anonymisers:
        digest = manifest.get("anonymisers")
        if digest is None:
            return Anonymisers()
        if held is not None and held.parts.get("anonymisers") == digest:
            return held.anonymisers
        return take_anonymisers(self._reader.part(digest), self._inputs)

    def _shadow(
        self, manifest: dict[str, str], held: View | None, law: CompiledLaw, events: EventList
    ) -> Shadow | None:  # fmt: skip
        """Return what is to be weighed beside the law; the law in force where there are only drills.

        A shadow that cannot be used is told and left out: no decision depends on it.
        """
        digest = manifest.get("shadow")
        broken = False
        shadow = None
        try:
            if digest is not None:
                kept = held.shadow if held is not None and held.compiled.catalog is law.catalog else None
                if kept is not None and kept.digest == digest:
                    candidate = kept.compiled
                else:
                    candidate = CompiledLaw.of(PolicyBundle.from_canonical(self._reader.part(digest)), law.catalog)
                shadow = Shadow.of(candidate, events, digest)
            elif has_drills(events):
                shadow = Shadow.of(law, events, manifest["policy"])
        except Exception:  # noqa: BLE001 - whatever is wrong with the shadow, the law must not wait for it
            broken = True
            self._log.exception("the shadow cannot be used: nothing is weighed beside the law")
        self.shadow_broken = broken
        return shadow


def activations(view: View, changed: frozenset[str], generation: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (key, record type, fields) of the records that say what came into use."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    if "policy" in changed:
        metadata = [pack.metadata for pack in view.compiled.bundle.packs]
        packs = [{"id": each.id, "version": each.version, "as_of": each.as_of.isoformat()} for each in metadata]
        fields = {"digest": view.inputs["policy"], "generation": generation, "packs": packs}
        found.append(("policy", "policy.activate", fields))
    if "catalog" in changed:
        fields = {
            "digest": view.inputs["catalog"],
            "generation": generation,
            "regions": len(view.compiled.catalog.regions),
        }
        found.append(("catalog", "catalog.activate", fields))
    if "geoip" in changed:
        kind = "".join(c if c.isprintable() else "?" for c in view.geo.database_type)[:64]
        built_at = format_instant(EPOCH + timedelta(seconds=view.geo.build_epoch_s))
        fields = {"digest": view.inputs["geoip"], "kind": kind, "built_at": built_at}
        found.append(("geoip", "geoip.activate", fields))
    if "anonymisers" in changed:
        fields = {"files": sorted({file.digest for file in view.anonymisers.files})}
        if view.anonymisers:
            fields["digest"] = view.inputs["anonymisers"]
        found.append(("anonymisers", "anonymisers.activate", fields))
    if "events" in changed:
        fields = {"digest": view.inputs["events"], "generation": generation, **_list_fields(view.event_list)}
        found.append(("events", "legal_event.apply", fields))
    return found


def _list_fields(events: EventList) -> dict[str, Any]:
    """Return what the record of a list says beside its digest: where it ends, and what became known too late."""
    fields: dict[str, Any] = {}
    if events.file.head is not None:
        fields |= {"head": events.file.head, "length": events.file.length}
    late = [e.id for e in events.events if e.effective_from < e.recorded_at and e.mode == "enforce"]
    if late:
        fields["late"] = late[-limits.LATE_EVENTS_RECORDED_MAX :]
    return fields


def applied_event(view: View, event_id: str) -> dict[str, Any]:
    """Return the fields of the record that says that an event took effect or ended."""
    event = next(event for event in view.event_list.events if event.id == event_id)
    fields = {
        "digest": view.inputs["events"],
        "event": event_id,
        "kind": event.type,
        "effective_from": format_instant(event.effective_from),
        "recorded_at": format_instant(event.recorded_at),
    }
    if event.effective_until is not None:
        fields["effective_until"] = format_instant(event.effective_until)
    return fields
