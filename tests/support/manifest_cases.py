"""Manifests with planted mistakes, of tests/data/manifests or another folder: each alone, and the clean twin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "data" / "manifests"
_MARKER = re.compile(r"\[\[(?P<rule>BP[MD]\d{3})(?:@(?P<at>[^|]+))?\|(?P<bad>[^|]*)\|(?P<good>.*?)\]\]")


class Planted(NamedTuple):
    """One mistake in one file."""

    file: str
    rule: str
    line: int
    """Where it shall be found, from 1."""
    text: str
    """The file with this mistake and no other."""


def marked_files(folder: Path = FOLDER) -> list[str]:
    """Return the names of the files that have mistakes."""
    return sorted(path.name for path in folder.iterdir() if _MARKER.search(path.read_text(encoding="utf-8")))


def clean(file: str, folder: Path = FOLDER) -> str:
    """Return a file without mistakes."""
    return _rendered(folder / file, None)


def planted(folder: Path = FOLDER) -> list[Planted]:
    """Return every mistake."""
    found = []
    for file in marked_files(folder):
        source = (folder / file).read_text(encoding="utf-8")
        for index, marker in enumerate(_MARKER.finditer(source)):
            text = _rendered(folder / file, index)
            at = source.count("\n", 0, marker.start())
            if marker["at"] is not None:
                places = [number for number, line in enumerate(text.splitlines()) if marker["at"] in line]
                assert len(places) == 1, f"{file}: `{marker[0]}` is not told from other lines: {places}"
                (at,) = places
            found.append(Planted(file, marker["rule"], at + 1, text))
    return found


def _rendered(path: Path, bad: int | None) -> str:
    source = path.read_text(encoding="utf-8")
    markers = iter(range(len(_MARKER.findall(source))))
    return _MARKER.sub(lambda marker: marker["bad"] if next(markers) == bad else marker["good"], source)
