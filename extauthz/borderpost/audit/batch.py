"""What the two halves of a writer pass between them: a batch of lines, and the word that it failed."""

from __future__ import annotations

from dataclasses import dataclass, field

from borderpost.audit import record as records
from borderpost.audit.record import Head
from borderpost_base.errors import BorderpostError, Place


class AuditUnavailable(BorderpostError):
    """The log takes no record now: refuse the request. `reason` is stable: `ENOSPC`, `EIO`, `backlog`, `ended`…"""

    def __init__(self, code: str, detail: str, *, reason: str, during: str = "append", where: str | None = None):
        super().__init__(code, detail, place=Place(where))
        self.reason = reason
        self.during = during


@dataclass(slots=True, eq=False)
class Batch:
    """Lines that become durable together, or not at all. Filled by the chain half, then given away."""

    base: Head
    """What its first record is chained to; when the batch is written, the durable head."""
    lines: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    head: Head = records.NO_RECORD
    """Its last record."""
    leaves: list[bytes] | None = None
    """Leaf hashes, made by `write` where somebody asked for them."""
    written: bool = False
    """Its lines are in the file and wait for their sync."""
    repairs: str | None = None
    """For the batch of a repair: the reason of the fault it mends."""
    refused: int = 0
    """Refusals that its `gap` record accounts for; they count again if it is lost."""
    final: bool = False
    """True for a repair made only to close the stream: it may use up the ballast."""
