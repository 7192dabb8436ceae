"""Why something cannot be measured on this machine."""

from __future__ import annotations


class Unavailable(Exception):
    """Something cannot be measured here and is left out; the text says why, in one line."""
