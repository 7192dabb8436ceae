"""What differs between two configurations beside the law: the catalogue of regions, and how requests are read.

The atoms of a space begin where a request has been read: which header, claim or certificate says what is settled by
then. A change there can lead the same bytes to other facts, so it is told by itself, as it is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.schema import RegionSpec
from borderpost_base.strict import StrictModel

_ID_DIGITS: Final = 16


class RegionChange(NamedTuple):
    """What became of one region."""

    region: str
    what: Literal["added", "removed", "moved", "changed"]
    """`moved`: it processes, retains or tells elsewhere, or is run by somebody else."""
    keys: tuple[tuple[str, str, str], ...]
    """Key, value before and value after, for each that differs."""


class ReadingChange(NamedTuple):
    """One way in which requests are read otherwise."""

    key: str
    """Dotted key of the configuration."""
    before: str
    after: str
    may_widen: bool
    """False where it can only refuse more, or add what only narrows."""

    @property
    def kind(self) -> Literal["reading"]:
        """Return what kind of change it is."""
        return "reading"

    @property
    def is_harmless(self) -> bool:
        """Return True if it can only narrow."""
        return not self.may_widen

    @property
    def id(self) -> str:
        """Return the change's stable name."""
        written = json.dumps([self.key, self.before, self.after])
        return f"reading-{hashlib.sha256(written.encode()).hexdigest()[:_ID_DIGITS]}"


PLACING: Final = (
    "country", "subdivision", "processing_scope", "retention", "telemetry", "operator.entity", "operator.jurisdiction",
)  # fmt: skip
"""Keys of a region that say where data goes, and to whom."""


def region_changes(before: Mapping[str, RegionSpec], after: Mapping[str, RegionSpec]) -> list[RegionChange]:
    """Return what became of each region that is not as it was, sorted by id. Clusters' names do not count."""
    found = []
    for region in sorted({*before, *after}):
        if region not in before:
            found.append(RegionChange(region, "added", ()))
        elif region not in after:
            found.append(RegionChange(region, "removed", ()))
        else:
            keys = tuple(_differing(_written(before[region]), _written(after[region]), skip=("cluster",)))
            if keys:
                moved = any(key == one or key.startswith(f"{one}.") for key, _, _ in keys for one in PLACING)
                found.append(RegionChange(region, "moved" if moved else "changed", keys))
    return found


def reading_changes(before: PolicyBundle, after: PolicyBundle) -> list[ReadingChange]:
    """Return every way in which a request is read otherwise before any law is asked."""
    found = []
    old, new = _written(before.evidence), _written(after.evidence)
    sections = ("token", "mtls", "header", "headers")
    for key, was, now in _differing({name: old[name] for name in sections}, {name: new[name] for name in sections}):
        found.append(ReadingChange(f"evidence.{key}", was, now, not _only_narrows(key, old, new)))
    for name in sorted({*before.tenants, *after.tenants}):
        was, now = (
            json.dumps(sorted(bundle.tenants[name].san) if name in bundle.tenants else []) for bundle in (before, after)
        )
        if was != now:
            found.append(ReadingChange(f"tenants.{name}.san", was, now, True))
    return found


def _only_narrows(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return True for a header that is read now, since it can only narrow, and for fewer issuers that are believed."""
    if key == "header":
        return old["header"] is None
    if key == "token.issuers":
        was, now = old["token"]["issuers"], new["token"]["issuers"]
        return bool(now) and (not was or set(now) < set(was))
    return False


def _written(model: StrictModel) -> dict[str, Any]:
    data: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    return data


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any], *, skip: tuple[str, ...] = (), prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield each dotted key whose values differ, with both as JSON; below what is a mapping on both sides, its keys."""
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if key in skip or was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _differing(was, now, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(was, ensure_ascii=False), json.dumps(now, ensure_ascii=False)
