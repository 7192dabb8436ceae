"""The runtime directory of an instance: held by one steward, and how others find it and learn what a reload came to.

<runtime>/lock            locked by the steward for as long as it lives; holds its process id
<runtime>/reload.json     the outcome of the last reload, a `ReloadOutcome`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from borderpost_base.errors import BorderpostError, Place

_LOCK = "lock"
_OUTCOME = "reload.json"


class RuntimeDirectory:
    """The runtime directory, held by a lock so that no two stewards share one."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = -1

    def __enter__(self) -> Path:
        place = Place(str(self.path))
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, self._lock)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (self.path / _OUTCOME).unlink(missing_ok=True)
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
                undo.pop_all()
        except BlockingIOError as error:
            raise BorderpostError("BP0601", "its lock is held", place=place) from error
        except OSError as error:
            raise BorderpostError("BP0604", f"{error.strerror}", place=place) from error
        return self.path

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)


def steward_of(runtime: Path) -> int:
    """Return the process id of the steward that holds a runtime directory. Raises BorderpostError BP0609."""
    try:
        fd = os.open(runtime / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BorderpostError("BP0609", f"{error.strerror}", place=Place(str(runtime / _LOCK))) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 20, 0).strip()
        if text.isdigit():
            return int(text)
    finally:
        os.close(fd)
    raise BorderpostError("BP0609", "nobody holds its lock", place=Place(str(runtime / _LOCK)))


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What a reload came to."""

    number: int
    """Counts the reloads since the steward's start."""
    configuration: str
    """`taken`, `refused`, or `kept` where nobody asked for another one."""
    workers: str
    """`replaced`, `kept`, or `not replaced` where they should have been."""
    problems: tuple[dict[str, Any], ...]
    """Why something was not done: errors as `BorderpostError.as_dict` gives them."""

    def write(self, runtime: Path) -> None:
        """Put the outcome in place, whole. Raises OSError."""
        temporary = runtime / f".{_OUTCOME}.{os.getpid()}"
        temporary.write_bytes(orjson.dumps(asdict(self)))
        temporary.replace(runtime / _OUTCOME)

    @classmethod
    def read(cls, runtime: Path) -> ReloadOutcome | None:
        """Return the last reload's outcome, None before the first."""
        try:
            fields = orjson.loads((runtime / _OUTCOME).read_bytes())
        except FileNotFoundError:
            return None
        return cls(**{**fields, "problems": tuple(fields["problems"])})
