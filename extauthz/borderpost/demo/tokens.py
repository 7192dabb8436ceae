"""A token issuer for the stage: an ES256 key, its JSON Web Key Set, and tokens signed by it (RFC 7515, 7517, 7518)."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_COORDINATE_BYTES = 32
_LIFETIME_S = 3600


class TokenIssuer:
    """One issuer with one key, made anew each time."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> str:
        """Return the JSON Web Key Set that verifies this issuer's tokens."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "kid": "stage",
            "x": _base64url(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
            "y": _base64url(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
        }
        return json.dumps({"keys": [key]})

    def token(self, **claims: Any) -> str:
        """Return a signed token with these claims, valid for an hour unless `exp` says otherwise."""
        header = {"alg": "ES256", "typ": "JWT", "kid": "stage"}
        payload = {"iss": self.issuer, "exp": int(time.time()) + _LIFETIME_S, **claims}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, payload))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
