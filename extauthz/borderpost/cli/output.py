"""What a command prints: data on stdout, everything else on stderr, JSON with a schema version on request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from borderpost_base.errors import BorderpostError, Problems

SCHEMA_VERSION = 1
"""Version of the JSON that commands print; raised when a field changes its meaning or goes away."""

CLEAN = 0
"""Exit code: it ran, and there is nothing to report."""
FINDINGS = 1
"""Exit code: it ran, and what it looked at is not in order."""
COULD_NOT_RUN = 2
"""Exit code: it could not do what was asked, a crash included."""

_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


@dataclass(slots=True)
class Output:
    """Where one command prints to, and how."""

    command: str
    as_json: bool = False
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)

    def data(self, text: str) -> None:
        """Print a line of the command's result."""
        print(text, file=self.stdout)

    def note(self, text: str) -> None:
        """Print a line that is not the result: progress, advice."""
        print(text, file=self.stderr)

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the command's whole result as one JSON document."""
        document = {"schema_version": SCHEMA_VERSION, "command": self.command, **value}
        print(json.dumps(document, indent=2, ensure_ascii=False), file=self.stdout)

    def errors(self, errors: Sequence[BorderpostError]) -> None:
        """Print errors: as the JSON result, or each with its code, place, cause and mend on stderr."""
        if self.as_json:
            self.result({"errors": [error.as_dict() for error in errors]})
            return
        for number, error in enumerate(errors):
            if number:
                self.note("")
            self._tell("error", "red", error)

    def warnings(self, warnings: Sequence[BorderpostError]) -> None:
        """Print what is no error yet, in the same form, on stderr."""
        for warning in warnings:
            self._tell("warning", "yellow", warning)

    def _tell(self, word: str, colour: str, error: BorderpostError) -> None:
        self.note(f"{self.paint(f'{word}[{error.code}]', colour)}: {self.paint(error.spec.title, 'bold')}")
        if str(error.place):
            self.note(f"  --> {self.paint(str(error.place), 'cyan')}")
        self.note(f"  {error.detail}")
        self.note(f"  {self.paint('hint:', 'bold')} {error.mend}")

    def paint(self, text: str, style: str, *, stream: TextIO | None = None) -> str:
        """Return the text in a style if the stream (stderr unless given) is a terminal that wants colours."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if wants_colour(stream or self.stderr) else text

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
        """Print a table on stdout: drawn in a terminal, plain aligned columns when piped."""
        if self.stdout.isatty():
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text

            drawn = Table(*headings, title=title, title_justify="left", header_style="bold")
            for row in rows:
                drawn.add_row(*(Text(cell) for cell in row))
            Console(file=self.stdout, no_color=not wants_colour(self.stdout)).print(drawn)
            return
        if title:
            self.data(title)
        lines = [tuple(headings), *(tuple(row) for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
        for line in lines:
            self.data("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def wants_colour(stream: TextIO) -> bool:
    """Return True for a terminal, unless NO_COLOR is set (no-color.org) or the terminal is `dumb`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def counted(count: int, thing: str) -> str:
    """Write how many there are of a thing: `1 line`, `2 lines`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def errors_of(error: BorderpostError | Problems) -> list[BorderpostError]:
    """Return one or several errors as a list."""
    return list(error.errors) if isinstance(error, Problems) else [error]
