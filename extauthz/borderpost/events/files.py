"""Small files read whole, up to a bound: keys, events that people wrote."""

from __future__ import annotations

from pathlib import Path

from borderpost_base.errors import BorderpostError, Place


def read_bounded(file: Path, bytes_max: int, too_large: str, place: Place | None = None) -> bytes:
    """Return a file's bytes. Raises BorderpostError BP0003 if it cannot be read, or of code `too_large`; at `place`,
    by default the file."""
    at = Place(str(file)) if place is None else place
    try:
        with file.open("rb") as handle:
            raw = handle.read(bytes_max + 1)
    except OSError as error:
        raise BorderpostError("BP0003", f"{file}: {error.strerror}", place=at) from error
    if len(raw) > bytes_max:
        raise BorderpostError(too_large, f"{file} has more than {bytes_max} bytes", place=at)
    return raw
