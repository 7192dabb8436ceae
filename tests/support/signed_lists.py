"""Signed lists of legal events made by a test: who signs, and lines one after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from borderpost.config.events import signers_from
from borderpost.events.book import SignedList, read_list
from borderpost.events.heartbeat import sign_heartbeat
from borderpost.events.lines import GENESIS, ListLine, encode_line, event_body, line_digest
from borderpost.events.signing import Signers, form_digest, sign, signed_form
from borderpost.events.triggers import Trigger, trigger_body
from borderpost.policy.event_schema import LegalEvent
from borderpost_base.errors import BorderpostError

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = "law.jsonl"
"""Where lists that are only in memory claim to lie."""


class ListWriter:
    """A list that grows by lines which two people sign."""

    def __init__(self, *names: str) -> None:
        self.keys = {name: Ed25519PrivateKey.generate() for name in names or ("ada", "bo")}
        self.signers = signers_from({name: key.public_key() for name, key in self.keys.items()})
        self.lines: list[bytes] = []

    def config(self) -> dict[str, str]:
        """Return the signers as the configuration has them."""
        return {name: key.public_key().public_bytes_raw().hex() for name, key in self.keys.items()}

    @property
    def head(self) -> str:
        """Return the list's head."""
        return line_digest(self.lines[-1]) if self.lines else GENESIS

    def add(self, name: str, *by: str, at: datetime | None = None, **changes: Any) -> bytes:
        """Add an event, suspending `eu-1` unless told otherwise, signed by `ada` or by those named; return its line."""
        at = at or BEGINNING + timedelta(seconds=len(self.lines))
        fields: dict[str, Any] = {
            "id": name,
            "type": "region_suspend",
            "scope": {"regions": ["eu-1"]},
            "effective_from": BEGINNING,
            "source": "a court",
            "reason": "an order",
            **changes,
        }
        body = event_body(LegalEvent.model_validate({**fields, "recorded_at": at}))
        return self.put("event", body, *(by or ("ada",)), at=at)

    def approve(self, event_id: str, by: str) -> bytes:
        """Add a person's approval of an event that the list has; return its line."""
        form = read_list(self.lines, self.signers, source="test").forms[event_id]
        return self.put("approval", {"event": event_id, "digest": form_digest(form)}, by, form=form)

    def trigger(self, name: str, *by: str, **changes: Any) -> bytes:
        """Add a trigger, suspending `eu-1` for an hour when `alerts` says 8, unless told otherwise; return its line."""
        fields: dict[str, Any] = {
            "id": name,
            "when": {"feed": "alerts", "at_least": 8},
            "event": {
                "type": "region_suspend",
                "scope": {"regions": ["eu-1"]},
                "source": "the board",
                "reason": "an alert",
                "lasting_s": 3600,
            },
            "valid_until": "2027-01-01",
            **changes,
        }
        return self.put("trigger", trigger_body(Trigger.model_validate(fields)), *(by or ("ada",)))

    def put(
        self,
        kind: str,
        body: dict[str, Any],
        *by: str,
        form: bytes | None = None,
        at: datetime | None = None,
        **changes: Any,
    ) -> bytes:
        """Add a line whose body these people sign, with other fields changed at will; return it."""
        if form is None:
            form = signed_form("legal event" if kind == "event" else "trigger", body)
        signatures = [sign(form, self.keys[name], name).model_dump() for name in by]
        at = at or BEGINNING + timedelta(seconds=len(self.lines))
        fields = {"seq": len(self.lines), "prev": self.head, "at": at, "kind": kind, "body": body}
        line = ListLine.model_validate({**fields, "signatures": signatures})
        self.lines.append(encode_line(line.model_copy(update=changes)))
        return self.lines[-1]

    def heartbeat(self, at: datetime, by: str = "ada") -> bytes:
        """Return a person's word that the list is as it is now."""
        return sign_heartbeat(read_list(self.lines, self.signers, source="test"), at, self.keys[by], by).encode()


def read(lines: list[bytes], signers: Signers, **how: Any) -> SignedList:
    """Read a list whole."""
    return read_list(lines, signers, source=SOURCE, **how)


def fault(writer: ListWriter, lines: list[bytes] | None = None, **how: Any) -> BorderpostError:
    """Return the one fault of a list."""
    (error,) = read(writer.lines if lines is None else lines, writer.signers, **how).problems
    return error


def trigger_of(writer: ListWriter) -> Trigger:
    """Return the one trigger of a list."""
    (trigger,) = read(writer.lines, writer.signers).triggers
    return trigger


def everything() -> ListWriter:
    """Return a list that has something of everything."""
    writer = ListWriter()
    writer.add("ev-1")
    writer.add("ev-2", "ada", "bo", type="injunction", scope={"data": ["health"], "countries": "US"})
    writer.add("ev-3", type="lift", scope={}, ends="ev-1")
    writer.approve("ev-3", "bo")
    writer.trigger("strait")
    fired = trigger_of(writer).fire(BEGINNING + timedelta(seconds=4))
    writer.put("event", event_body(fired))
    writer.add("ev-4", "bo", mode="drill", reason="Übung: “ernst” \u2028\U0001f30d")
    return writer
