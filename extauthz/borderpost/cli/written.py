"""Putting a file in place of itself at once, so that nobody reads half of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from borderpost_base.errors import BorderpostError, Place

_NEW_MODE = 0o644


def replace_file(file: Path, text: str) -> None:
    """Write a file whole, or leave what is there as it is. It keeps its mode, and a link keeps pointing to it.

    Raises BorderpostError BP1262.
    """
    target = file.resolve()
    try:
        mode = target.stat().st_mode & 0o7777 if target.exists() else _NEW_MODE
        fd, made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as handle:
                handle.write(text.encode())
                handle.flush()
                os.fchmod(fd, mode)
                os.fsync(fd)
            Path(made).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(made).unlink()
            raise
    except OSError as error:
        raise BorderpostError("BP1262", f"{file}: {error.strerror}", place=Place(str(file))) from error
