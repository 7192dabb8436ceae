"""What the demo says, and what it claims: every claim is a check, and the checks decide the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO


class Teller(Protocol):
    """Where the demo prints: the command line's own output, or a test's."""

    as_json: bool
    stdout: TextIO

    def data(self, text: str) -> None:
        """Print a line."""
        ...

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the whole result as one JSON document."""
        ...

    def paint(self, text: str, style: str, *, stream: TextIO | None = None) -> str:
        """Return the text in a style where the stream shows styles."""
        ...

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
        """Print a table."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that had to come true."""

    act: str
    text: str
    true: bool
    seen: str
    """What was seen, for when it did not."""


@dataclass(slots=True)
class Story:
    """What has been told so far."""

    teller: Teller
    claims: list[Claim] = field(default_factory=list)
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    _act: str = ""

    def act(self, title: str) -> None:
        """Begin an act."""
        self._act = title
        self.say("")
        self.say(self.teller.paint(title, "bold", stream=self.teller.stdout))

    def say(self, text: str) -> None:
        """Print a line, for people only."""
        if not self.teller.as_json:
            self.teller.data(text)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, and keep it for the JSON result."""
        self.tables[self._act] = [dict(zip(headings, row, strict=True)) for row in rows]
        if not self.teller.as_json:
            self.teller.table(headings, rows)

    def claim(self, text: str, true: bool, seen: object = "", *, quiet: bool = False) -> bool:
        """Check a claim; print it unless `quiet` and true. Return whether it is true."""
        self.claims.append(Claim(self._act, text, true, str(seen)))
        if not true:
            self.say(f"  {self._mark('✗ no', 'red')}  {text}: {seen}")
        elif not quiet:
            self.say(f"  {self._mark('✓', 'green')}  {text}")
        return true

    @property
    def untrue(self) -> list[Claim]:
        """The claims that did not come true."""
        return [claim for claim in self.claims if not claim.true]

    def end(self, took_s: float) -> int:
        """Print the verdict; return the exit code."""
        if self.teller.as_json:
            self.teller.result(self._document(took_s))
            return 1 if self.untrue else 0
        self.say("")
        if not self.untrue:
            self.say(f"{self._mark('✓', 'green')}  all {len(self.claims)} claims came true, in {took_s:.0f} s")
            return 0
        self.say(f"{self._mark('✗', 'red')}  {len(self.untrue)} of {len(self.claims)} claims did not come true:")
        for claim in self.untrue:
            self.say(f"   {claim.act}: {claim.text}: {claim.seen}")
        return 1

    def _mark(self, text: str, style: str) -> str:
        return self.teller.paint(text, style, stream=self.teller.stdout)

    def _document(self, took_s: float) -> dict[str, Any]:
        return {
            "passed": not self.untrue,
            "took_s": round(took_s, 1),
            "claims": [{"act": c.act, "claim": c.text, "true": c.true, "seen": c.seen} for c in self.claims],
            "tables": self.tables,
        }
