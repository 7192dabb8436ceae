"""The two doors, each with what is remembered of its questions: what a processor and an observer share."""

from __future__ import annotations

from borderpost.answers import Door, Refusal
from borderpost.audit.prepared import PreparedRecord
from borderpost.decision import Decision, View
from borderpost.observation import Observed
from borderpost.policy.model import Source
from borderpost.recognition import Recogniser
from borderpost.requests import RequestReader
from borderpost_base import limits
from borderpost_base.memo import Remembered
from borderpost_base.metrics import Metrics
from borderpost_wire.service import Call


class Known:
    """A decision ready to be given again: its record with holes, its answer in pieces, what it counts as."""

    __slots__ = ("address_doubt", "address_unknown", "decision", "observed", "pieces", "prepared", "until_us", "view")

    def __init__(
        self, view: View, decision: Decision, prepared: PreparedRecord, pieces: tuple[bytes, ...],
        observed: Observed | None = None,
    ) -> None:  # fmt: skip
        self.view = view
        self.decision = decision
        self.prepared = prepared
        self.pieces = pieces
        self.until_us = decision.until_us
        self.observed = observed
        """None for a request that waits for its answer."""
        located = [piece.doubt for piece in decision.facts.evidence if piece.source is Source.GEOIP]
        self.address_unknown = not located
        self.address_doubt = located[0] if located else None

    def count(self, metrics: Metrics, requests: int) -> None:
        """Count what there is to tell of such requests, whether they were answered or went their own way."""
        opinion = self.decision.opinion
        if opinion is not None and opinion.kind is not None:
            metrics.shadow_divergence_total.inc(opinion.kind, by=requests)
        if self.address_unknown:
            metrics.geoip_unknown_total.inc(by=requests)
        elif self.address_doubt is not None:
            metrics.geoip_doubted_total.inc(self.address_doubt, by=requests)


Decided = tuple[Known, bytes]
"""A decision, and the canonical JSON of the `req` field of its record."""


class Entrance:
    """One protocol: how its questions are read, how it is answered, and what is remembered of both."""

    def __init__(self, via: str, reader: RequestReader, door: Door, recogniser: Recogniser[Known] | None) -> None:
        self.via = via
        self.reader = reader
        self.door = door
        self.recogniser = recogniser
        """None for questions that never repeat (ext_authz has times in them)."""
        self.known: Remembered[Decision, Known] = Remembered(limits.REMEMBERED_FACTS_MAX)

    def forget(self) -> None:
        """Forget everything: the view has changed."""
        if self.recogniser is not None:
            self.recogniser.forget()
        self.known.clear()

    def refuse(self, call: Call, refusal: Refusal, metrics: Metrics) -> None:
        """Refuse without a record: there is nothing to record by, or nowhere to record."""
        metrics.unrecorded_total.inc(refusal.code, refusal.reason)
        call.reply(self.door.unrecorded(refusal))
