"""Limits files in tests: texts to books, what is wrong with texts, and a service that answers by one."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from borderpost_base.errors import BorderpostError, Problems
from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_ratelimit.files import Book, KeyStyle, load
from borderpost_ratelimit.rules import Entries
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_parts import asked_of, descriptor_of, request_of, still_world


def written(folder: Path, *texts: str | Mapping[str, str]) -> Path:
    """Write limits files into a folder: `a.yaml`, `b.yaml`… or by the names given."""
    folder.mkdir(exist_ok=True)
    for index, text in enumerate(texts):
        files = text if isinstance(text, Mapping) else {f"{chr(ord('a') + index)}.yaml": text}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(content))
    return folder


def book_of(
    folder: Path, *texts: str | Mapping[str, str], merge: bool = False, style: KeyStyle = KeyStyle.LENGTHS
) -> Book:
    return load([written(folder, *texts)], merge_domains=merge, key_style=style)


def mistakes_of(folder: Path, *texts: str | Mapping[str, str], merge: bool = False) -> tuple[BorderpostError, ...]:
    """Return what is wrong with files; nothing where they can be loaded."""
    try:
        book_of(folder, *texts, merge=merge)
    except Problems as problems:
        return problems.errors
    return ()


def told(errors: tuple[BorderpostError, ...]) -> list[tuple[str, int | None, str | None]]:
    """Return code, line and key of each."""
    return [(error.code, error.place.line, error.place.key) for error in errors]


class Limiter:
    """A service over files and a memory store, at one instant."""

    def __init__(self, folder: Path, *texts: str | Mapping[str, str], domain: str) -> None:
        self.book = book_of(folder, *texts)
        self.domain = domain
        self.statistics = Statistics()
        self.service = RateLimitService(
            rules=self.book, store=MemoryStore(10_000), world=still_world(), statistics=self.statistics,
            settings=ServiceSettings(),
        )  # fmt: skip

    def ask(self, *descriptors: Entries) -> RateLimitResponse:
        """Ask for one request with one hit."""
        message = request_of(*(descriptor_of(*entries) for entries in descriptors), domain=self.domain)
        (call,) = asked_of(self.service, message)
        assert call.answer is not None, call.failure
        return call.answer

    def passes(self, *descriptors: Entries, at_most: int = 1000) -> int:
        """Return how many requests in a row pass before one is refused; `at_most` if none is."""
        passed = 0
        while passed < at_most and self.ask(*descriptors).overall_code == RateLimitResponse.OK:
            passed += 1
        return passed

    def names(self) -> set[str]:
        """Return the names that the statistics have counted under."""
        return {name for name, counts in self.statistics.rules() if counts.total_hits}
