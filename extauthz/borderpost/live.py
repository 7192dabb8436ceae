"""What a worker decides by, kept current: reads published snapshots and swaps its view whole.

Reading, compiling and storing the inputs durably (a record may name them only once they are kept) happen off the
loop; the loop only swaps. Where law and catalogue change together with events or signals, the events and
signals are taken first by the old law: an injunction must not wait for a long compile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from borderpost.audit.inputs import InputStore
from borderpost.catalog import Catalog
from borderpost.decision import CompiledLaw, View
from borderpost.geoip import GeoDatabase
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.events import EventList
from borderpost.policy.fields import to_us
from borderpost.regions.signals import Signals
from borderpost.snapshots import SharedPage, SnapshotReader
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.logs import get_logger

LAW_PARTS = ("policy", "catalog")
"""Parts whose change means compiling anew."""

_RETRY_S = 1.0
"""After how long a snapshot that could not be taken is tried again: a full disk or a damaged file may be mended
without anybody publishing anew, and to go on by old law then would be for good."""

Adopt = Callable[[View, frozenset[str]], None]
"""Told on the loop of a new view and which parts of it changed."""


class Live:
    """The view in force. `view` is None until the first snapshot has been read."""

    def __init__(
        self, *, page: SharedPage, reader: SnapshotReader, inputs: InputStore, remembered_addresses: int,
        max_age_us: int, adopt: Adopt,
    ) -> None:  # fmt: skip
        self.view: View | None = None
        self.generation = 0
        """Generation of the snapshot in use."""
        self._page = page
        self._reader = reader
        self._inputs = inputs
        self._remembered_addresses = remembered_addresses
        self._max_age_us = max_age_us
        self._adopt = adopt
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

    async def _load(self, generation: int) -> None:
        try:
            manifest = self._reader.manifest()
            held = self.view.parts if self.view is not None else {}
            changed = frozenset(part for part, digest in manifest.items() if held.get(part) != digest)
            if self.view is not None and changed & set(LAW_PARTS) and changed - set(LAW_PARTS):
                await self._take_urgent(manifest, changed - set(LAW_PARTS))
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
        old_law = {**manifest, **{part: self.view.parts[part] for part in LAW_PARTS}}
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
        for part, digest in manifest.items():
            if part not in same and part != "geoip":
                self._inputs.put(self._reader.part(digest))
        signals = Signals.from_canonical(self._reader.part(manifest["signals"]))
        if held is not None and same >= manifest.keys() - {"signals"}:
            return held.with_signals(signals, manifest)
        geo = held.geo if held is not None and "geoip" in same else self._open_geoip(manifest["geoip"])
        if held is not None and {*LAW_PARTS} <= same:
            law = held.compiled
        else:
            bundle = PolicyBundle.from_canonical(self._reader.part(manifest["policy"]))
            law = CompiledLaw.of(bundle, Catalog.from_canonical(self._reader.part(manifest["catalog"])))
        events = EventList.from_canonical(self._reader.part(manifest["events"]))
        return View.of(law, events, signals, geo, manifest)

    def _open_geoip(self, digest: str) -> GeoDatabase:
        """Copy the database that the snapshot names into the inputs, for replay, and decide by that copy.

        The copy is read-only and nobody else's: a file that is written into while it is mapped would change
        answers under a digest that no longer holds, or end the process.
        """
        described = orjson.loads(self._reader.part(digest))
        if not self._inputs.has(described["digest"]):
            stored = self._inputs.put_file(Path(described["path"]))
            if stored != described["digest"]:
                raise BorderpostError("BP0602", "the GeoIP database has changed since", place=Place(described["path"]))
        return GeoDatabase.open(self._inputs.path(described["digest"]), remembered_addresses=self._remembered_addresses)


def activations(view: View, changed: frozenset[str], generation: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (key, record type, fields) of the records that say what came into use."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    if "policy" in changed:
        packs = [pack.metadata.id for pack in view.compiled.bundle.packs]
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
        found.append(("geoip", "geoip.activate", {"digest": view.inputs["geoip"], "kind": kind}))
    if "events" in changed:
        fields = {"digest": view.inputs["events"], "generation": generation}
        found.append(("events", "legal_event.apply", fields))
    return found


def events_changed_between(view: View, before_us: int, now_us: int) -> list[str]:
    """Return the ids of events that took effect or ended in (before, now]."""
    crossed = []
    for event in view.event_list.events:
        starts = max(to_us(event.effective_from), to_us(event.recorded_at))
        ends = to_us(event.effective_until) if event.effective_until is not None else None
        if before_us < starts <= now_us or (ends is not None and before_us < ends <= now_us):
            crossed.append(event.id)
    return crossed
