"""`python -m borderpost.cli`: the same as the console script."""

from __future__ import annotations

from borderpost.cli.main import console

if __name__ == "__main__":
    console()
