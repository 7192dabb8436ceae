"""Changes of the law that somebody has accepted, by their stable ids, with a reason and until when.

apiVersion: residency/v1
kind: AcceptedChanges
changes:
  - id: widened-4a1f…
    reason: Board resolution of 3 November
    until: 2027-01-31
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from borderpost.policy.fields import Instant, Text, refuse_at
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel


class Accepted(StrictModel):
    """One change that may be."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z]+-[0-9a-f]{16}$")]
    """The change's id, as `policy diff` tells it. It stands for all that the change says: one wider has another."""
    reason: Text
    """Why, and who says so."""
    until: Instant
    """First instant at which it is no longer accepted. Required: what was accepted for good is forgotten for good."""


class AcceptedFile(StrictModel):
    """A file of accepted changes."""

    apiVersion: Literal["residency/v1"]
    """The language's version."""
    kind: Literal["AcceptedChanges"]
    """What the file is."""
    changes: tuple[Accepted, ...] = ()
    """The changes; none by default."""

    @model_validator(mode="after")
    def _once(self) -> AcceptedFile:
        seen: set[str] = set()
        found: list[tuple[tuple[str | int, ...], BorderpostError]] = []
        for index, one in enumerate(self.changes):
            if one.id in seen:
                found.append((("changes", index, "id"), BorderpostError("BP1212", f"`{one.id}` is accepted twice")))
            seen.add(one.id)
        refuse_at("AcceptedFile", found)
        return self
