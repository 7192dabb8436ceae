"""Who may ask the admin server for more than whether it is well: whoever shows the token, or nobody.

The token's file is read at each request that shows one, so a token can be changed while it runs. What was shown is
never logged, and compared in a time that does not depend on it.
"""

from __future__ import annotations

import hmac
from enum import Enum

from borderpost.config.secrets import read_token
from borderpost.config.sections import AdminSpec
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger

_SCHEME = "bearer "
"""Of the header `Authorization` (RFC 6750 section 2.1); schemes are compared without regard to case (RFC 9110)."""


class Opened(Enum):
    """What a request is shown."""

    ALL = "all"
    HEALTH = "health"
    """Whether it is well, yes or no."""


class AdminDoor:
    """The guard of the admin server."""

    def __init__(self, spec: AdminSpec, section: str = "admin") -> None:
        self._spec = spec
        self._told = ""
        self._log = get_logger("admin")
        if spec.is_guarded and spec.token_file is None:
            self._log.warning(
                "only /livez and /readyz are answered: the address is not loopback and there is no token",
                host=spec.host, mend=f"set `{section}.token_file`, or `{section}.host` to loopback",
            )  # fmt: skip

    def open_to(self, authorization: str) -> Opened:
        """Return what is shown to a request with this `Authorization` header, empty if it has none."""
        if not self._spec.is_guarded:
            return Opened.ALL
        shown = authorization[len(_SCHEME) :].strip(" ").encode("utf-8", "surrogateescape")
        if self._spec.token_file is None or not shown or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return Opened.HEALTH
        try:
            token = read_token(self._spec.token_file, "BP0506")
        except BorderpostError as error:
            if error.detail != self._told:
                self._told = error.detail
                self._log.error(error.spec.title, **error.as_dict())
            return Opened.HEALTH
        self._told = ""
        return Opened.ALL if hmac.compare_digest(token, shown) else Opened.HEALTH
