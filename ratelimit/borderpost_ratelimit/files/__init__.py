"""Limits files: two formats, one tree, one way of matching.

`load` reads envoyproxy/ratelimit's format as it is, and our own (a document that begins with `format: borderpost/1`).
"""

from __future__ import annotations

from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.files.loading import load

__all__ = ["Book", "KeyStyle", "load"]
