"""What a detector is: it looks through the texts of a body and says whether it found what it is there for.

A detector only ever adds its data class. What it found is not kept, so that no record or log can hold it.
"""

from __future__ import annotations

from typing import Protocol

from borderpost.payload.texts import Text


class Detector(Protocol):
    """One kind of thing to look for. Made once, asked for each body; it keeps nothing of what it sees."""

    @property
    def name(self) -> str:
        """Name for records and metrics, as in the configuration: `cards`."""

    @property
    def data_class(self) -> str:
        """The data class that a finding brings."""

    def finds(self, text: Text) -> bool:
        """Say whether the text holds it; also where there is more to look at than is allowed.

        What it raises counts as a finding.
        """
