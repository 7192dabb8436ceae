"""`python -m borderpost.cli`: the console script where only the interpreter's path is known."""

from __future__ import annotations

from borderpost.cli.main import console

console()
