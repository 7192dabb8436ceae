"""One sequence of bytes for one model, so that a digest names it: RFC 8785 in a narrow profile.

Keys ASCII and sorted, strings in NFC, integers only, absent instead of null. Inside this profile orjson's sorted
output is RFC 8785 byte for byte. Defaults are written out, so that a later change of a default in the product
does not change what yesterday's record means.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from borderpost_base.errors import BorderpostError

Model = TypeVar("Model", bound=BaseModel)


def canonical_bytes(model: BaseModel) -> bytes:
    """Return the model's canonical JSON."""
    return orjson.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True), option=orjson.OPT_SORT_KEYS)


def digest_of(raw: bytes) -> str:
    """Return `sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def from_canonical(model: type[Model], raw: bytes) -> Model:
    """Read a model back. Raises BorderpostError BP0215 unless the bytes are exactly its canonical form."""
    try:
        read = model.model_validate(orjson.loads(raw))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise BorderpostError("BP0215", f"not a canonical {model.__name__}: {str(error).splitlines()[0]}") from error
    if canonical_bytes(read) != raw:
        raise BorderpostError("BP0215", f"the bytes are a {model.__name__}, but not in its canonical form")
    return read
