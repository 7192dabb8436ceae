"""Which limits were in force, for the limiter's record: a set of files is stored before its first refusal."""

from __future__ import annotations

from borderpost.audit.inputs import InputStore
from borderpost.record_keeper import Announcement
from borderpost_ratelimit.files.book import Book

KEY = "limits"
"""What `RecordKeeper.announce` knows the files by: the next set replaces it."""


def limits_announcement(book: Book, inputs: InputStore) -> Announcement:
    """Store what the files say, durably, and return the record that names it. Waits for the disk; raises OSError."""
    return "limits.activate", {"digest": inputs.put(book.content), "domains": len(book.domains)}
