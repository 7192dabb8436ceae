"""Adding to a list: the next line made, checked as every reader will check it, and only then appended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from borderpost.events.book import SignedList
from borderpost.events.lines import ListLine, encode_line
from borderpost.events.signing import Signature, Signers
from borderpost.events.store import ListStore
from borderpost_base.errors import NOWHERE, BorderpostError, Place, Problems

Kind = Literal["event", "approval", "trigger"]


def append(
    store: ListStore,
    known: SignedList,
    kind: Kind,
    body: Mapping[str, Any],
    signatures: tuple[Signature, ...],
    signers: Signers,
    *,
    now: datetime,
    place: Place = NOWHERE,
) -> SignedList:
    """Append one line to a list whose content is known, and return the list with it.

    `now` is the time (UTC); the line is dated so, or as the last one is, if that is later. `place` is where the body
    comes from, for errors. Raises Problems with what a reader would find wrong, and what `ListStore.append` raises:
    BorderpostError BP1011 if the list has gone on meanwhile.
    """
    if known.problems:
        raise Problems(list(known.problems))
    at = now if known.at is None else max(now, known.at)
    line = ListLine(
        seq=known.length, prev=known.head, at=at, kind=kind, body=dict(body), signatures=signatures
    )  # fmt: skip
    raw = encode_line(line)
    extended = known.extended([raw], signers, now=now)
    if extended.problems:
        raise Problems([_placed(error, place) for error in extended.problems])
    store.append(raw, known.head)
    return extended


def _placed(error: BorderpostError, place: Place) -> BorderpostError:
    return error if place == NOWHERE else BorderpostError(error.code, error.detail, place=place, mend=error.mend)
