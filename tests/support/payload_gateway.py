"""A gateway that reads bodies, for tests of body mode: two routes whose bodies are read and one whose are not."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borderpost_envoy import Via
from support.gateway import Gateway, gateway

BOUND = 70_000
"""Bytes; more than HTTP/2's first window, so that a body needs some to and fro."""
KEY = b"0f" * 32
CANARY = "kanarienvogel-7Qx"
"""Stands in every body. No file that anybody writes may hold it."""
JSON = ("content-type", "application/json")
HOME = frozenset({"eu-central-1", "eu-west-1"})
"""Where the class `ledger` may go, whoever sends it."""
OPTIONS = ("--route", "plain=/plain", "--route", "press=/press", "--route", "chat=/")


def sections(key: Path, **payload: Any) -> dict[str, Any]:
    """Return the configuration's sections, with these changes to `payload`."""
    return {
        "payload": {
            "read": True,
            "hash_key_file": str(key),
            "bytes_max": BOUND,
            "routes": ["chat", "press"],
            "model": "/model",
            "data_class": "/metadata/class",
            "detectors": {"email": {"data_class": "ledger"}, "cards": {"data_class": "ledger"}},
            **payload,
        },
        "policy": {
            "packs": ["starter"],
            "data_classes": {"ledger": {"implies": ["personal"], "rank": 3}},
            "regimes": [
                {
                    "id": "ledger-home",
                    "title": "Ledgers stay at home",
                    "source": "https://example.org/house-rules",
                    "applies_when": {"subject_in": "*", "data": ["ledger"]},
                    "default": "deny",
                    "allow": [{"to": ["DE", "IE"], "basis": "home"}],
                }
            ],
        },
        "routes": {"chat": {}, "plain": {}, "press": {"tenant": "press"}},
        "logs": {"level": "debug"},
        "server": {"workers": 1},
    }


@contextmanager
def payload_gateway(
    directory: Path, via: Via, *, payload: dict[str, Any] | None = None, **how: Any
) -> Iterator[Gateway]:
    """Start it in a new directory; the key lies beside that, where no search for secrets looks."""
    directory.mkdir()
    key = directory.parent / f"{directory.name}.key"
    key.write_bytes(KEY + b"\n")
    with gateway(directory, via=via, options=OPTIONS, **sections(key, **(payload or {})), **how) as gate:
        gate.unspeakable |= {CANARY, KEY.decode()}
        yield gate


def chat(*, size: int = 0, **members: Any) -> bytes:
    """Return a JSON body with the canary in it, of a size in bytes if one is given."""
    body = json.dumps({"messages": [{"role": "user", "content": CANARY}], **members}).encode()
    return body + b" " * max(0, size - len(body))


def hash_of(body: bytes) -> str:
    """Return how a record names a body."""
    return hmac.digest(KEY, body, hashlib.sha256).hex()


def chunked(body: bytes, *, trailers: bytes = b"") -> bytes:
    """Return a body in two chunks as HTTP/1.1 sends them."""
    pieces = [piece for piece in (body[: len(body) // 2], body[len(body) // 2 :]) if piece]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return sent + b"0\r\n" + trailers + b"\r\n"
