"""What packs say of one another: on which they build, and which they narrow.

builds_on   uses the words of another pack, which therefore comes before it
parent      narrows another pack, which therefore comes before it; and brings no data that needs no law
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from borderpost.policy import built_in
from borderpost.policy.check import Finding, Vocabulary
from borderpost.policy.pack import PolicyPack
from borderpost_base.errors import BorderpostError


def check_lineage(pack: PolicyPack, earlier: Collection[str], known: Vocabulary) -> Iterator[Finding]:
    """Find packs that should come before this one and do not, and free data classes of a child.

    `earlier` are the ids of the packs loaded before, `known` is what those define.
    """
    metadata = pack.metadata
    for index, name in enumerate(metadata.builds_on):
        if name not in earlier:
            yield ("metadata", "builds_on", index), _not_before(f"`{metadata.id}` builds on `{name}`", name)
    if metadata.parent is None:
        return
    if metadata.parent not in earlier:
        yield ("metadata", "parent"), _not_before(f"`{metadata.id}` narrows `{metadata.parent}`", metadata.parent)
    for name, data_class in pack.data_classes.items():
        if data_class.rank == 0 and known.classes.get(name) != data_class:
            detail = f"`{metadata.id}` has a parent, and its data class `{name}` (rank 0) would need no law"
            yield ("data_classes", name, "rank"), BorderpostError("BP0226", detail)


def _not_before(relation: str, name: str) -> BorderpostError:
    mend = f"list `{name}` before it under `policy.packs`"
    if name in built_in.COLLECTIONS:
        mend = f"`{name}` is a collection; name the packs meant: {', '.join(built_in.COLLECTIONS[name])}"
    return BorderpostError("BP0225", f"{relation}, which is not loaded before it", mend=mend)
