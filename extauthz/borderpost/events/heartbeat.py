"""Heartbeats: a signer's word that the list had a length and a head at an instant.

A chain shows what was changed inside a list, not what was cut off its end or never arrived. A heartbeat newer than the
list says so; a heartbeat that grows old says that nobody vouches for the list any more (`events.max_age_s`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, StringConstraints

from borderpost.audit import profile
from borderpost.events import signing
from borderpost.events.book import AHEAD, SignedList, read_list
from borderpost.events.lines import parse_canonical
from borderpost.events.signing import Signature, Signers
from borderpost.events.store import HEARTBEAT_ENDING, ListStore, whole_lines
from borderpost.policy.fields import Instant, format_instant
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel


class Heartbeat(StrictModel):
    """A signed statement about a list."""

    v: Literal[1] = 1
    """Version of the format."""
    at: Instant
    """When it was signed."""
    length: Annotated[int, Field(ge=0)]
    """Lines of the list then."""
    head: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its last line then, hex; zeros for an empty list."""
    signature: Signature
    """Who says so."""

    def form(self) -> bytes:
        """Return the bytes that the signature covers."""
        return _form(self.model_dump(mode="json", include={"v", "at", "length", "head"}))

    def encode(self) -> bytes:
        """Return its one line, without a newline."""
        return profile.canonical(self.model_dump(mode="json"))


def sign_heartbeat(known: SignedList, at: datetime, key: Ed25519PrivateKey, name: str) -> Heartbeat:
    """Sign that a list has its length and head at an instant (UTC)."""
    said = {"v": 1, "at": format_instant(at), "length": known.length, "head": known.head}
    return Heartbeat.model_validate({**said, "signature": signing.sign(_form(said), key, name)})


def read_heartbeat(raw: bytes, signers: Signers, place: Place, *, now: datetime | None = None) -> Heartbeat:
    """Read a heartbeat and check its signature; a newline at the end may be there.

    `now` is this machine's clock, by which a heartbeat from the future is refused. Raises BorderpostError BP1001,
    BP1003, BP1004, BP1005 or BP1010.
    """
    if len(raw) > limits.EVENT_LINE_BYTES_MAX:
        raise BorderpostError("BP1010", f"the heartbeat has {len(raw)} bytes", place=place)
    heartbeat = parse_canonical(Heartbeat, raw.removesuffix(b"\n"), place)
    signing.check_signature(heartbeat.signature, heartbeat.form(), signers, at=heartbeat.at, place=place)
    if now is not None and heartbeat.at > now + AHEAD:
        detail = f"the heartbeat was signed at {format_instant(heartbeat.at)}, in the future"
        raise BorderpostError("BP1003", detail, place=place)
    return heartbeat


def checked_list(store: ListStore, signers: Signers, *, now: datetime | None = None) -> SignedList:
    """Read a store's whole list and hold it against its newest heartbeat.

    What is wrong, with the list or the heartbeat, is in `problems`. Raises BorderpostError where the store cannot be
    read at all: BP0003, BP1010.
    """
    raw = store.heartbeat()  # before the list: what is appended in between is no fault
    lines, torn = whole_lines(store)
    known = read_list(lines, signers, source=store.source, now=now)
    if torn is not None:
        return replace(known, problems=(*known.problems, torn))
    if raw is None or known.problems:
        return known
    try:
        check_against(read_heartbeat(raw, signers, Place(store.source + HEARTBEAT_ENDING), now=now), known)
    except BorderpostError as error:
        return replace(known, problems=(error,))
    return known


def check_against(heartbeat: Heartbeat, known: SignedList) -> None:
    """Raise BorderpostError BP1012 if a list is not the one of the heartbeat, with lines added at most."""
    place = Place(known.source, known.length or None)
    told = f"`{heartbeat.signature.by}` signed at {format_instant(heartbeat.at)} that it has {heartbeat.length} lines"
    if known.length < heartbeat.length:
        raise BorderpostError("BP1012", f"the list has {known.length} lines; {told}", place=place)
    if known.head_at(heartbeat.length) != heartbeat.head:
        detail = f"line {heartbeat.length} of the list is another than that of the heartbeat; {told}"
        raise BorderpostError("BP1012", detail, place=place)


def _form(said: dict[str, Any]) -> bytes:
    return signing.signed_form("heartbeat", said)
