"""Files by which the steward hands settings to a process that it starts: JSON, named by content, for this user alone.

While processes are replaced, some run by the settings before.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel

Settings = TypeVar("Settings", bound=StrictModel)


def put_settings(settings: StrictModel, runtime: Path, kind: str, *, also: bytes = b"") -> str:
    """Put settings in place, whole, and return the file's name. Raises OSError.

    The same settings, with the same `also`, have the same name.
    """
    text = settings.model_dump_json()
    name = f"{kind}-{hashlib.sha256(text.encode() + also).hexdigest()[:16]}.json"
    temporary = runtime / f".{name}.{os.getpid()}"
    temporary.write_text(text)
    temporary.chmod(0o600)
    temporary.replace(runtime / name)
    return name


def read_settings(model: type[Settings], path: Path) -> Settings:
    """Read what the steward wrote. Raises BorderpostError BP0614 if that was one of another release."""
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        told = error.errors()[0]
        key = ".".join(map(str, told["loc"]))
        raise BorderpostError("BP0614", f"{key}: {told['msg']}", place=Place(str(path))) from error


def clear_settings(runtime: Path, kind: str, *, but: str = "") -> None:
    """Remove all settings of a kind but those of this name: no process is started by them any more."""
    for left in runtime.glob(f"{kind}-*.json"):
        if left.name != but:
            left.unlink(missing_ok=True)
